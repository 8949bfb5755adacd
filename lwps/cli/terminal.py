"""What commands share: the two consoles, the options of the machine, and how results are written."""

import json
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lwps.api import default_machine
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
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        machine = default_machine(names, memory)
    for w in caught:
        err.print(str(w.message), style="yellow", highlight=False)
    return machine


def write_json(path: Path | None, data: Any) -> None:
    """Write `data` to `path`, if there is one."""
    if path is not None:
        path.write_text(json.dumps(data, indent=1, default=str) + "\n")
