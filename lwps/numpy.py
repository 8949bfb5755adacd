"""The familiar names of NumPy, made of ops: they trace, differentiate and run on every processor.

Arguments have NumPy's names and meaning. What is missing is refused by name with the nearest that is there.
"""

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import aval_of, narrow
from lwps.ops import elementwise, reduce, shape
from lwps.ops.concatenate import concatenate as _concatenate
from lwps.ops.elementwise import (
    add,
    astype,
    equal,
    exp,
    full,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    not_equal,
    sqrt,
    square,
    tanh,
    where,
    zeros_like,
)
from lwps.ops.elementwise import div as divide
from lwps.ops.elementwise import mul as multiply
from lwps.ops.elementwise import neg as negative
from lwps.ops.elementwise import sub as subtract
from lwps.ops.flip import flip, roll
from lwps.ops.gather import take, take_along_axis
from lwps.ops.matmul import matmul
from lwps.ops.operators import absolute, argmax, power
from lwps.ops.repeat import repeat, tile
from lwps.ops.shape import expand_dims, reshape, squeeze, transpose
from lwps.ops.sort import argsort, sort
from lwps.ops.split import array_split, diff, split

# fmt: off
__all__ = [
    "abs", "absolute", "add", "all", "amax", "amin", "any", "arange", "argmax", "argmin", "argsort", "array",
    "array_split", "asarray", "astype", "bool_", "broadcast_to", "clip", "concatenate", "diff", "divide", "e", "equal",
    "exp", "expand_dims", "eye", "flip", "float32", "float64", "full", "full_like", "greater", "greater_equal",
    "hstack", "inf", "int32", "isnan", "less", "less_equal", "log", "logical_and", "logical_not", "logical_or",
    "matmul", "max", "maximum", "mean", "min", "minimum", "moveaxis", "multiply", "nan", "negative", "newaxis",
    "not_equal", "ones", "ones_like", "pad", "pi", "power", "ravel", "reciprocal", "repeat", "reshape", "roll", "sign",
    "sort", "split", "sqrt", "square", "squeeze", "stack", "std", "subtract", "sum", "swapaxes", "take",
    "take_along_axis", "tanh", "tile", "transpose", "true_divide", "uint8", "uint32", "var", "vstack", "where", "zeros",
    "zeros_like",
]
# fmt: on

Axis = int | Sequence[int] | None

bool_, uint8, int32, uint32, float32, float64 = np.bool_, np.uint8, np.int32, np.uint32, np.float32, np.float64
e, inf, nan, newaxis, pi = np.e, np.inf, np.nan, None, np.pi
true_divide = divide
abs = absolute


# --- arrays from nothing ----------------------------------------------------------------------------


def _sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def zeros(shape: int | Sequence[int], dtype: Any = "float32") -> Any:
    """An array of zeros."""
    return full(_sizes(shape), 0, dtype)


def ones(shape: int | Sequence[int], dtype: Any = "float32") -> Any:
    """An array of ones."""
    return full(_sizes(shape), 1, dtype)


def full_like(a: Any, fill_value: float) -> Any:
    """An array of the shape and dtype of `a`, filled with a number."""
    aval = aval_of(asarray(a))
    return full(aval.shape, fill_value, aval.dtype)


def ones_like(a: Any) -> Any:
    """Ones of the shape and dtype of `a`."""
    return full_like(a, 1)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None) -> np.ndarray:
    """Evenly spaced known numbers, int32 or float32 by default."""
    first, end = (0, start) if stop is None else (start, stop)
    found = np.arange(first, end, step)
    return found.astype(dtype or ("float32" if found.dtype.kind == "f" else "int32"))


def eye(N: int, dtype: Any = "float32") -> np.ndarray:
    """The identity matrix."""
    return np.eye(N, dtype=dtype)


def asarray(a: Any, dtype: Any = None) -> Any:
    """`a` (an array, a number or nested lists of numbers) as an array."""
    if not hasattr(a, "aval"):
        made = not isinstance(a, np.ndarray | np.generic)
        a = narrow(a, "asarray", floats=made and dtype is None)  # nested lists become float32, as in JAX
    return a if dtype is None else astype(a, dtype)


array = asarray


# --- elementwise ------------------------------------------------------------------------------------


def sign(x: Any) -> Any:
    """-1, 0 or 1 as `x` is below, at or above zero; NaN where it is NaN."""
    aval = aval_of(x)
    one = astype(greater(x, 0), aval.dtype)
    signed = one if aval.dtype.kind in "bu" else subtract(one, astype(less(x, 0), aval.dtype))
    return where(isnan(x), x, signed) if aval.dtype.kind == "f" else signed


def isnan(x: Any) -> Any:
    """Whether each element is NaN."""
    return not_equal(x, x)


def clip(a: Any, min: float | None = None, max: float | None = None) -> Any:
    """`a` with elements below `min` or above `max` set to those."""
    a = a if min is None else maximum(a, min)
    return a if max is None else minimum(a, max)


def reciprocal(x: Any) -> Any:
    """`1 / x`."""
    return divide(1, x)


# --- reductions -------------------------------------------------------------------------------------


def sum(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The sum along `axis`; bool and uint8 add up as int32."""
    return reduce.sum(a, axis, keepdims)


def mean(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean along `axis`."""
    return reduce.mean(a, axis, keepdims)


def max(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The largest element along `axis`; NaN where there is one."""
    return reduce.max(a, axis, keepdims)


def min(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The smallest element along `axis`; NaN where there is one."""
    return _reversed(reduce.max(_reversed(a), axis, keepdims))


def _reversed(x: Any) -> Any:
    """Numbers of the same dtype in the opposite order; twice, `x` again."""
    dtype = aval_of(x).dtype
    if dtype.kind == "f":
        return negative(x)
    if dtype.kind == "b":
        return logical_not(x)
    return subtract(np.asarray(-1 if dtype.kind == "i" else np.iinfo(dtype).max, dtype), x)  # -x would overflow


amax, amin = max, min


def argmin(a: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where the smallest element is along `axis`, by default in all of `a`; the first in a tie."""
    return argmax(_reversed(a), axis, keepdims=keepdims)


def var(a: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """The mean square distance from the mean along `axis`; with `ddof`, of that many elements fewer."""
    axes = reduce.canonical_axes("var", axis, aval_of(a).ndim)
    spread = reduce.sum(square(subtract(a, reduce.mean(a, axes, keepdims=True))), axes, keepdims)
    return divide(spread, int(np.prod([aval_of(a).shape[k] for k in axes], dtype=np.int64)) - ddof)


def std(a: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """The square root of `var`."""
    return sqrt(var(a, axis, ddof, keepdims))


def any(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Whether some element along `axis` is not zero."""
    return reduce.max(astype(a, bool), axis, keepdims)


def all(a: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Whether no element along `axis` is zero."""
    return logical_not(any(logical_not(astype(a, bool)), axis, keepdims))


# --- shapes -----------------------------------------------------------------------------------------


def broadcast_to(array: Any, shape: int | Sequence[int]) -> Any:
    """`array` repeated to `shape`."""
    return elementwise.broadcast_to(array, _sizes(shape))


def ravel(a: Any) -> Any:
    """The elements as one axis."""
    return reshape(a, -1)


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """`a` with two axes in each other's place."""
    order = list(range(aval_of(a).ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(a, order)


def moveaxis(a: Any, source: int, destination: int) -> Any:
    """`a` with one axis moved to another place, the others in order."""
    order = list(range(aval_of(a).ndim))
    axis = order.pop(source)
    order.insert(destination % aval_of(a).ndim, axis)
    return transpose(a, order)


def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    """The arrays one behind the other along `axis`; all flat if it is None."""
    if len(arrays) == 0:
        raise ValueError("concatenate: there must be at least one array, got none")
    arrays = elementwise.promote("concatenate", *arrays)
    return _concatenate(arrays, axis) if axis is not None else _concatenate([ravel(a) for a in arrays])


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """The arrays along a new axis."""
    return concatenate([expand_dims(a, axis) for a in arrays], axis)


def vstack(tup: Sequence[Any]) -> Any:
    """The arrays below one another; vectors are rows."""
    return concatenate([reshape(a, (1, -1)) if np.ndim(a) < 2 else a for a in tup])


def hstack(tup: Sequence[Any]) -> Any:
    """The arrays beside one another: vectors along their only axis, others along the second."""
    arrays = [reshape(a, -1) if np.ndim(a) == 0 else a for a in tup]
    return concatenate(arrays, 0 if arrays and np.ndim(arrays[0]) == 1 else 1)


def pad(array: Any, pad_width: Any, constant_values: float = 0) -> Any:
    """`array` with `constant_values` around it: `pad_width` is one number, (before, after), or a pair for each axis."""
    low, high = np.broadcast_to(pad_width, (aval_of(array).ndim, 2)).T.tolist()
    return shape.pad(array, low, high, constant_values)


# --- what is missing --------------------------------------------------------------------------------


def __getattr__(name: str) -> Any:
    near = difflib.get_close_matches(name, __all__, n=1, cutoff=0.0)[0]
    raise AttributeError(f"lwps.numpy: must be a name it has, got {name!r}; the nearest is {near!r}")
