"""Sums, products, quotients, and the larger or smaller of two numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lwps.ops.broadcast import unbroadcast
from lwps.ops.compare import greater_equal, less_equal, where
from lwps.ops.rules import FLOATS, NUMBERS, elementwise
from lwps.ops.values import astype, binary, full, promote, unary


def _mul_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x, y) = cts, ins
    return (
        unbroadcast(mul(ct, y), x) if needed[0] else None,
        unbroadcast(mul(ct, x), y) if needed[1] else None,
    )


def _div_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x, y), (z,) = cts, ins, outs
    each = div(ct, y)  # d(x/y)/dy = -(x/y)/y
    return (
        unbroadcast(each, x) if needed[0] else None,
        unbroadcast(neg(mul(each, z)), y) if needed[1] else None,
    )


def _add_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return tuple(unbroadcast(cts[0], x) if need else None for x, need in zip(ins, needed, strict=True))


def _sub_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    x, y = ins
    return (
        unbroadcast(cts[0], x) if needed[0] else None,
        unbroadcast(neg(cts[0]), y) if needed[1] else None,
    )


def _neg_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (neg(cts[0]),)


def _pick_vjp(first: Callable[[Any, Any], Any]) -> Callable[..., Sequence[Any]]:
    """Of maximum and minimum: the cotangent goes to the input that was picked, the first one in a tie."""

    def vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
        (ct,), (x, y) = cts, ins
        picked, zero = first(x, y), full((), 0, ct.dtype)
        return (
            unbroadcast(where(picked, ct, zero), x) if needed[0] else None,
            unbroadcast(where(picked, zero, ct), y) if needed[1] else None,
        )

    return vjp


add_p = elementwise("add", numpy=np.add, expr="({0} + {1})", vjp=_add_vjp, dtypes=NUMBERS)
sub_p = elementwise("sub", numpy=np.subtract, expr="({0} - {1})", vjp=_sub_vjp, dtypes=NUMBERS)
mul_p = elementwise("mul", numpy=np.multiply, expr="({0} * {1})", vjp=_mul_vjp, dtypes=NUMBERS)
div_p = elementwise("div", numpy=np.divide, expr="({0} / {1})", vjp=_div_vjp)
neg_p = elementwise(
    "neg",
    numpy=np.negative,
    expr="(-{0})",
    vjp=_neg_vjp,
    dtypes=("int32", *FLOATS),
)
# fmax would drop a NaN that NumPy keeps
maximum_p = elementwise(
    "maximum",
    numpy=np.maximum,
    expr="({0} >= {1} || {0} != {0} ? {0} : {1})",
    vjp=_pick_vjp(greater_equal),
    dtypes=NUMBERS,
)
minimum_p = elementwise(
    "minimum",
    numpy=np.minimum,
    expr="({0} <= {1} || {0} != {0} ? {0} : {1})",
    vjp=_pick_vjp(less_equal),
    dtypes=NUMBERS,
)
add, sub, mul = binary(add_p), binary(sub_p), binary(mul_p)
maximum, minimum, neg = binary(maximum_p), binary(minimum_p), unary(neg_p)


def div(x: Any, y: Any) -> Any:
    """`x / y` in floats; integers become float32 first."""
    x, y = promote("div", x, y)
    if x.dtype.kind != "f":
        x, y = astype(x, "float32"), astype(y, "float32")
    (z,) = div_p.bind(x, y)
    return z


def square(x: Any) -> Any:
    """`x * x`."""
    return mul(x, x)
