"""Stages that keep gradients from being too large."""

import functools
from typing import Any

from lwps import tracing, tree
from lwps.ops import elementwise, reduce
from lwps.ops.elementwise import add, div, full, maximum, mul, sqrt, square
from lwps.optim.update import Optimizer, check_at_least_0, each_leaf, like, stateless


def clip(max_delta: float) -> Optimizer:
    """The stage that brings every element between -max_delta and max_delta."""
    check_at_least_0("clip", max_delta=max_delta)
    return stateless(lambda p, g: elementwise.clip(g, -max_delta, max_delta))


def clip_by_global_norm(max_norm: float) -> Optimizer:
    """The stage that scales all gradients by one factor where their norm together is above `max_norm`, to that norm.

    (Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.) A NaN
    among the gradients makes all of them NaN.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_by_global_norm: max_norm must be above 0, got {max_norm}")

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        norm = _norm(params, grads)
        with tracing.scope(phase="update", layer=""):
            factor = div(max_norm, maximum(norm, max_norm))
        return each_leaf(lambda p, g: (mul(g, like(p, factor)),), params, grads)[0], state

    return Optimizer(lambda params: {}, update)


def global_norm(grads: Any) -> Any:
    """The square root of the sum of the squares of all elements of a pytree, 0-d."""
    return _norm(grads, grads)


def _norm(params: Any, grads: Any) -> Any:
    (sums,) = each_leaf(lambda p, g: (reduce.sum(square(g)),), params, grads)
    with tracing.scope(phase="update", layer=""):
        return sqrt(functools.reduce(add, tree.leaves(sums) or [full((), 0, "float32")]))
