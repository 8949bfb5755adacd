"""Schedules: pure functions from a count of steps to a number, after optax.

The count is a traced or known int32 scalar or a Python int, 0 at the first step; the result is float32, 0-d. A schedule
stands where an optimizer takes a learning rate, or is called by hand.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lwps.ops.elementwise import (
    add,
    astype,
    div,
    exp,
    full,
    greater_equal,
    less,
    maximum,
    minimum,
    mul,
    sub,
    where,
)
from lwps.optim.update import Schedule


def constant_schedule(value: float) -> Schedule:
    """`value` at every step."""
    return lambda count: full((), value, "float32")


def linear_schedule(init_value: float, end_value: float, transition_steps: int, transition_begin: int = 0) -> Schedule:
    """From `init_value` to `end_value` in even steps: warm-up, or linear decay. Constant before and after."""
    _check("linear_schedule", transition_steps=transition_steps)

    def schedule(count: Any) -> Any:
        way = _way(count, transition_begin, transition_steps)
        return add(mul(way, end_value - init_value), init_value)

    return schedule


def exponential_decay(
    init_value: float,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    """`init_value decay_rate^((count - transition_begin) / transition_steps)`, constant before the transition.

    With `staircase` the exponent is rounded down: a step every `transition_steps`. `end_value` bounds the
    value: from below where `decay_rate` is below 1, else from above.
    """
    _check("exponential_decay", transition_steps=transition_steps)
    if not decay_rate > 0:
        raise ValueError(f"exponential_decay: decay_rate must be above 0, got {decay_rate}")

    def schedule(count: Any) -> Any:
        n = div(maximum(sub(_number(count), transition_begin), 0), transition_steps)
        if staircase:
            n = astype(astype(n, "int32"), "float32")
        value = mul(exp(mul(n, math.log(decay_rate))), init_value)
        if end_value is None:
            return value
        return maximum(value, end_value) if decay_rate < 1 else minimum(value, end_value)

    return schedule


def piecewise_constant_schedule(init_value: float, boundaries_and_scales: Mapping[int, float]) -> Schedule:
    """`init_value`, times the scale of every boundary that the count has reached: `{60: 0.1, 80: 0.1}`."""

    def schedule(count: Any) -> Any:
        value, t = full((), init_value, "float32"), _number(count)
        for boundary, scale in boundaries_and_scales.items():
            value = mul(value, where(greater_equal(t, boundary), scale, 1.0))
        return value

    return schedule


def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """The first schedule before `boundaries[0]`, then the second one, and so on; each counts from its beginning."""
    if len(schedules) != len(boundaries) + 1 or list(boundaries) != sorted(boundaries):
        raise ValueError(
            f"join_schedules: there must be a rising boundary between every two schedules, got {list(boundaries)}"
            f" for {len(schedules)} schedules"
        )

    def schedule(count: Any) -> Any:
        count = astype(count, "int32")
        value = schedules[-1](sub(count, boundaries[-1])) if boundaries else schedules[0](count)
        for start, stop, part in reversed(list(zip((0, *boundaries), boundaries, schedules[:-1], strict=False))):
            value = where(less(count, stop), part(sub(count, start)), value)
        return value

    return schedule


def _number(count: Any) -> Any:
    return astype(count, "float32")


def _way(count: Any, begin: int, steps: int) -> Any:
    """How much of the way from step `begin` has been gone after `steps` more: 0 to 1."""
    return minimum(maximum(div(sub(_number(count), begin), steps), 0), 1)


def _check(op: str, **counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{op}: {name} must be at least 1, got {count}")
