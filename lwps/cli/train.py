"""`lwps train`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lwps import train as training
from lwps.cli.terminal import Json, Memory, Processors, machine_for, out, write_json
from lwps.data import Dataset, digits, fit, load_folder
from lwps.models import MODELS, build
from lwps.plan import Plan, load_plan
from lwps.runtime.machine import Machine


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
    plan: Annotated[
        Path | None,
        typer.Option(help="Run this plan of the very step that is trained (`lwps plan`); --placement is not read."),
    ] = None,
    processors: Processors = None,
    memory: Memory = None,
    json: Json = None,
) -> None:
    """Train a model, then show its test accuracy and why its ops ran where they did.

    Example: lwps train resnet18 --data fashion-mnist --steps 200
    """
    dataset = load_folder(data) if data else digits()
    dataset = _fitted(dataset, model)
    chosen: str | Plan = load_plan(plan) if plan else placement
    machine = machine_for(chosen, processors, memory)
    settings = training.Settings(batch=batch, epochs=epochs, steps=steps, lr=lr, seed=seed, placement=chosen)
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
        "settings": {**attrs.asdict(settings, recurse=False), "placement": str(plan or placement)},
        "losses": list(result.losses),
        "test_accuracy": result.test_accuracy,
        "images_per_s": result.images_per_s,
        "train_s": result.train_s,
        "receipt": attrs.asdict(result.receipt) if result.receipt else None,
    }
    write_json(json, row)


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
