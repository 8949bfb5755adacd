"""Powers: by a known whole number with products alone, by anything else with logarithms."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import ShapedArray, aval_of
from lwps.ops.arithmetic import absolute, div, mul, sign, square
from lwps.ops.broadcast import unbroadcast
from lwps.ops.compare import equal, where
from lwps.ops.exponential import log, sqrt
from lwps.ops.rules import NUMBERS, elementwise
from lwps.ops.values import astype, full, promote, promote_floats

_FILE = "power.cl"


def _pow_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x, y), (z,) = cts, ins, outs
    in_x = in_y = None
    if needed[0]:  # y x^(y - 1), and 0 for y = 0 also where x is 0
        slope = where(equal(y, 0), 0.0, mul(y, power(x, y - 1)))
        in_x = unbroadcast(mul(ct, slope), x)
    if needed[1]:  # x^y log(x), whose limit at x = 0 is 0; below 0 there is no such slope: NaN
        in_y = unbroadcast(mul(ct, mul(z, log(where(equal(x, 0), 1.0, x)))), y)
    return in_x, in_y


pow_p = elementwise("pow", numpy=np.power, expr="lwps_pow({0}, {1})", vjp=_pow_vjp, file=_FILE)


def _integer_pow_expr(x: ShapedArray, *, exponent: int) -> str:
    if x.dtype.kind == "f":
        positive = f"lwps_integer_pow({{0}}, {abs(exponent)}u)"
        return positive if exponent > 0 else f"(1.0f / {positive})"
    return f"((int)lwps_integer_pow_uint((uint){{0}}, {exponent}u))"


def _integer_pow_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, exponent: int) -> Sequence[Any]:
    (ct,), (x,) = cts, ins
    return (mul(ct, mul(power(x, exponent - 1), exponent)) if x.dtype.kind == "f" else None,)


integer_pow_p = elementwise(
    "integer_pow",
    numpy=lambda x, out, *, exponent: np.power(x, x.dtype.type(exponent), out=out),
    expr=_integer_pow_expr,
    vjp=_integer_pow_vjp,
    dtypes=NUMBERS,
    file=_FILE,
)


def power(x: Any, y: Any) -> Any:
    """`x` to the power `y`.

    A Python integer as `y` costs products only, and integers stay integers if it is not negative; otherwise
    both become floats. NaN where a negative number is raised to what is not whole.
    """
    if isinstance(y, float) and y == 0.5:
        return sqrt(x)
    if isinstance(y, float) and y.is_integer() and abs(y) < 2**16:
        (x,) = promote_floats("power", x)
        y = int(y)
    if isinstance(y, int | np.integer) and not isinstance(y, bool | np.bool_):
        return _integer_power(x, int(y))
    x, y = promote("power", x, y)
    if x.dtype.kind != "f":
        raise TypeError(
            f"power: one of two arrays must be floats, got {aval_of(x)} and {aval_of(y)}; use astype, "
            "or a Python integer as the exponent"
        )
    (z,) = pow_p.bind(x, y)
    return z


def _integer_power(x: Any, n: int) -> Any:
    (x,) = promote("power", x)
    aval = aval_of(x)
    if aval.dtype.kind == "b" or (n < 0 and aval.dtype.kind != "f"):
        return _integer_power(astype(x, "float32" if n < 0 else "int32"), n)
    if n == 0:
        return full(aval.shape, 1, aval.dtype)
    if n in (1, 2):
        return square(x) if n == 2 else x
    if n == -1:
        return div(1, x)
    (y,) = integer_pow_p.bind(x, exponent=n)
    return y


def exp2(x: Any) -> Any:
    """2 to the power `x`, a float."""
    return power(2.0, *promote_floats("exp2", x))


def cbrt(x: Any) -> Any:
    """The real cube root, of negative numbers too."""
    (x,) = promote_floats("cbrt", x)
    return mul(sign(x), power(absolute(x), 1 / 3))
