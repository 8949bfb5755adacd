"""Arrays folded along axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import aval_of
from lwps.ops import reduce
from lwps.ops.elementwise import astype, logical_not, sqrt, square
from lwps.ops.elementwise import div as divide
from lwps.ops.elementwise import neg as negative
from lwps.ops.elementwise import sub as subtract
from lwps.ops.operators import argmax

Axis = int | Sequence[int] | None


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
