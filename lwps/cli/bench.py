"""`lwps bench`."""

from collections.abc import Sequence
from typing import Annotated

import attrs
import typer
from rich.table import Table

from lwps.cli.terminal import Json, Memory, Processors, err, machine_of, out, write_json
from lwps.models import MODELS, build
from lwps.report import bench as report
from lwps.report.bench import ROUNDS, BenchRow


def bench(
    model: Annotated[str, typer.Argument(help=f"One of {', '.join(MODELS)}.")] = "resnet18",
    image_size: Annotated[int, typer.Option(min=1)] = 32,
    channels: Annotated[int, typer.Option(min=1)] = 3,
    classes: Annotated[int, typer.Option(min=2)] = 10,
    batch: Annotated[str, typer.Option(help="Batch sizes, comma-separated.")] = "1,8,32",
    placements: Annotated[
        str, typer.Option(help="Processors and policies, comma-separated.")
    ] = "cpu,cl-cpu,independent,layerwise,mincut,auto",
    rounds: Annotated[int, typer.Option(min=ROUNDS, help=f"Rounds, at least {ROUNDS}.")] = ROUNDS,
    processors: Processors = None,
    memory: Memory = None,
    json: Json = None,
) -> None:
    """Step times of a model under several placements, measured in turn.

    Example: lwps bench resnet18 --image-size 32 --batch 1,8,32 --placements cpu,cl-cpu,mincut,auto
    """
    machine = machine_of(processors, memory)
    net = build(model, classes, image_size)
    rows = report.bench(
        model,
        net,
        _integers(batch),
        image_size,
        channels,
        placements.split(","),
        machine,
        rounds,
        lambda line: err.print(line, style="dim"),
    )
    out.print(f"machine: {machine.describe()}", highlight=False)
    for table in _bench_tables(rows):
        out.print(table)
    out.print(
        "/ single: time by the faster single processor's, median over rounds; handed: hand-overs a step;"
        " on cpu: of all eqns"
    )
    write_json(json, {"machine": machine.describe(), "rows": [attrs.asdict(r) for r in rows]})


def _bench_tables(rows: Sequence[BenchRow]) -> list[Table]:
    """A table for each batch size; what does not fit a terminal's width is in the JSON."""
    tables = []
    for batch in dict.fromkeys(r.batch for r in rows):
        mine = [r for r in rows if r.batch == batch]
        title = (
            f"{mine[0].model}, batch {batch}, {mine[0].image_size} pixels: ms a step, median of {mine[0].step_s.runs}"
        )
        table = Table(title=title, box=None, padding=(0, 2, 0, 0))
        for heading in ("placement", "measured", "predicted", "objective", "/ single", "MB", "handed", "on cpu"):
            table.add_column(heading, justify="left" if heading == "placement" else "right", no_wrap=True)
        for r in mine:
            seconds = (f"{s * 1e3:.2f}" for s in (r.step_s.median, r.predicted_s, r.objective_s))
            on_cpu = f"{r.eqns.get('cpu', 0)}/{sum(r.eqns.values())}"
            table.add_row(
                r.placement, *seconds, f"{r.paired:.3f}", f"{r.peak_bytes / 1e6:.0f}", str(r.handovers), on_cpu
            )
        tables.append(table)
    return tables


def _integers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"must be whole numbers of at least 1, comma-separated, got {text!r}")
    return numbers
