"""Stages that scale gradients, and the one that adds the parameters themselves."""

from typing import Any

from lwps import tracing
from lwps.ops.elementwise import add, full, mul, neg
from lwps.optim.partition import Which, masked
from lwps.optim.update import Optimizer, Schedule, check_at_least_0, like, stateless


def scale(factor: Any) -> Optimizer:
    """The stage g -> factor g; a number or a (traced) 0-d array."""
    return stateless(lambda p, g: mul(g, like(p, factor)))


def scale_by_schedule(schedule: Schedule) -> Optimizer:
    """The stage g -> schedule(count) g; count is 0 at the first step. The state is {"count": int32 steps so far}."""

    def init(params: Any) -> Any:
        return {"count": full((), 0, "int32")}

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        with tracing.scope(phase="update", layer=""):
            factor = schedule(state["count"])
            count = add(state["count"], 1)
        return scale(factor).update(grads, {}, params)[0], {"count": count}

    return Optimizer(init, update)


def scale_by_learning_rate(learning_rate: Any) -> Optimizer:
    """The stage g -> -learning_rate g, the last one of an optimizer.

    The learning rate is a number, a (traced) 0-d array, or a schedule; with a schedule the state counts steps.
    """
    if callable(learning_rate):
        return scale_by_schedule(lambda count: _minus(learning_rate(count)))

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        with tracing.scope(phase="update", layer=""):
            factor = _minus(learning_rate)
        return scale(factor).update(grads, state, params)

    return Optimizer(lambda params: {}, update)


def _minus(x: Any) -> Any:
    return -x if isinstance(x, int | float) else neg(x)


def add_decayed_weights(weight_decay: Any, mask: Which | None = None) -> Optimizer:
    """The stage g -> g + weight_decay p, for the parameters that `mask` picks (see `masked`), by default all of them.

    A number or a (traced) 0-d array.
    """
    if isinstance(weight_decay, int | float):
        check_at_least_0("add_decayed_weights", weight_decay=weight_decay)
    decay = stateless(lambda p, g: add(g, mul(p, like(p, weight_decay))))
    return decay if mask is None else masked(decay, mask)
