"""How to train, and what came of it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from lwps import optim
from lwps.api import Jitted
from lwps.autoplace import Receipt
from lwps.optim import Optimizer

# what is taken where nothing is said
DEFAULTS: dict[str, dict[str, float]] = {
    "sgd": {"lr": 0.05, "weight_decay": 5e-4},
    "adam": {"lr": 1e-3, "weight_decay": 0.0},
    "adamw": {"lr": 1e-3, "weight_decay": 1e-2},
}


def _default(name: str) -> Any:
    return attrs.Factory(lambda self: DEFAULTS.get(self.optimizer, DEFAULTS["sgd"])[name], takes_self=True)


@attrs.frozen
class Settings:
    """How to train. `steps` ends training early where it is given; `lr` is the peak of a cosine.

    `optimizer` is sgd, adam or adamw. `weight_decay` is added to the gradient, for adamw to the update. `clip` is the
    largest norm that the gradients of all parameters may have together; None leaves them as they are.
    """

    batch: int = 32
    epochs: int = 10
    steps: int | None = None
    optimizer: str = attrs.field(default="sgd", validator=attrs.validators.in_(tuple(DEFAULTS)))
    lr: float = _default("lr")
    momentum: float = 0.9
    weight_decay: float = _default("weight_decay")
    clip: float | None = None
    seed: int = 0
    placement: str = "auto"

    def optimizer_of(self, lr: Any) -> Optimizer:
        """The optimizer at a learning rate, a number or a traced one."""
        clip = () if self.clip is None else (optim.clip_by_global_norm(self.clip),)
        return optim.chain(*clip, self._rule(lr))

    def _rule(self, lr: Any) -> Optimizer:
        if self.optimizer == "sgd":
            return optim.sgd(lr, self.momentum, self.weight_decay)
        if self.optimizer == "adamw":
            return optim.adamw(lr, weight_decay=self.weight_decay)
        decay = (optim.add_decayed_weights(self.weight_decay),) if self.weight_decay else ()
        return optim.chain(*decay, optim.adam(lr))


@attrs.frozen
class Progress:
    """One step done: `accuracy` is the share of right answers, `per_s` images (characters) a second, `time` Unix's."""

    step: int
    steps: int
    epoch: int
    loss: float
    accuracy: float
    lr: float
    per_s: float
    time: float


@attrs.frozen
class Evaluation:
    """Means over all test examples. exp(`loss`) is the perplexity."""

    loss: float
    accuracy: float


@attrs.frozen
class Result:
    """What training came to; `test` is None where it was stopped before its end, at step `done` of `steps`.

    `per_s` is what was trained on in a second (images, characters), `checkpoint` the last one that was written.
    """

    losses: tuple[float, ...]
    done: int
    steps: int
    test: Evaluation | None
    per_s: float
    train_s: float
    step: Jitted
    params: Any
    state: Any
    checkpoint: Path | None = None

    @property
    def test_accuracy(self) -> float:
        """The share of right answers on what was held out; NaN where training was stopped."""
        return self.test.accuracy if self.test else math.nan

    @property
    def receipt(self) -> Receipt | None:
        """What was measured, where placement="auto" was asked for and no plan was at hand."""
        return self.step.receipt


Report = Callable[[Progress], None]
Note = Callable[[str], None]
