"""What the shell trains: a model by its name, on the data at a path."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from lwps.checkpoint import CheckpointError, Checkpoints
from lwps.data import Dataset, Examples, Pictures, Text, digits, fit, load
from lwps.models import MODELS, TEXT_MODELS, build, build_text
from lwps.nn import Layer
from lwps.train.resume import Origin, origin_of
from lwps.train.settings import Settings

EPOCHS = 12  # of the shell
SMALLEST = {"lenet5": 28}  # pixels a side that a model needs; smaller images are enlarged


@attrs.frozen
class Job:
    """A model of `lwps.models`, and data: a path, or None for the digits that come with lwps.

    `image_size` and `resize` say how pictures of a folder become one size (see `Pictures`); other images are enlarged
    to `image_size`. `context` is how many characters of a text a model sees at once.
    """

    model: str = "resnet18"
    data: str | None = None
    image_size: int | None = None
    resize: str = "crop"
    context: int = 64

    def dataset(self) -> Examples:
        """The data; DataError says what is wrong with it. ValueError where there is no such model."""
        if self.model not in (*MODELS, *TEXT_MODELS):
            known = ", ".join((*MODELS, *TEXT_MODELS))
            raise ValueError(f"train: the model must be one of {known}, got {self.model!r}")
        if self.data is None:
            found: Examples = digits()
        else:
            found = load(self.data, pictures=Pictures(self.image_size, self.resize), context=self.context)
        if isinstance(found, Dataset):
            side = max(found.train_images.shape[1:3])
            wanted = max(self.image_size or 0, SMALLEST.get(self.model, 0))
            return fit(found, wanted) if wanted and side != wanted else found
        return found

    def build(self, dataset: Examples) -> Layer:
        """The model for this data; ValueError where it is for other data."""
        shape, _ = dataset.example
        if isinstance(dataset, Text) != (self.model in TEXT_MODELS):
            wanted = "a text (--data FILE.txt)" if self.model in TEXT_MODELS else "images"
            raise ValueError(f"train: {self.model} must have {wanted}, got {dataset.name}, {dataset.kind}")
        of_kind = build_text if isinstance(dataset, Text) else build
        return of_kind(self.model, dataset.classes, shape[0])


@attrs.frozen
class Session:
    """A job with its settings, from the beginning, or from the checkpoint `resume` on.

    `origin` is what that checkpoint says, `refused` why newer ones were not taken.
    """

    job: Job
    settings: Settings
    resume: Path | None = None
    origin: Origin | None = None
    refused: tuple[str, ...] = ()


def session(
    job: Mapping[str, Any], settings: Mapping[str, Any], checkpoints: Checkpoints | None, resume: bool
) -> Session:
    """What is to be done where only some fields of `Job` and `Settings` are given (not None).

    The others have their defaults, or with `resume` what the newest good checkpoint has. CheckpointError where there
    is none, where the folder cannot be written, or where, without `resume`, it holds another training.
    """
    job, settings = _given(job), _given(settings)
    if checkpoints is None or not resume:
        if checkpoints is not None:
            _check_empty(checkpoints)
            checkpoints.prepare()
        wanted = Job(**job)
        usual = {"epochs": EPOCHS, "optimizer": "adamw" if wanted.model in TEXT_MODELS else "sgd"}
        return Session(wanted, Settings(**{**usual, **settings}))
    newest = checkpoints.newest()
    checkpoints.prepare()
    origin = origin_of(newest.path)
    return Session(
        attrs.evolve(_job_of(origin, newest.path), **job),
        attrs.evolve(origin.settings, **settings),
        newest.path,
        origin,
        newest.refused,
    )


def _job_of(origin: Origin, path: Path) -> Job:
    fields = [field.name for field in attrs.fields(Job)]
    if sorted(origin.about) != sorted(fields):
        raise CheckpointError(
            f"{path}: must be a checkpoint of `lwps train`, which keeps {', '.join(fields)},"
            f" got one that keeps {', '.join(origin.about) or 'nothing'}; go on from it in Python: train(resume=)"
        )
    return Job(**origin.about)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _check_empty(checkpoints: Checkpoints) -> None:
    steps = checkpoints.steps()
    if steps:
        raise CheckpointError(
            f"{checkpoints.folder}: must hold no checkpoints of another training, got one of step {steps[-1]};"
            " go on from it with --resume, or name another folder"
        )
