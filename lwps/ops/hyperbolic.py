"""Hyperbolic sine and cosine, and the inverse functions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.ops.arithmetic import add, div, mul, neg, square, sub
from lwps.ops.exponential import exp, expm1, rsqrt
from lwps.ops.rules import elementwise
from lwps.ops.values import float_unary, promote_floats


def sinh(x: Any) -> Any:
    """The hyperbolic sine."""
    (x,) = promote_floats("sinh", x)
    return mul(sub(expm1(x), expm1(neg(x))), 0.5)  # exp would lose the digits of a small x


def cosh(x: Any) -> Any:
    """The hyperbolic cosine."""
    (x,) = promote_floats("cosh", x)
    return mul(add(exp(x), exp(neg(x))), 0.5)


def _arcsinh_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (mul(cts[0], rsqrt(add(square(ins[0]), 1))),)


def _arccosh_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x,) = cts, ins
    return (mul(ct, mul(rsqrt(sub(x, 1)), rsqrt(add(x, 1)))),)  # x^2 - 1 would lose digits near 1


def _arctanh_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x,) = cts, ins
    return (div(ct, mul(sub(1, x), add(1, x))),)


_FILE = "hyperbolic.cl"
arcsinh_p = elementwise("arcsinh", numpy=np.arcsinh, expr="lwps_arcsinh({0})", vjp=_arcsinh_vjp, file=_FILE)
arccosh_p = elementwise("arccosh", numpy=np.arccosh, expr="lwps_arccosh({0})", vjp=_arccosh_vjp, file=_FILE)
arctanh_p = elementwise("arctanh", numpy=np.arctanh, expr="lwps_arctanh({0})", vjp=_arctanh_vjp, file=_FILE)
arcsinh, arccosh, arctanh = map(float_unary, (arcsinh_p, arccosh_p, arctanh_p))
