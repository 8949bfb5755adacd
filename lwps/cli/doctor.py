"""`lwps doctor`."""

from pathlib import Path
from typing import Annotated

import attrs
import typer

from lwps.cli.terminal import Json, out, write_json
from lwps.doctor import System, examine, examine_here

STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(
    root: Annotated[
        Path | None,
        typer.Option(help="Look at the files below this folder: the root of a board's file system, mounted or copied."),
    ] = None,
    json: Json = None,
) -> None:
    """Why a device is missing or slow: loaders, drivers, permissions, memory, settings, and the command that mends it.

    Exits with 1 if something keeps a device from working.

    Example: lwps doctor --json doctor.json
    """
    findings = examine(System.here(root)) if root else examine_here()
    for f in findings:
        out.print(f"[{STYLES[f.status]}]{f.status:6}[/]", end="")
        out.print(f"{f.topic:14}{f.says}", highlight=False, markup=False, soft_wrap=True)
        if f.fix:
            out.print(f"{'':20}-> {f.fix}", highlight=False, markup=False, soft_wrap=True)  # to be copied as it is
    failed, warned = (sum(f.status == status for f in findings) for status in ("fail", "warn"))
    out.print(f"{failed} failed, {warned} to look at" if failed or warned else "nothing to mend", highlight=False)
    write_json(json, {"findings": [attrs.asdict(f) for f in findings]})
    if failed:
        raise typer.Exit(1)
