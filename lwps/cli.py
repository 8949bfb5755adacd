"""The shell: arguments in, tables out."""

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs

try:
    import typer
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Table
except ModuleNotFoundError as error:
    raise SystemExit(f"lwps: the shell needs typer and rich, got {error}; pip install 'lwps[cli]'") from None

from lwps import train as training
from lwps.api import default_machine
from lwps.data import DataError, Dataset, digits, fit, load_folder
from lwps.models import MODELS, build
from lwps.plan import PlanError
from lwps.report.bench import ROUNDS, BenchRow, bench
from lwps.runtime.array import DonationError
from lwps.runtime.calibrate import calibrate
from lwps.runtime.machine import MODES, Machine, MachineError

app = typer.Typer(
    help="Train on machines whose CPU and GPU share memory; every op runs on the processor that suits it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

Json = Annotated[Path | None, typer.Option("--json", help="Also write the result to this file as JSON.")]
Processors = Annotated[str | None, typer.Option(help="Processors by name, as `lwps devices` prints them: cpu,cl-cpu")]
Memory = Annotated[
    str | None, typer.Option(help=f"Memory mode: {', '.join(MODES)}. Default: the first the device can do.")
]


@app.command()
def devices(processors: Processors = None, memory: Memory = None, json: Json = None) -> None:
    """The processors of this machine, and what handing a value over costs here.

    Example: lwps devices --memory copy
    """
    machine = _machine(processors, memory)
    host_s, handovers = calibrate(machine)
    table = Table("processor", "what it is", "start of an eqn", title=f"memory: {machine.memory}")
    for p in machine.processors:
        table.add_row(p.name, p.description, f"{host_s[p.name] * 1e6:.1f} us" if not p.is_host else "-")
    out.print(table)
    costs = Table("from", "to", "latency", "64 MB")
    for (source, target), h in handovers.items():
        costs.add_row(source, target, f"{h.latency_s * 1e6:.1f} us", f"{h.seconds(1 << 26) * 1e3:.2f} ms")
    if handovers:
        out.print(costs)
    rows = [
        {"source": s, "target": t, "latency_s": h.latency_s, "s_per_byte": h.s_per_byte}
        for (s, t), h in handovers.items()
    ]
    listed = [{"name": p.name, "description": p.description, "start_s": host_s[p.name]} for p in machine.processors]
    _write(json, {"machine": machine.describe(), "memory": machine.memory, "processors": listed, "handovers": rows})


@app.command()
def train(
    model: Annotated[str, typer.Argument(help=f"One of {', '.join(MODELS)}.")] = "resnet18",
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of IDX files (MNIST, Fashion-MNIST; .gz or not). Default: the UCI digits."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1)] = 32,
    epochs: Annotated[int, typer.Option(min=1)] = 12,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    placement: Annotated[
        str, typer.Option(help="auto, a processor's name, or a policy: independent, layerwise, mincut.")
    ] = "auto",
    processors: Processors = None,
    memory: Memory = None,
    json: Json = None,
) -> None:
    """Train a model, then show its test accuracy and why its ops ran where they did.

    Example: lwps train resnet18 --data fashion-mnist --steps 200
    """
    dataset = load_folder(data) if data else digits()
    dataset = _fitted(dataset, model)
    machine = _machine(processors, memory)
    settings = training.Settings(batch=batch, epochs=epochs, steps=steps, lr=lr, seed=seed, placement=placement)
    height, width, channels = dataset.train_images.shape[1:]
    out.print(
        f"{model} on {dataset.name}: {len(dataset.train_images)} training and {len(dataset.test_images)} test images"
        f" of {height}x{width}x{channels}, {dataset.classes} classes"
    )
    out.print(f"machine: {machine.describe()}", highlight=False)
    result = _train_with_progress(build(model, dataset.classes, height), dataset, settings, machine)
    if result.receipt is not None:
        cached = " (from the cache)" if result.receipt.from_cache else ""
        out.print(f"\nplacement, measured on this machine{cached}:")
        out.print(str(result.receipt), highlight=False)
    first, last = _ends(result.losses)
    out.print(
        f"\nloss {first:.3f} -> {last:.3f}, {result.images_per_s:.0f} images/s, {result.train_s:.1f} s of training"
    )
    out.print(f"test accuracy {result.test_accuracy:.2%}")
    row = {
        "machine": machine.describe(),
        "model": model,
        "data": dataset.name,
        "settings": attrs.asdict(settings),
        "losses": list(result.losses),
        "test_accuracy": result.test_accuracy,
        "images_per_s": result.images_per_s,
        "train_s": result.train_s,
        "receipt": attrs.asdict(result.receipt) if result.receipt else None,
    }
    _write(json, row)


def _fitted(dataset: Dataset, model: str) -> Dataset:
    """Images as large as the model needs: the convolutional ones take any, LeNet-5 28 pixels or more."""
    size = dataset.train_images.shape[1]
    return fit(dataset, 28) if model == "lenet5" and size < 28 else dataset


def _train_with_progress(
    model: Any, dataset: Dataset, settings: training.Settings, machine: Machine
) -> training.Result:
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(
            "loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:.1%}  {task.fields[rate]:.0f} images/s"
        ),
        TimeElapsedColumn(),
    )
    with Progress(TextColumn("{task.fields[note]}"), *columns, console=out) as bar:
        task = bar.add_task(
            "", total=None, epoch=0, loss=float("nan"), accuracy=0.0, rate=0.0, note="measuring placements"
        )

        def show(p: training.Progress) -> None:
            note = "" if p.step < p.steps else "done"
            bar.update(
                task,
                total=p.steps,
                completed=p.step,
                epoch=p.epoch + 1,
                loss=p.loss,
                accuracy=p.accuracy,
                rate=p.images_per_s,
                note=note,
            )

        return training.train(model, dataset, settings, machine, show)


def _ends(losses: Sequence[float]) -> tuple[float, float]:
    """Mean losses of the first and of the last tenth."""
    n = max(1, len(losses) // 10)
    return sum(losses[:n]) / n, sum(losses[-n:]) / n


@app.command("bench")
def bench_command(
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
    machine = _machine(processors, memory)
    net = build(model, classes, image_size)
    rows = bench(
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
    _write(json, {"machine": machine.describe(), "rows": [attrs.asdict(r) for r in rows]})


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


def _machine(processors: str | None, memory: str | None) -> Machine:
    names = tuple(processors.split(",")) if processors else None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        machine = default_machine(names, memory)
    for w in caught:
        err.print(str(w.message), style="yellow", highlight=False)
    return machine


def _write(path: Path | None, data: Any) -> None:
    if path is not None:
        path.write_text(json.dumps(data, indent=1, default=str) + "\n")


def main() -> None:
    """The `lwps` command; errors that a user can mend are one line, not a traceback."""
    try:
        app()
    except (MachineError, PlanError, DataError, DonationError, ValueError, TypeError) as error:
        err.print(f"lwps: {error}", style="red", highlight=False)
        sys.exit(1)
