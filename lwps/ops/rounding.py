"""Whole numbers: rounding, and division that leaves a remainder."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lwps.core import Primitive, ShapedArray, aval_of
from lwps.ops.arithmetic import div, mul, neg
from lwps.ops.broadcast import unbroadcast
from lwps.ops.rules import NUMBERS, elementwise, no_cotangent
from lwps.ops.values import binary, promote

_FILE = "rounding.cl"
floor_p = elementwise("floor", numpy=np.floor, expr="lwps_floor({0})", vjp=no_cotangent, file=_FILE)
ceil_p = elementwise("ceil", numpy=np.ceil, expr="lwps_ceil({0})", vjp=no_cotangent, file=_FILE)
trunc_p = elementwise("trunc", numpy=np.trunc, expr="lwps_trunc({0})", vjp=no_cotangent, file=_FILE)
rint_p = elementwise("rint", numpy=np.rint, expr="lwps_rint({0})", vjp=no_cotangent, file=_FILE)


def _rounding(primitive: Primitive, doc: str) -> Callable[[Any], Any]:
    """The op of a rounding; integers are what they round to."""

    def op(x: Any) -> Any:
        (x,) = promote(primitive.name, x)
        return primitive.bind(x)[0] if aval_of(x).dtype.kind == "f" else x

    op.__name__ = op.__qualname__ = primitive.name
    op.__doc__ = doc
    return op


floor = _rounding(floor_p, "The largest whole number that is not above `x`.")
ceil = _rounding(ceil_p, "The smallest whole number that is not below `x`.")
trunc = _rounding(trunc_p, "`x` without its fraction.")
rint = _rounding(rint_p, "The nearest whole number, of two the even one.")


def round(x: Any, decimals: int = 0) -> Any:
    """`x` to so many decimals, halves to even; integers stay as they are."""
    (x,) = promote("round", x)
    if aval_of(x).dtype.kind != "f":
        if decimals < 0:
            raise TypeError(f"round: integers must be rounded to 0 decimals or more, got {decimals}; use astype before")
        return x
    if decimals == 0:
        return rint(x)
    scale = 10.0 ** abs(decimals)  # 0.1 would not be exact
    return div(rint(mul(x, scale)), scale) if decimals > 0 else mul(rint(div(x, scale)), scale)


# --- division with a remainder ----------------------------------------------------------------------


def _floor_divide_expr(x: ShapedArray, y: ShapedArray) -> str:
    if x.dtype.kind == "f":
        return "lwps_floor_divide({0}, {1})"
    return "lwps_floor_divide_int({0}, {1})" if x.dtype.kind == "i" else "({1} == 0 ? 0 : {0} / {1})"


def _remainder_expr(x: ShapedArray, y: ShapedArray) -> str:
    if x.dtype.kind == "f":
        return "lwps_remainder({0}, {1})"
    return "lwps_remainder_int({0}, {1})" if x.dtype.kind == "i" else "({1} == 0 ? 0 : {0} % {1})"


def _remainder_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x, y) = cts, ins  # x - floor(x / y) y, where floor has no slope
    if x.dtype.kind != "f":
        return None, None
    return (
        unbroadcast(ct, x) if needed[0] else None,
        unbroadcast(neg(mul(ct, floor_divide(x, y))), y) if needed[1] else None,
    )


def _fmod_expr(x: ShapedArray, y: ShapedArray) -> str:
    if x.dtype.kind == "f":
        return "fmod({0}, {1})"
    return "lwps_fmod_int({0}, {1})" if x.dtype.kind == "i" else "({1} == 0 ? 0 : {0} % {1})"


def _fmod_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x, y) = cts, ins  # x - trunc(x / y) y, where trunc has no slope
    if x.dtype.kind != "f":
        return None, None
    return (
        unbroadcast(ct, x) if needed[0] else None,
        unbroadcast(neg(mul(ct, trunc(div(x, y)))), y) if needed[1] else None,
    )


floor_divide_p = elementwise(
    "floor_divide",
    numpy=np.floor_divide,
    expr=_floor_divide_expr,
    vjp=no_cotangent,
    dtypes=NUMBERS,
    file=_FILE,
)
remainder_p = elementwise(
    "remainder",
    numpy=np.remainder,
    expr=_remainder_expr,
    vjp=_remainder_vjp,
    dtypes=NUMBERS,
    file=_FILE,
)
fmod_p = elementwise("fmod", numpy=np.fmod, expr=_fmod_expr, vjp=_fmod_vjp, dtypes=NUMBERS, file=_FILE)
floor_divide, remainder, fmod = binary(floor_divide_p), binary(remainder_p), binary(fmod_p)


def divmod(x: Any, y: Any) -> tuple[Any, Any]:
    """`x // y` and `x % y`."""
    return floor_divide(x, y), remainder(x, y)
