"""Sine, cosine, tangent and their inverses, in radians."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.ops.arithmetic import add, div, mul, neg, square, sub
from lwps.ops.broadcast import unbroadcast
from lwps.ops.exponential import sqrt
from lwps.ops.rules import elementwise
from lwps.ops.values import float_binary, float_unary


def _sin_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (mul(cts[0], cos(ins[0])),)


def _cos_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (neg(mul(cts[0], sin(ins[0]))),)


def _tan_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (mul(cts[0], add(square(outs[0]), 1)),)


def _arcsin_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x,) = cts, ins
    return (div(ct, sqrt(mul(sub(1, x), add(1, x)))),)  # 1 - x^2 would lose digits near 1


def _arccos_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (slope,) = _arcsin_vjp(cts, ins, outs, needed)
    return (neg(slope),)


def _arctan_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (div(cts[0], add(square(ins[0]), 1)),)


def _arctan2_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (y, x) = cts, ins
    each = div(ct, add(square(x), square(y)))
    return (
        unbroadcast(mul(each, x), y) if needed[0] else None,
        unbroadcast(neg(mul(each, y)), x) if needed[1] else None,
    )


_FILE = "trigonometry.cl"
sin_p = elementwise("sin", numpy=np.sin, expr="lwps_sin({0})", vjp=_sin_vjp, file=_FILE)
cos_p = elementwise("cos", numpy=np.cos, expr="lwps_cos({0})", vjp=_cos_vjp, file=_FILE)
tan_p = elementwise("tan", numpy=np.tan, expr="lwps_tan({0})", vjp=_tan_vjp, file=_FILE)
arcsin_p = elementwise("arcsin", numpy=np.arcsin, expr="lwps_arcsin({0})", vjp=_arcsin_vjp, file=_FILE)
arccos_p = elementwise("arccos", numpy=np.arccos, expr="lwps_arccos({0})", vjp=_arccos_vjp, file=_FILE)
arctan_p = elementwise("arctan", numpy=np.arctan, expr="lwps_arctan({0})", vjp=_arctan_vjp, file=_FILE)
arctan2_p = elementwise("arctan2", numpy=np.arctan2, expr="lwps_arctan2({0}, {1})", vjp=_arctan2_vjp, file=_FILE)
sin, cos, tan = map(float_unary, (sin_p, cos_p, tan_p))
arcsin, arccos, arctan = map(float_unary, (arcsin_p, arccos_p, arctan_p))
arctan2 = float_binary(arctan2_p)
