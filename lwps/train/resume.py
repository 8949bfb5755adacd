"""What a checkpoint of a training says beside its arrays, and whether a training may go on from it."""

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from lwps.blas import blas
from lwps.checkpoint import CheckpointError, load_metadata, read
from lwps.core import Program
from lwps.data import Dataset, Examples, Text
from lwps.plan import Plan, PlanError
from lwps.planning import elsewhere, fit
from lwps.runtime.machine import Machine
from lwps.train.settings import Settings
from lwps.train.state import State

KIND = "training"
# where eqns run changes the rounding only; data may lie elsewhere, and are known by their fingerprint
MAY_DIFFER = ("placement", "data")


@attrs.frozen
class Origin:
    """What a checkpoint was trained on and how; `about` is what the caller of `train` wants kept: the model's name."""

    step: int
    steps: int
    settings: Settings
    data: Mapping[str, Any]
    about: Mapping[str, Any]
    plan: Plan
    software: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The metadata of a checkpoint."""
        return {
            "kind": KIND,
            "step": self.step,
            "steps": self.steps,
            "settings": attrs.asdict(self.settings),
            "data": dict(self.data),
            "about": dict(self.about),
            "plan": self.plan.to_json(),
            "software": dict(self.software),
        }


def origin_of(path: Path) -> Origin:
    """What the checkpoint at `path` says; CheckpointError if it is damaged or none of a training."""
    data = load_metadata(path)
    if data.get("kind") != KIND:
        raise CheckpointError(f"{path}: must be a checkpoint of a training, got a file of lwps.save; use lwps.load")
    try:
        return Origin(
            data["step"],
            data["steps"],
            Settings(**data["settings"]),
            data["data"],
            data["about"],
            Plan.from_json(data["plan"]),
            data["software"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: must be a checkpoint of this lwps, got one of another version ({error})"
        ) from error


def described(dataset: Examples) -> dict[str, Any]:
    """What a checkpoint keeps of a data set: how to know it again, and what its model's inputs and outputs mean."""
    shape, dtype = dataset.example
    known: dict[str, Any] = {
        "name": dataset.name,
        "kind": dataset.kind,
        "fingerprint": dataset.fingerprint,
        "classes": dataset.classes,
        "shape": list(shape),
        "dtype": str(dtype),
    }
    if isinstance(dataset, Dataset):
        known |= {"mean": dataset.mean, "deviation": dataset.deviation, "class_names": dataset.class_names}
    if isinstance(dataset, Text):
        known["vocabulary"] = dataset.vocabulary
    return known


def software() -> dict[str, str]:
    """Versions that the bits of the host's results may depend on."""
    return {"lwps": _own_version(), "numpy": np.__version__, "blas": blas().library}


def _own_version() -> str:
    try:
        return importlib.metadata.version("lwps")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def restored(
    path: Path, first: State, settings: Settings, dataset: Examples, about: Mapping[str, Any]
) -> tuple[State, Origin]:
    """The state in a checkpoint, known to fit this training; CheckpointError names each thing that differs."""
    origin = origin_of(path)
    wrong = [
        f"{name} must be {then!r}, got {now!r}"
        for name, then, now in (
            *_differing(attrs.asdict(origin.settings), attrs.asdict(settings)),
            *_differing(origin.about, about),
        )
        if name not in MAY_DIFFER
    ]
    if origin.data["fingerprint"] != dataset.fingerprint:
        then = f"{origin.data['name']} ({origin.data['kind']}, fingerprint {origin.data['fingerprint']})"
        wrong.append(f"data must be {then}, got {dataset.name} ({dataset.kind}, fingerprint {dataset.fingerprint})")
    if wrong:
        raise CheckpointError(f"{path}: to go on, {'; '.join(wrong)}; leave it out, or begin anew in another folder")
    return State.of_tree(origin.step, read(path, first.like(origin.step)).tree), origin


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, then.get(name), value) for name, value in now.items() if then.get(name) != value]


def plan_to_go_on_with(
    origin: Origin, settings: Settings, traced: Program, machine: Machine
) -> tuple[Plan | None, tuple[str, ...]]:
    """The checkpoint's plan, or None where a new one is wanted; and lines that say why, or what may round otherwise."""
    if settings.placement != origin.settings.placement:
        return None, (f"placed anew by {settings.placement}, no longer as {origin.settings.placement} was",)
    other = elsewhere(origin.plan, machine.describe(), machine.memory)
    if other:
        return None, (f"this is another machine ({'; '.join(other)}): placed anew by {settings.placement}",)
    try:
        fit(origin.plan, traced)
    except PlanError as error:
        reason = str(error).splitlines()[0]
        return None, (f"the program is another than in the checkpoint ({reason}): placed anew by {settings.placement}",)
    now = software() | {"BLAS threads": str(blas().threads)}
    then = {**origin.software, "BLAS threads": str(origin.plan.blas_threads)}
    rows = [f"{name} {value}, was {then.get(name)}" for name, value in now.items() if then.get(name) != value]
    return origin.plan, (f"rounding may differ from before: {'; '.join(rows)}",) if rows else ()
