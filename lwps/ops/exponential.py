"""Exponentials, logarithms and roots."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.ops.arithmetic import div, mul, square
from lwps.ops.rules import elementwise
from lwps.ops.values import float_unary


def _rsqrt_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.sqrt(x, out=out)
    np.reciprocal(out, out=out)


def _rsqrt_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (y,) = cts, outs  # d x^(-1/2) = -1/2 y^3
    return (mul(mul(ct, -0.5), mul(y, square(y))),)


exp_p = elementwise("exp", numpy=np.exp, expr="exp({0})", vjp=lambda cts, ins, outs, needed: (mul(cts[0], outs[0]),))
log_p = elementwise("log", numpy=np.log, expr="log({0})", vjp=lambda cts, ins, outs, needed: (div(cts[0], ins[0]),))
sqrt_p = elementwise(
    "sqrt",
    numpy=np.sqrt,
    expr="sqrt({0})",
    vjp=lambda cts, ins, outs, needed: (div(mul(cts[0], 0.5), outs[0]),),
)
rsqrt_p = elementwise("rsqrt", numpy=_rsqrt_numpy, expr="(1.0f / sqrt({0}))", vjp=_rsqrt_vjp)
exp, log, sqrt, rsqrt = map(float_unary, (exp_p, log_p, sqrt_p, rsqrt_p))
