"""`lwps bench`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import attrs
import typer
from rich.table import Table

from lwps.cli.subject import (
    Channels,
    Classes,
    Clip,
    Context,
    Data,
    ImageSize,
    Model,
    Optimizer,
    WeightDecay,
    given_of,
    plan_at,
    subject_of,
)
from lwps.cli.terminal import Json, Memory, Processors, err, machine_for, machine_of, out, write_json
from lwps.report import bench as report
from lwps.report.bench import ROUNDS, BenchRow

BATCHES = "1,8,32"


def bench(
    model: Model = None,
    image_size: ImageSize = None,
    channels: Channels = None,
    context: Context = None,
    classes: Classes = None,
    optimizer: Optimizer = None,
    weight_decay: WeightDecay = None,
    clip: Clip = None,
    data: Data = None,
    batch: Annotated[str | None, typer.Option(help=f"Batch sizes, comma-separated. Default: {BATCHES}.")] = None,
    placements: Annotated[
        str, typer.Option(help="Processors and policies, comma-separated.")
    ] = "cpu,cl-cpu,independent,layerwise,mincut,auto",
    rounds: Annotated[int, typer.Option(min=ROUNDS, help=f"Rounds, at least {ROUNDS}.")] = ROUNDS,
    plan: Annotated[
        Path | None, typer.Option(help="Also measure this plan, and all others on what it says it is of.")
    ] = None,
    processors: Processors = None,
    memory: Memory = None,
    json: Json = None,
) -> None:
    """Step times of a model under several placements, measured in turn.

    Example: lwps bench resnet18 --image-size 32 --batch 1,8,32 --placements cpu,cl-cpu,mincut,auto
    """
    given = given_of(model, batch, image_size, channels, context, classes, optimizer, weight_decay, clip)
    if plan:
        loaded, subject = plan_at(plan, given, data)
        subjects = [subject]
        machine = machine_for(loaded, processors, memory)
    else:
        loaded = None
        subjects = [subject_of({**given, "batch": n}, data) for n in _integers(batch or BATCHES)]
        machine = machine_of(processors, memory)
    rows = []
    for subject in subjects:
        rows += report.bench(
            subject, placements.split(","), machine, rounds, loaded, lambda line: err.print(line, style="dim")
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
