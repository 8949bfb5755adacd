"""What a training is at one step: all that the next step depends on, beside the settings and the data."""

from typing import Any

import attrs
import numpy as np

from lwps import random
from lwps.core import ShapedArray
from lwps.data import Examples
from lwps.nn import Layer
from lwps.train.settings import Settings

_DRAWS = 0xFFFFFFFF  # the number of the key for drawing while training; layers' own have small ones


@attrs.define
class State:
    """Pytrees after `step` steps, and the losses of these."""

    step: int
    params: Any
    state: Any
    opt_state: Any
    losses: list[float]

    def to_tree(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "params": self.params,
            "state": self.state,
            "opt_state": self.opt_state,
            "losses": np.array(self.losses, np.float64),
        }

    def like(self, step: int) -> dict[str, Any]:
        """The avals of `to_tree` after `step` steps."""
        return self.to_tree() | {"losses": ShapedArray((step,), "float64")}

    @classmethod
    def of_tree(cls, step: int, tree: dict[str, Any]) -> "State":
        """The state that `to_tree` took apart."""
        return cls(step, tree["params"], tree["state"], tree["opt_state"], tree["losses"].tolist())


def first_state(model: Layer, dataset: Examples, settings: Settings) -> State:
    """Where training begins."""
    params, state, _ = model.init(random.key(settings.seed), input_aval(dataset, settings.batch))
    return State(0, params, state, settings.optimizer_of(settings.lr).init(params), [])


def input_aval(dataset: Examples, batch: int) -> ShapedArray:
    """What a model is applied to."""
    shape, dtype = dataset.example
    return ShapedArray((batch, *shape), dtype)


def key_of(settings: Settings, step: int) -> Any:
    """The key with which layers draw in a step: a function of seed and step, so that nothing is to be kept."""
    return random.fold_in(random.fold_in(random.key(settings.seed), _DRAWS), step)
