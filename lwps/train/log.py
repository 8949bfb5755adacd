"""Logs of training: JSON lines, and TensorBoard's files through an extra.

A log is a context that takes each `Progress`. Going on from a checkpoint drops the lines of the steps behind it: they
come again.
"""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lwps.checkpoint import replacing
from lwps.train.settings import Note, Progress, Report


class LogError(ValueError):
    """A log cannot be written, or needs a package that is not there."""


def scalars(progress: Progress, unit: str) -> dict[str, float]:
    """What is logged of a step, by name."""
    rate = f"{unit}_per_s"
    return {"loss": progress.loss, "accuracy": progress.accuracy, "lr": progress.lr, rate: progress.per_s}


@contextlib.contextmanager
def json_lines(path: Path, unit: str, note: Note, resumed_at: int | None = None) -> Iterator[Report]:
    """A file with one JSON object a line for each step: step, loss, accuracy, lr, images_per_s, time (Unix's).

    A number that is not finite is null. Each line is written at once; where that fails `note` says so, and training
    goes on without. The file is written anew, or with `resumed_at` continued behind that step.
    """
    try:
        _keep(path, resumed_at)
        file = path.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise LogError(f"log: {path} must be a file that can be written, got {error.strerror}") from None
    failed = False

    def write(progress: Progress) -> None:
        nonlocal failed
        row = {"step": progress.step, **scalars(progress, unit), "time": progress.time}
        finite = {name: value if math.isfinite(value) else None for name, value in row.items()}
        try:
            if not failed:
                file.write(json.dumps(finite) + "\n")
        except OSError as error:
            failed = True
            note(f"log: {path} ends before step {progress.step}: {error.strerror}")

    with contextlib.suppress(OSError), file:  # closing writes what could not be written before
        yield write


def _keep(path: Path, resumed_at: int | None) -> None:
    """Leave the lines of steps up to `resumed_at`; what a killed process had half written goes too."""
    lines = path.read_bytes().splitlines(keepends=True) if resumed_at is not None and path.exists() else []
    with replacing(path) as file:
        file.writelines(line for line in lines if line.endswith(b"\n") and _step(line) <= (resumed_at or 0))


def _step(line: bytes) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # no line of a log


@contextlib.contextmanager
def tensorboard(folder: Path, unit: str, resumed_at: int | None = None) -> Iterator[Report]:
    """Files in `folder` for TensorBoard, with what `json_lines` has; needs `pip install 'lwps[tensorboard]'`."""
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError as error:
        raise LogError(
            f"tensorboard: tensorboardX must be there, got {error}; pip install 'lwps[tensorboard]'"
        ) from None
    try:
        writer: Any = SummaryWriter(str(folder), purge_step=None if resumed_at is None else resumed_at + 1)
    except OSError as error:
        raise LogError(f"tensorboard: {folder} must be a folder that can be written, got {error.strerror}") from None

    def write(progress: Progress) -> None:
        for name, value in scalars(progress, unit).items():
            writer.add_scalar(name, value, progress.step, walltime=progress.time)

    with contextlib.closing(writer):
        yield write
