"""When a training is saved, and what happens where it cannot be."""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from lwps.checkpoint import CheckpointError, Checkpoints
from lwps.train.resume import Origin
from lwps.train.state import State

_EVERY = re.compile(r"(\d+)(s|m|h|)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@attrs.frozen
class Every:
    """How often: every so many steps, or seconds."""

    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, text: str) -> "Every":
        """`500` (steps), `30s`, `10m` or `2h`."""
        match = _EVERY.fullmatch(text)
        if not match or int(match[1]) == 0:
            raise ValueError(f"every: must be steps (500) or a time (30s, 10m, 2h), at least 1, got {text!r}")
        if match[2]:
            return cls(seconds=float(match[1]) * _SECONDS[match[2]])
        return cls(steps=int(match[1]))


@attrs.define
class Saver:
    """Saves a training now and then; `about` is kept with it. `latest` is the last file that was written."""

    checkpoints: Checkpoints
    every: Every = Every(seconds=300)
    about: Mapping[str, Any] = attrs.Factory(dict)
    latest: Path | None = None
    _saved_step: int | None = None
    _saved_at: float = attrs.Factory(lambda: time.monotonic())

    def due(self, step: int) -> bool:
        """Whether it is time."""
        if self.every.steps is not None:
            return step % self.every.steps == 0
        return time.monotonic() - self._saved_at >= (self.every.seconds or 0.0)

    def save(self, state: State, origin: Origin, note: Callable[[str], None]) -> bool:
        """Write a checkpoint, unless that of this step is there; where it cannot be written `note` says so.

        Training goes on then: what was saved before is untouched, and it is tried again when it is due again.
        """
        if state.step == self._saved_step:
            return True
        self._saved_at = time.monotonic()
        try:
            self.latest = self.checkpoints.save(state.step, state.to_tree(), **origin.to_json())
        except CheckpointError as error:
            kept = self.latest.name if self.latest else "none"
            note(f"step {state.step} is not saved: {error}; the last checkpoint is {kept}")
            return False
        self._saved_step = state.step
        return True
