"""Bits of integers."""

from typing import Any

import numpy as np

from lwps.core import ShapedArray
from lwps.ops.rules import C_TYPES, elementwise, no_cotangent
from lwps.ops.values import binary, unary

_INTEGERS = ("uint8", "int32", "uint32")
_BITS = ("bool", *_INTEGERS)


def _not_expr(x: ShapedArray) -> str:
    return "(!{0})" if x.dtype == np.bool_ else "(~{0})"


def _left_expr(x: ShapedArray, n: ShapedArray) -> str:
    """Shifted by as many bits as there are, or by a negative number, nothing is left."""
    bits = 8 * x.dtype.itemsize
    return f"((uint){{1}} < {bits}u ? ({C_TYPES[x.dtype.name]})((uint){{0}} << ((uint){{1}} & 31u)) : 0)"


def _right_expr(x: ShapedArray, n: ShapedArray) -> str:
    """The sign stays; shifted by as many bits as there are, or by a negative number, it is all that is left."""
    left = "({0} < 0 ? -1 : 0)" if x.dtype.kind == "i" else "0"
    return f"((uint){{1}} < {8 * x.dtype.itemsize}u ? {{0}} >> ((uint){{1}} & 31u) : {left})"


def _bitwise(name: str, ufunc: Any, expr: Any, dtypes: Any) -> Any:
    return elementwise(name, numpy=ufunc, expr=expr, vjp=no_cotangent, dtypes=dtypes)


bitwise_and_p = _bitwise("bitwise_and", np.bitwise_and, "({0} & {1})", _BITS)
bitwise_or_p = _bitwise("bitwise_or", np.bitwise_or, "({0} | {1})", _BITS)
bitwise_xor_p = _bitwise("bitwise_xor", np.bitwise_xor, "({0} ^ {1})", _BITS)
bitwise_not_p = _bitwise("bitwise_not", np.bitwise_not, _not_expr, _BITS)
left_shift_p = _bitwise("left_shift", np.left_shift, _left_expr, _INTEGERS)
right_shift_p = _bitwise("right_shift", np.right_shift, _right_expr, _INTEGERS)
bitwise_and, bitwise_or, bitwise_xor = binary(bitwise_and_p), binary(bitwise_or_p), binary(bitwise_xor_p)
bitwise_not = unary(bitwise_not_p)
left_shift, right_shift = binary(left_shift_p), binary(right_shift_p)
