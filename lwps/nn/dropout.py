"""Dropout: a random part of the elements left out while training."""

from typing import Any

from lwps.nn.layer import Layer, layer_of
from lwps.ops import random


def dropout(rate: float) -> Layer:
    """x -> y: when training, each element is 0 with probability `rate`, the rest divided by 1 - rate.

    `apply(..., train=True)` needs a `key`; a key draws the same elements again, so that each step
    wants one of its own: `random.fold_in(key, step)`.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate must be from 0 to below 1, got {rate}")

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        if not train or rate == 0:
            return x, state
        if key is None:
            raise ValueError("dropout: training must have a key, got None; use apply(..., train=True, key=key)")
        return random.dropout(x, rate, key), state

    return layer_of(lambda key, aval: ({}, {}), apply)
