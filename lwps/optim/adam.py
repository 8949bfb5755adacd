"""Adam (Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015)."""

import math
from typing import Any

from lwps import tracing, tree
from lwps.core import aval_of
from lwps.ops.elementwise import add, astype, div, full, mul, rsqrt, sqrt, square, tanh, zeros_like
from lwps.optim.update import Optimizer, check_rates, each_leaf, minus


def adam(learning_rate: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """The optimizer update = -learning_rate m' / (sqrt(v') + eps).

    m and v are running means of g and g^2 with decays `b1` and `b2`; m' = m / (1 - b1^t) and v' = v / (1 - b2^t) at
    step t = 1, 2, ... The learning rate is a number or a traced 0-d array. The state is {"count": int32 steps so
    far, "m": a pytree like the params, "v": another}.
    """
    check_rates("adam", b1=b1, b2=b2)
    if eps < 0:
        raise ValueError(f"adam: eps must be at least 0, got {eps}")

    def init(params: Any) -> Any:
        return {
            "count": full((), 0, "int32"),
            "m": tree.map(zeros_like, params),
            "v": tree.map(zeros_like, params),
        }

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        with tracing.scope(phase="update", layer=""):
            count = add(state["count"], 1)
            corrections = _corrections(count, params, b1, b2)

        def one(p: Any, g: Any, m: Any, v: Any) -> tuple[Any, ...]:
            m = add(mul(m, b1), mul(g, 1 - b1))
            v = add(mul(v, b2), mul(square(g), 1 - b2))
            of_m, of_v = (astype(c, aval_of(p).dtype) for c in corrections)
            scale = mul(minus(learning_rate, p), of_m)
            return div(mul(m, scale), add(mul(sqrt(v), of_v), eps)), m, v

        updates, m, v = each_leaf("adam", one, 3, params, grads, state["m"], state["v"])
        return updates, {"count": count, "m": m, "v": v}

    return Optimizer(init, update)


def _corrections(count: Any, params: Any, b1: float, b2: float) -> tuple[Any, Any]:
    """1 / (1 - b1^t) and 1 / sqrt(1 - b2^t), once for all leaves."""
    dtypes = [aval_of(p).dtype.name for p in tree.leaves(params)]
    t = astype(count, max(dtypes, default="float32"))  # "float64" comes last
    return div(1, _one_minus_power(b1, t)), rsqrt(_one_minus_power(b2, t))


def _one_minus_power(b: float, t: Any) -> Any:
    """1 - b^t.

    As 2 h / (1 + h) with h = tanh(-t log(b) / 2): 1 minus a power near 1 would lose digits, at 0.999^1 all but
    four of float32's seven.
    """
    if b == 0:
        return full((), 1, t.dtype)
    h = tanh(mul(t, -math.log(b) / 2))
    return div(mul(h, 2), add(h, 1))
