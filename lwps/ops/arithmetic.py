"""Sums, products, quotients, signs, and the larger or smaller of two numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lwps.core import Primitive, ShapedArray, aval_of
from lwps.ops.broadcast import unbroadcast
from lwps.ops.compare import greater, greater_equal, isnan, less, less_equal, logical_and, logical_or, where
from lwps.ops.rules import ANY, FLOATS, NUMBERS, elementwise, no_cotangent
from lwps.ops.values import binary, float_binary, full, known_array, promote, unary


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
    dtypes=NUMBERS,
)
# fmax would drop a NaN that NumPy keeps
maximum_p = elementwise(
    "maximum",
    numpy=np.maximum,
    expr="({0} >= {1} || {0} != {0} ? {0} : {1})",
    vjp=_pick_vjp(greater_equal),
    dtypes=ANY,
)
minimum_p = elementwise(
    "minimum",
    numpy=np.minimum,
    expr="({0} <= {1} || {0} != {0} ? {0} : {1})",
    vjp=_pick_vjp(less_equal),
    dtypes=ANY,
)


def _with_flags(primitive: Primitive, of_flags: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The op that binds `primitive`, and for two bools `of_flags`."""

    def op(x: Any, y: Any) -> Any:
        x, y = promote(primitive.name, x, y)
        return of_flags(x, y) if x.dtype == np.bool_ else primitive.bind(x, y)[0]

    op.__name__ = op.__qualname__ = primitive.name
    return op


add, mul = _with_flags(add_p, logical_or), _with_flags(mul_p, logical_and)
sub = binary(sub_p)
div, neg = float_binary(div_p), unary(neg_p)
maximum, minimum = binary(maximum_p), binary(minimum_p)


def square(x: Any) -> Any:
    """`x * x`."""
    return mul(x, x)


def fmax(x: Any, y: Any) -> Any:
    """The larger of two numbers; where one is NaN, the other."""
    return _without_nan(maximum, "fmax", x, y)


def fmin(x: Any, y: Any) -> Any:
    """The smaller of two numbers; where one is NaN, the other."""
    return _without_nan(minimum, "fmin", x, y)


def _without_nan(op: Callable[[Any, Any], Any], name: str, x: Any, y: Any) -> Any:
    x, y = promote(name, x, y)
    return where(isnan(x), y, where(isnan(y), x, op(x, y))) if x.dtype.kind == "f" else op(x, y)


# --- signs and limits -------------------------------------------------------------------------------


def _absolute_expr(x: ShapedArray) -> str:
    return "as_float(as_uint({0}) & 0x7fffffffu)" if x.dtype.kind == "f" else "({0} < 0 ? -{0} : {0})"


def _absolute_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (mul(cts[0], sign(ins[0])),) if ins[0].dtype.kind == "f" else (None,)


def _clip_expr(x: ShapedArray, low: ShapedArray, high: ShapedArray) -> str:
    """The maximum with `low`, then the minimum with `high`: a NaN in any of them stays."""
    raised = "({0} >= {1} || {0} != {0} ? {0} : {1})"
    return f"({raised} <= {{2}} || {raised} != {raised} ? {raised} : {{2}})"


def _clip_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    """Where x lies between the limits or on one, the cotangent is its own; elsewhere that of the limit picked."""
    (ct,), (x, low, high) = cts, ins
    if ct is None or x.dtype.kind != "f":
        return None, None, None
    zero = full((), 0, ct.dtype)
    raised = maximum(x, low)
    kept = less_equal(raised, high)
    return (
        unbroadcast(where(kept, where(greater_equal(x, low), ct, zero), zero), x) if needed[0] else None,
        unbroadcast(where(kept, where(less(x, low), ct, zero), zero), low) if needed[1] else None,
        unbroadcast(where(greater(raised, high), ct, zero), high) if needed[2] else None,
    )


_SIGNED = ("int32", *FLOATS)
absolute_p = elementwise("absolute", numpy=np.absolute, expr=_absolute_expr, vjp=_absolute_vjp, dtypes=_SIGNED)
sign_p = elementwise(
    "sign",
    numpy=np.sign,
    expr="({0} > 0 ? 1 : {0} < 0 ? -1 : {0} == 0 ? 0 : {0})",
    vjp=no_cotangent,
    dtypes=NUMBERS,
)
clip_p = elementwise(
    "clip",
    numpy=lambda x, low, high, out: np.clip(x, low, high, out=out),
    expr=_clip_expr,
    vjp=_clip_vjp,
    dtypes=ANY,
)
sign = unary(sign_p)


def absolute(x: Any) -> Any:
    """The absolute value."""
    x = known_array(x, "absolute")
    return x if aval_of(x).dtype.kind in "bu" else unary(absolute_p)(x)


def clip(x: Any, low: Any = None, high: Any = None) -> Any:
    """`x` with elements below `low` or above `high` set to those; None: no limit."""
    if low is None or high is None:
        x = x if low is None else maximum(x, low)
        return x if high is None else minimum(x, high)
    (y,) = clip_p.bind(*promote("clip", x, low, high))
    return y


def reciprocal(x: Any) -> Any:
    """`1 / x`."""
    return div(1, x)
