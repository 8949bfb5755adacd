"""Python's operators and NumPy's methods for tracers: importing this module attaches them."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lwps import tracing
from lwps.core import aval_of
from lwps.ops import einsum, elementwise, gather, product, reduce, repeat, scan, shape, statistics, triangle
from lwps.ops.at import At
from lwps.ops.indexing import getitem
from lwps.ops.matmul import matmul


def attach(cls: type) -> None:
    """Give an array class (one with `aval`, `shape`, `ndim`) the operators and methods of a tracer.

    `==` and `!=` compare elements, so its objects stay hashable by identity.
    """
    for name, method in (*_OPERATORS.items(), *_METHODS.items()):
        setattr(cls, name, method)
    cls.T = property(lambda x: shape.transpose(x))  # type: ignore[attr-defined]
    cls.at = property(At)  # type: ignore[attr-defined]
    cls.__hash__ = object.__hash__  # type: ignore[method-assign, assignment]


# --- operators ------------------------------------------------------------------------------------


def _known(x: Any) -> bool:
    """Whether `x` is something that ops take; Python refuses other operands by itself."""
    return isinstance(x, bool | int | float | np.generic | np.ndarray) or hasattr(x, "aval")


def _operator(op: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        return op(self, other) if _known(other) else NotImplemented

    return method


def _reflected(op: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        return op(other, self) if _known(other) else NotImplemented

    return method


_OPERATORS: dict[str, Callable[..., Any]] = {
    "__add__": _operator(elementwise.add),
    "__radd__": _reflected(elementwise.add),
    "__sub__": _operator(elementwise.sub),
    "__rsub__": _reflected(elementwise.sub),
    "__mul__": _operator(elementwise.mul),
    "__rmul__": _reflected(elementwise.mul),
    "__truediv__": _operator(elementwise.div),
    "__rtruediv__": _reflected(elementwise.div),
    "__matmul__": _operator(matmul),
    "__rmatmul__": _reflected(matmul),
    "__floordiv__": _operator(elementwise.floor_divide),
    "__rfloordiv__": _reflected(elementwise.floor_divide),
    "__mod__": _operator(elementwise.remainder),
    "__rmod__": _reflected(elementwise.remainder),
    "__divmod__": _operator(elementwise.divmod),
    "__rdivmod__": _reflected(elementwise.divmod),
    "__pow__": _operator(elementwise.power),
    "__rpow__": _reflected(elementwise.power),
    "__neg__": lambda x: elementwise.neg(x),
    "__pos__": lambda x: x,
    "__abs__": lambda x: elementwise.absolute(x),
    "__eq__": _operator(elementwise.equal),
    "__ne__": _operator(elementwise.not_equal),
    "__lt__": _operator(elementwise.less),
    "__le__": _operator(elementwise.less_equal),
    "__gt__": _operator(elementwise.greater),
    "__ge__": _operator(elementwise.greater_equal),
    "__and__": _operator(elementwise.bitwise_and),
    "__rand__": _reflected(elementwise.bitwise_and),
    "__or__": _operator(elementwise.bitwise_or),
    "__ror__": _reflected(elementwise.bitwise_or),
    "__xor__": _operator(elementwise.bitwise_xor),
    "__rxor__": _reflected(elementwise.bitwise_xor),
    "__lshift__": _operator(elementwise.left_shift),
    "__rlshift__": _reflected(elementwise.left_shift),
    "__rshift__": _operator(elementwise.right_shift),
    "__rrshift__": _reflected(elementwise.right_shift),
    "__invert__": lambda x: elementwise.bitwise_not(x),
}


# --- methods --------------------------------------------------------------------------------------


def _iter(x: Any) -> Iterator[Any]:
    if aval_of(x).ndim == 0:
        raise TypeError(f"iteration: the array must have a first axis, got {aval_of(x)}")
    return (getitem(x, k) for k in range(x.shape[0]))


def _reshape(x: Any, *sizes: Any, order: str = "C") -> Any:
    """The elements in another shape; one size may be -1."""
    if order != "C":
        raise ValueError(f"reshape: the order must be 'C', got {order!r}; transpose before")
    return shape.reshape(x, sizes[0] if len(sizes) == 1 else sizes)


def _transpose(x: Any, *axes: Any) -> Any:
    """The axes in another order, by default the reverse."""
    given = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
    return shape.transpose(x, given)


def _pure(op: Callable[..., Any]) -> Callable[..., Any]:
    """A method with the arguments that NumPy's functions hand to it: those of `op`, `dtype` and `out`."""

    def method(x: Any, *args: Any, dtype: Any = None, out: None = None, **kwargs: Any) -> Any:
        if out is not None:
            raise TypeError(
                f"{op.__name__}: out must be None, got {type(out).__name__}; programs are pure, use what is returned"
            )
        return op(x if dtype is None else elementwise.astype(x, dtype), *args, **kwargs)

    method.__name__, method.__doc__ = op.__name__, op.__doc__
    return method


_REDUCTIONS = (reduce.sum, reduce.mean, reduce.max, reduce.min, reduce.argmax, reduce.argmin, product.prod)
_MOVED = (gather.take, repeat.repeat, triangle.diagonal, einsum.dot)
_STATISTICS = (statistics.var, statistics.std, statistics.any, statistics.all, scan.cumsum, scan.cumprod)

_METHODS: dict[str, Callable[..., Any]] = {
    "__getitem__": getitem,
    "__iter__": _iter,
    "reshape": _reshape,
    "ravel": lambda x: shape.reshape(x, -1),
    "flatten": lambda x: shape.reshape(x, -1),
    "squeeze": lambda x, axis=None: shape.squeeze(x, axis),
    "transpose": _transpose,
    "astype": lambda x, dtype: elementwise.astype(x, dtype),
    "clip": _pure(elementwise.clip),
    "round": _pure(elementwise.round),
    **{op.__name__: _pure(op) for op in (*_REDUCTIONS, *_STATISTICS, *_MOVED)},
}

attach(tracing.Tracer)
