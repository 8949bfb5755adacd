"""`lwps train`."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from lwps import train as training
from lwps.checkpoint import Checkpoints
from lwps.cli.terminal import Json, Memory, Processors, err, machine_for, machine_of, out, warnings_as_lines, write_json
from lwps.data import Dataset, Examples, Text
from lwps.models import MODELS, TEXT_MODELS
from lwps.nn import Layer
from lwps.plan import Plan, load_plan
from lwps.runtime.machine import Machine, MachineError
from lwps.train import DEFAULTS, Every, Job, Progress, Report, Result, Saver, Session, Settings

SAMPLE = 200  # characters that a model of text writes in the end
_MODELS = ", ".join((*MODELS, *TEXT_MODELS))
_JOB, _SETTINGS = Job(), Settings()
_BY_OPTIMIZER = {k: ", ".join(f"{d[k]:g} for {name}" for name, d in DEFAULTS.items()) for k in ("lr", "weight_decay")}


def train(
    model: Annotated[str | None, typer.Argument(help=f"One of {_MODELS}. Default: {_JOB.model}.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A folder of IDX files (MNIST; .gz or not) or of CIFAR's binary files, a folder with a folder of"
            " pictures for each class, an .npz file, or a text file. Default: the digits that come with lwps."
        ),
    ] = None,
    image_size: Annotated[int | None, typer.Option(min=1, help="Pixels a side that images are brought to.")] = None,
    resize: Annotated[str | None, typer.Option(help="Pictures of other sizes: crop (default) or stretch.")] = None,
    context: Annotated[
        int | None, typer.Option(min=1, help=f"Characters of text seen at once. Default: {_JOB.context}.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help=f"Examples in a step. Default: {_SETTINGS.batch}.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help=f"Default: {training.EPOCHS}.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Train for so many steps, whatever the epochs.")] = None,
    optimizer: Annotated[str | None, typer.Option(help=f"{', '.join(DEFAULTS)}. Default: sgd, for gpt adamw.")] = None,
    lr: Annotated[float | None, typer.Option(help=f"Peak learning rate. Default: {_BY_OPTIMIZER['lr']}.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help=f"Default: {_BY_OPTIMIZER['weight_decay']}.")] = None,
    clip: Annotated[float | None, typer.Option(help="The largest norm of all gradients together.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Default: 0.")] = None,
    placement: Annotated[
        str | None,
        typer.Option(help="auto (default), a processor's name, or a policy: independent, layerwise, mincut."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="Run this plan of the very step that is trained (`lwps plan`); --placement is not read."),
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Save to this folder now and then, and at Ctrl-C.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest good checkpoint there.")] = False,
    keep: Annotated[int, typer.Option(min=1, help="How many checkpoints stay.")] = 3,
    every: Annotated[str, typer.Option(help="How often to save: in steps (500) or time (30s, 10m, 2h).")] = "5m",
    log: Annotated[Path | None, typer.Option(help="Write a line of JSON for each step to this file.")] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Write the same to this folder, for TensorBoard.")] = None,
    processors: Processors = None,
    memory: Memory = None,
    json: Json = None,
) -> None:
    """Train a model, then show how well it does on data held out, and why its ops ran where they did.

    Example: lwps train resnet18 --data fashion-mnist --checkpoint runs/1
    """
    if resume and checkpoint is None:
        raise typer.BadParameter("--resume must come with --checkpoint, the folder to go on from")
    planned = load_plan(plan) if plan else None
    checkpoints = Checkpoints(checkpoint, keep) if checkpoint else None
    of_data = {"data": str(data.resolve()) if data else None, "image_size": image_size, "resize": resize}
    session = training.session(
        {"model": model, "context": context, **of_data},
        {
            "batch": batch,
            "epochs": epochs,
            "steps": steps,
            "optimizer": optimizer,
            "lr": lr,
            "weight_decay": weight_decay,
            "clip": clip,
            "seed": seed,
            "placement": placement,
        },
        checkpoints,
        resume,
    )
    for line in session.refused:
        _note(f"not used: {line}")
    dataset = session.job.dataset()
    net = session.job.build(dataset)
    machine = _machine(processors, memory, session, planned)
    _say_what(session, dataset, machine)
    saver = Saver(checkpoints, Every.of(every), attrs.asdict(session.job)) if checkpoints else None
    result = _trained(session, net, dataset, machine, saver, planned, log, tensorboard)
    _show(result, dataset)
    sample = _sample(session, dataset, net, result, machine)
    write_json(json, {**_row(session, dataset, machine, result, plan), "sample": sample})
    if result.test is None:
        _say_how_to_go_on(result, checkpoint)


def _trained(
    session: Session,
    net: Layer,
    dataset: Examples,
    machine: Machine,
    saver: Saver | None,
    plan: Plan | None,
    log: Path | None,
    tensorboard: Path | None,
) -> Result:
    """What training comes to, with a bar while it runs, logs, and Ctrl-C as a wish where that can be saved."""
    at = session.origin.step if session.origin else None
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings_as_lines())
        reports = [stack.enter_context(_bar(dataset.unit, session))]
        if log:
            reports.append(stack.enter_context(training.json_lines(log, dataset.unit, _note, at)))
        if tensorboard:
            reports.append(stack.enter_context(training.tensorboard(tensorboard, dataset.unit, at)))
        return training.train(
            net,
            dataset,
            session.settings,
            machine,
            lambda progress: _each(reports, progress),
            saver=saver,
            resume=session.resume,
            stop=stack.enter_context(training.stop_on_signals(_note)) if saver else lambda: False,
            note=_note,
            plan=plan,
        )


def _each(reports: Sequence[Report], progress: Progress) -> None:
    for report in reports:
        report(progress)


def _note(text: str) -> None:
    err.print(text, style="yellow", highlight=False)


def _machine(processors: str | None, memory: str | None, session: Session, plan: Plan | None) -> Machine:
    """The machine of the options; what they leave open is as in the plan, or as in the checkpoint if it can be."""
    if plan or session.origin is None:
        return machine_for(plan or session.settings.placement, processors, memory)
    try:
        return machine_for(session.origin.plan, processors, memory)
    except MachineError as error:
        if processors or memory:
            raise
        _note(f"not the machine of the checkpoint: {error}")
        return machine_of(None, None)


def _say_what(session: Session, dataset: Examples, machine: Machine) -> None:
    if isinstance(dataset, Dataset):
        size = "x".join(map(str, dataset.train_images.shape[1:]))
        test = len(dataset.test_images)
        what = f"{dataset.count} training and {test} test images of {size}, {dataset.classes} classes"
    else:
        what = f"{dataset.count} windows of {dataset.example[0][0]} characters, {dataset.classes} different ones"
    out.print(f"{session.job.model} on {dataset.name} ({dataset.kind}): {what}", highlight=False)
    out.print(f"machine: {machine.describe()}", highlight=False)
    if session.origin:
        out.print(
            f"going on from step {session.origin.step} of {session.origin.steps}: {session.resume}", highlight=False
        )


@contextlib.contextmanager
def _bar(unit: str, session: Session) -> Iterator[Report]:
    columns = (
        TextColumn("{task.fields[note]}"),
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(
            "loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:.1%}  {task.fields[rate]:.0f} " + f"{unit}/s"
        ),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=out) as bar:
        origin = session.origin
        begin = {"total": origin.steps, "completed": origin.step} if origin else {"total": None}
        note = "compiling" if origin else "measuring placements"
        task = bar.add_task("", **begin, epoch=0, loss=float("nan"), accuracy=0.0, rate=0.0, note=note)

        def show(p: Progress) -> None:
            bar.update(
                task,
                total=p.steps,
                completed=p.step,
                epoch=p.epoch + 1,
                loss=p.loss,
                accuracy=p.accuracy,
                rate=p.per_s,
                note="" if p.step < p.steps else "done",
            )

        yield show


def _show(result: Result, dataset: Examples) -> None:
    if result.receipt is not None:
        cached = " (from the cache)" if result.receipt.from_cache else ""
        out.print(f"\nplacement, measured on this machine{cached}:")
        out.print(str(result.receipt), highlight=False)
    first, last = _ends(result.losses)
    rate = f"{result.per_s:.0f} {dataset.unit}/s, {result.train_s:.1f} s of training"
    out.print(f"\nloss {first:.3f} -> {last:.3f}, {rate}")
    if result.test is not None and isinstance(dataset, Text):
        loss = f"held-out loss {result.test.loss:.3f}, perplexity {math.exp(result.test.loss):.2f}"
        out.print(f"{loss}, accuracy {result.test.accuracy:.2%}")
    elif result.test is not None:
        out.print(f"test accuracy {result.test.accuracy:.2%}")
    if result.checkpoint is not None:
        out.print(f"checkpoint: {result.checkpoint}", highlight=False)


def _sample(session: Session, dataset: Examples, net: Layer, result: Result, machine: Machine) -> str | None:
    """What a model of text writes once it is trained, shown."""
    if result.test is None or not isinstance(dataset, Text):
        return None
    seed = session.settings.seed
    written = training.sample(net, result.params, result.state, dataset, SAMPLE, seed=seed, machine=machine)
    out.print("a sample:")
    out.print(written, markup=False, highlight=False)
    return written


def _ends(losses: Sequence[float]) -> tuple[float, float]:
    """Mean losses of the first and of the last tenth."""
    n = max(1, len(losses) // 10)
    return sum(losses[:n]) / n, sum(losses[-n:]) / n


def _row(session: Session, dataset: Examples, machine: Machine, result: Result, plan: Path | None) -> dict[str, Any]:
    return {
        "machine": machine.describe(),
        "model": session.job.model,
        "data": dataset.name,
        "settings": attrs.asdict(session.settings) | ({"placement": str(plan)} if plan else {}),
        "losses": list(result.losses),
        "test_loss": result.test.loss if result.test else None,
        "test_accuracy": result.test.accuracy if result.test else None,
        f"{dataset.unit}_per_s": result.per_s,
        "train_s": result.train_s,
        "receipt": attrs.asdict(result.receipt) if result.receipt else None,
    }


def _say_how_to_go_on(result: Result, folder: Path | None) -> None:
    """The end of a training that was stopped; the exit status is that of Ctrl-C."""
    saved = "" if result.checkpoint else "; NOT saved"
    out.print(f"stopped at step {result.done} of {result.steps}{saved}", highlight=False)
    if result.checkpoint:
        out.print(f"to go on: lwps train --checkpoint {folder} --resume", highlight=False)
    raise typer.Exit(130)
