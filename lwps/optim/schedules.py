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
    floor,
    full,
    greater_equal,
    less,
    maximum,
    minimum,
    mul,
    sin,
    square,
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


def cosine_decay_schedule(init_value: float, decay_steps: int, alpha: float = 0.0) -> Schedule:
    """From `init_value` to `alpha init_value` along half a cosine (Loshchilov, Hutter, "SGDR", ICLR 2017)."""
    _check("cosine_decay_schedule", decay_steps=decay_steps)

    def schedule(count: Any) -> Any:
        left = sub(1, _way(count, 0, decay_steps))
        share = square(sin(mul(left, math.pi / 2)))  # (1 + cos(pi way)) / 2, without its cancellation near the end
        return mul(add(mul(share, 1 - alpha), alpha), init_value)

    return schedule


def warmup_cosine_decay_schedule(
    init_value: float, peak_value: float, warmup_steps: int, decay_steps: int, end_value: float = 0.0
) -> Schedule:
    """From `init_value` evenly to `peak_value` in `warmup_steps`, then along half a cosine to `end_value`.

    `decay_steps` counts all steps, those of the warm-up included.
    """
    if not 0 <= warmup_steps < decay_steps:
        raise ValueError(
            f"warmup_cosine_decay_schedule: warmup_steps must be from 0 to below the {decay_steps} decay_steps,"
            f" got {warmup_steps}"
        )
    alpha = end_value / peak_value if peak_value else 0.0
    decay = cosine_decay_schedule(peak_value, decay_steps - warmup_steps, alpha)
    if warmup_steps == 0:
        return decay
    return join_schedules([linear_schedule(init_value, peak_value, warmup_steps), decay], [warmup_steps])


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
            n = floor(n)
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
