"""Known numbers as arrays, other dtypes, and Python numbers beside arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Expr, Host, Primitive, ShapedArray, aval_of, narrow
from lwps.ops.rules import ANY, C_TYPES, FLOATS, c_literal, elementwise, elementwise_cost, elementwise_split


def _full_aval(*, shape: tuple[int, ...], value: float, dtype: str) -> tuple[ShapedArray, ...]:
    return (ShapedArray(shape, dtype),)


def _full_cost(*, shape: tuple[int, ...], value: float, dtype: str) -> Cost:
    return Cost(flops=0, nbytes=ShapedArray(shape, dtype).nbytes)


full_p = Primitive(
    "full",
    aval=_full_aval,
    vjp=lambda cts, ins, outs, needed, **params: (),
    cost=_full_cost,
    numpy=Host(lambda out, *, shape, value, dtype: out.fill(value)),
    opencl=Expr(lambda *, shape, value, dtype: c_literal(value, dtype)),
    alias=None,
    split=None,
)


def full(shape: Sequence[int], value: float, dtype: Any = "float32") -> Any:
    """An array of `shape` filled with a known number."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu" and not _fits(value, dtype):
        raise TypeError(f"full: the value must fit {dtype}, got {value}; use another dtype")
    with np.errstate(over="ignore"):  # a number too large for float32 is infinite there
        number = dtype.type(value)
    (y,) = full_p.bind(shape=tuple(int(n) for n in shape), value=number.item(), dtype=dtype.name)
    return y


def _fits(value: float, dtype: np.dtype) -> bool:
    limits = np.iinfo(dtype)
    return bool(limits.min <= value <= limits.max and value == int(value))


def zeros_like(x: Any) -> Any:
    """Zeros of the shape and dtype of `x`."""
    aval = aval_of(known_array(x, "zeros_like"))
    return full(aval.shape, 0, aval.dtype)


def _astype_aval(x: ShapedArray, *, dtype: str) -> tuple[ShapedArray, ...]:
    return (ShapedArray(x.shape, dtype),)


def _astype_expr(x: ShapedArray, *, dtype: str) -> str:
    return "({0} != 0)" if dtype == "bool" else f"(({C_TYPES[dtype]}){{0}})"


def _astype_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, dtype: str) -> Sequence[Any]:
    (x,) = ins
    floats = x.dtype.kind == "f" and np.dtype(dtype).kind == "f"
    return (astype(cts[0], x.dtype) if floats else None,)


def _astype_numpy(out: np.ndarray, x: np.ndarray, *, dtype: str) -> None:
    np.copyto(out, x, casting="unsafe")


astype_p = Primitive(
    "astype",
    aval=_astype_aval,
    vjp=_astype_vjp,
    cost=elementwise_cost,
    numpy=Host(_astype_numpy),
    opencl=Expr(_astype_expr),
    alias=None,
    split=elementwise_split,
)


def astype(x: Any, dtype: Any) -> Any:
    """`x` in another dtype; floats are truncated towards zero where it is an integer."""
    x, dtype = known_array(x, "astype"), np.dtype(dtype)
    if aval_of(x).dtype == dtype:
        return x
    (y,) = astype_p.bind(x, dtype=dtype.name)
    return y


# --- Python numbers and mixed dtypes ---------------------------------------------------------------

_RANK = {name: k for k, name in enumerate(("bool", "uint8", "int32", "uint32", "float32", "float64"))}


def promote(op: str, *xs: Any) -> tuple[Any, ...]:
    """The operands with one dtype: the widest of the arrays'; Python numbers do not widen beyond their kind.

    A float64 array beside traced values becomes float32, unless one of those is float64 itself.
    """
    traced = [x.aval for x in xs if hasattr(x, "aval")]
    floats = bool(traced) and all(a.dtype != np.float64 for a in traced)
    xs = tuple(x if _is_number(x) or hasattr(x, "aval") else narrow(x, op, floats=floats) for x in xs)
    dtypes = [aval_of(x).dtype.name for x in xs if not _is_number(x)]
    numbers = [_number_dtype(x) for x in xs if _is_number(x)]
    if {"int32", "uint32"} <= set(dtypes):
        raise TypeError(f"{op}: int32 and uint32 do not mix, got {', '.join(dtypes)}; use astype on one of them")
    dtype = max(dtypes or numbers, key=_RANK.__getitem__)
    for number in numbers:
        if {"bool": 0, "int32": 1, "float32": 2}[number] > _kind(dtype):
            dtype = number
    return tuple(full((), x, dtype) if _is_number(x) else astype(x, dtype) for x in xs)


def _kind(dtype: str) -> int:
    return 2 if dtype in FLOATS else 0 if dtype == "bool" else 1


def _is_number(x: Any) -> bool:
    return isinstance(x, bool | int | float)


def known_array(x: Any, op: str) -> Any:
    """`x` if it is traced, or as an array of a dtype that programs know."""
    return x if hasattr(x, "aval") else narrow(x, op)


def _number_dtype(x: bool | int | float) -> str:
    return "bool" if isinstance(x, bool) else "int32" if isinstance(x, int) else "float32"


def unary(primitive: Primitive) -> Callable[[Any], Any]:
    """The op of one operand that binds `primitive`."""

    def op(x: Any) -> Any:
        (y,) = primitive.bind(*promote(primitive.name, x))
        return y

    op.__name__ = op.__qualname__ = primitive.name
    return op


def promote_floats(op: str, *xs: Any) -> tuple[Any, ...]:
    """The operands with one float dtype: what is no float becomes float32."""
    xs = promote(op, *xs)
    return xs if xs[0].dtype.kind == "f" else tuple(astype(x, "float32") for x in xs)


def binary(primitive: Primitive) -> Callable[[Any, Any], Any]:
    """The op of two operands, promoted to one dtype, that binds `primitive`."""

    def op(x: Any, y: Any) -> Any:
        (z,) = primitive.bind(*promote(primitive.name, x, y))
        return z

    op.__name__ = op.__qualname__ = primitive.name
    return op


def float_unary(primitive: Primitive) -> Callable[[Any], Any]:
    """The op of one float that binds `primitive`."""

    def op(x: Any) -> Any:
        (y,) = primitive.bind(*promote_floats(primitive.name, x))
        return y

    op.__name__ = op.__qualname__ = primitive.name
    return op


def float_binary(primitive: Primitive) -> Callable[[Any, Any], Any]:
    """The op of two floats that binds `primitive`."""

    def op(x: Any, y: Any) -> Any:
        (z,) = primitive.bind(*promote_floats(primitive.name, x, y))
        return z

    op.__name__ = op.__qualname__ = primitive.name
    return op


copy_p = elementwise(
    "copy",
    numpy=lambda x, out: np.copyto(out, x),
    expr="{0}",
    vjp=lambda cts, ins, outs, needed: cts,
    dtypes=ANY,
)
stop_gradient_p = elementwise(
    "stop_gradient",
    numpy=lambda x, out: np.copyto(out, x),
    expr="{0}",
    vjp=lambda cts, ins, outs, needed: (None,),
    dtypes=ANY,
)
copy = unary(copy_p)
stop_gradient = unary(stop_gradient_p)
