"""Running means, and that of the parameters themselves (Polyak averaging)."""

import math
from collections.abc import Callable
from typing import Any

import attrs

from lwps import tracing, tree
from lwps.core import aval_of
from lwps.ops.elementwise import add, astype, div, full, mul, tanh, zeros_like
from lwps.optim.update import check_rates, each_leaf, like


@attrs.frozen(eq=False)
class Average:
    """A running mean of pytrees: `init(params) -> state`, `update(params, state) -> means, state`."""

    init: Callable[[Any], Any]
    update: Callable[[Any, Any], tuple[Any, Any]]


def ema(decay: float) -> Average:
    """The mean of the params of all steps so far, a step k steps ago with a weight of decay^k.

    To be called with the params that `apply_updates` gave; evaluate with the means. Weights add up to 1 from the first
    step on (the sum is divided by 1 - decay^t, as Adam does), so where the params began has no weight. The state is
    {"count": int32 steps so far, "mean": a pytree like the params, not yet divided}.
    """
    check_rates("ema", decay=decay)

    def init(params: Any) -> Any:
        return {"count": full((), 0, "int32"), "mean": tree.map(zeros_like, params)}

    def update(params: Any, state: Any) -> tuple[Any, Any]:
        with tracing.scope(phase="update", layer=""):
            count = add(state["count"], 1)
            correction = div(1, one_minus_power(decay, astype(count, widest(params))))

        def one(p: Any, _: Any, mean: Any) -> tuple[Any, ...]:
            mean = towards(mean, p, decay)
            return mul(mean, like(p, correction)), mean

        means, new = each_leaf(one, params, params, state["mean"])
        return means, {"count": count, "mean": new}

    return Average(init, update)


def towards(mean: Any, x: Any, decay: float) -> Any:
    """decay mean + (1 - decay) x."""
    return add(mul(mean, decay), mul(x, 1 - decay))


def widest(params: Any) -> str:
    """The widest float dtype among the params, in which what all share is computed."""
    return max((aval_of(p).dtype.name for p in tree.leaves(params)), default="float32")  # "float64" comes last


def one_minus_power(b: float, t: Any) -> Any:
    """1 - b^t.

    As 2 h / (1 + h) with h = tanh(-t log(b) / 2): 1 minus a power near 1 would lose digits, at 0.999^1 all but
    four of float32's seven.
    """
    if b == 0:
        return full((), 1, t.dtype)
    h = tanh(mul(t, -math.log(b) / 2))
    return div(mul(h, 2), add(h, 1))
