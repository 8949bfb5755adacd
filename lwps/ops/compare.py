"""Comparisons, logic and choice by element."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lwps.core import Alias, Expr, Host, Primitive, ShapedArray
from lwps.ops.broadcast import unbroadcast
from lwps.ops.rules import ANY, broadcast_shape, elementwise, elementwise_cost, elementwise_split, no_cotangent
from lwps.ops.values import astype, binary, full, promote


def _comparison(name: str, ufunc: Any, sign: str) -> Primitive:
    return elementwise(
        name,
        numpy=ufunc,
        expr=f"({{0}} {sign} {{1}})",
        vjp=no_cotangent,
        dtypes=ANY,
        result="bool",
        overwrites=(),
    )


equal_p = _comparison("equal", np.equal, "==")
not_equal_p = _comparison("not_equal", np.not_equal, "!=")
less_p = _comparison("less", np.less, "<")
less_equal_p = _comparison("less_equal", np.less_equal, "<=")
greater_p = _comparison("greater", np.greater, ">")
greater_equal_p = _comparison("greater_equal", np.greater_equal, ">=")
equal, not_equal = binary(equal_p), binary(not_equal_p)
less, less_equal = binary(less_p), binary(less_equal_p)
greater, greater_equal = binary(greater_p), binary(greater_equal_p)

logical_and_p = elementwise(
    "logical_and", numpy=np.logical_and, expr="({0} && {1})", vjp=no_cotangent, dtypes=("bool",)
)
logical_or_p = elementwise("logical_or", numpy=np.logical_or, expr="({0} || {1})", vjp=no_cotangent, dtypes=("bool",))
logical_not_p = elementwise("logical_not", numpy=np.logical_not, expr="(!{0})", vjp=no_cotangent, dtypes=("bool",))
logical_xor_p = elementwise(
    "logical_xor", numpy=np.logical_xor, expr="({0} != {1})", vjp=no_cotangent, dtypes=("bool",)
)


def truth(x: Any) -> Any:
    """Whether each element is not zero."""
    (x,) = promote("truth", x)
    return astype(x, "bool")


def _logical(primitive: Primitive, doc: str) -> Callable[[Any, Any], Any]:
    """The op that binds `primitive` to the truth of two operands of any dtype."""

    def op(x: Any, y: Any) -> Any:
        (z,) = primitive.bind(truth(x), truth(y))
        return z

    op.__name__ = op.__qualname__ = primitive.name
    op.__doc__ = doc
    return op


logical_and = _logical(logical_and_p, "Whether neither element is zero.")
logical_or = _logical(logical_or_p, "Whether some element is not zero.")
logical_xor = _logical(logical_xor_p, "Whether just one element is not zero.")


def logical_not(x: Any) -> Any:
    """Whether the element is zero."""
    (y,) = logical_not_p.bind(truth(x))
    return y


def isnan(x: Any) -> Any:
    """Whether each element is NaN."""
    return not_equal(x, x)


def isinf(x: Any) -> Any:
    """Whether each element is infinite."""
    return logical_or(equal(x, np.inf), equal(x, -np.inf))


def isfinite(x: Any) -> Any:
    """Whether each element is neither infinite nor NaN."""
    return logical_and(greater(x, -np.inf), less(x, np.inf))


def _where_aval(cond: ShapedArray, x: ShapedArray, y: ShapedArray) -> tuple[ShapedArray, ...]:
    if cond.dtype != np.bool_ or x.dtype != y.dtype:
        raise TypeError(f"where: the condition must be bool and x, y share a dtype, got {cond}, {x}, {y}; use astype")
    return (ShapedArray(broadcast_shape("where", (cond, x, y)), x.dtype),)


def _where_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (cond, x, y) = cts, ins
    zero = full((), 0, ct.dtype)
    return (
        None,
        unbroadcast(where(cond, ct, zero), x) if needed[1] else None,
        unbroadcast(where(cond, zero, ct), y) if needed[2] else None,
    )


def _where_numpy(out: np.ndarray, cond: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    np.copyto(out, y)
    np.copyto(out, x, where=cond)


def _where_alias(cond: ShapedArray, x: ShapedArray, y: ShapedArray) -> tuple[Alias, ...]:
    (out,) = _where_aval(cond, x, y)
    return (Alias(0, 2, "overwrite"),) if y == out else ()  # x would be lost before it is read


where_p = Primitive(
    "where",
    aval=_where_aval,
    vjp=_where_vjp,
    cost=elementwise_cost,
    numpy=Host(_where_numpy),
    opencl=Expr("({0} ? {1} : {2})"),
    alias=_where_alias,
    split=elementwise_split,
)


def where(cond: Any, x: Any, y: Any) -> Any:
    """Elements of `x` where `cond` holds (is not zero), of `y` elsewhere."""
    (z,) = where_p.bind(truth(cond), *promote("where", x, y))
    return z
