"""What commands share: the two consoles, the options of the machine, and how results are written."""

import contextlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lwps.api import default_machine
from lwps.plan import Plan
from lwps.runtime.machine import MODES, Machine

out = Console()
err = Console(stderr=True)

Json = Annotated[Path | None, typer.Option("--json", help="Also write the result to this file as JSON.")]
Processors = Annotated[str | None, typer.Option(help="Processors by name, as `lwps devices` prints them: cpu,cl-cpu")]
Memory = Annotated[
    str | None, typer.Option(help=f"Memory mode: {', '.join(MODES)}. Default: the first the device can do.")
]


def machine_of(processors: str | None, memory: str | None) -> Machine:
    """The machine that the options name; warnings of its detection are shown as lines."""
    names = tuple(processors.split(",")) if processors else None
    with warnings_as_lines():
        return default_machine(names, memory)


def machine_for(placement: str | Plan, processors: str | None, memory: str | None) -> Machine:
    """The machine that the options name; what they leave open is that of a plan, where it is a plan that runs."""
    if not isinstance(placement, Plan):
        return machine_of(processors, memory)
    here = machine_of(None, None)
    if (processors, memory, here.names, here.memory) == (None, None, placement.processors, placement.memory):
        return here  # the machine whose hand-overs may have been measured already
    return machine_of(processors or ",".join(placement.processors), memory or placement.memory)


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Warnings raised inside are printed, a line each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            for w in caught:
                err.print(str(w.message), style="yellow", highlight=False, markup=False)


def write_text(path: Path, text: str) -> None:
    """Write `text` to a file, or print it where `path` is `-`."""
    if str(path) == "-":
        print(text)
    else:
        path.write_text(text + "\n")


def write_json(path: Path | None, data: Any) -> None:
    """Write `data` to `path`, if there is one."""
    if path is not None:
        write_text(path, json.dumps(data, indent=1, default=str))
