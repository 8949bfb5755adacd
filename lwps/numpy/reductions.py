"""Arrays folded along axes: one, several in any order, or by default all."""

from typing import Any

import numpy as np

from lwps.numpy.creation import asarray
from lwps.ops import product, reduce, scan, statistics
from lwps.ops import quantile as quantiles
from lwps.ops.elementwise import astype, broadcast_to, div, isnan, logical_not, mul, promote_floats, sub, where
from lwps.ops.reduce import Axes


def sum(a: Any, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The sum along `axis`; bool and uint8 add up as int32."""
    return reduce.sum(asarray(a, dtype), axis, keepdims)


def prod(a: Any, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The product along `axis`; bool and uint8 multiply as int32."""
    return product.prod(asarray(a, dtype), axis, keepdims)


def mean(a: Any, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The mean along `axis`."""
    return reduce.mean(asarray(a, dtype), axis, keepdims)


def var(a: Any, axis: Axes = None, dtype: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """The mean square distance from the mean along `axis`; with `ddof`, of that many elements fewer."""
    return statistics.var(asarray(a, dtype), axis, ddof, keepdims)


def std(a: Any, axis: Axes = None, dtype: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """The square root of `var`."""
    return statistics.std(asarray(a, dtype), axis, ddof, keepdims)


def max(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The largest element along `axis`; NaN where there is one."""
    return reduce.max(asarray(a), axis, keepdims)


def min(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The smallest element along `axis`; NaN where there is one."""
    return reduce.min(asarray(a), axis, keepdims)


def ptp(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The largest element less the smallest along `axis`."""
    return sub(max(a, axis, keepdims), min(a, axis, keepdims))


def argmax(a: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where the largest element is along `axis`, by default in all of `a`; the first of equals."""
    return reduce.argmax(asarray(a), axis, keepdims)


def argmin(a: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where the smallest element is along `axis`, by default in all of `a`; the first of equals."""
    return reduce.argmin(asarray(a), axis, keepdims)


def any(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """Whether some element along `axis` is not zero."""
    return statistics.any(asarray(a), axis, keepdims)


def all(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """Whether no element along `axis` is zero."""
    return statistics.all(asarray(a), axis, keepdims)


def count_nonzero(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """How many elements along `axis` are not zero."""
    return statistics.count_nonzero(asarray(a), axis, keepdims)


def cumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Sums of each element and all before it along `axis`, by default of all in order."""
    return scan.cumsum(asarray(a, dtype), axis)


def cumprod(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Products of each element and all before it along `axis`, by default of all in order."""
    return scan.cumprod(asarray(a, dtype), axis)


def average(a: Any, axis: Axes = None, weights: Any = None, keepdims: bool = False) -> Any:
    """The mean along `axis`, of elements that count as `weights` (which broadcast to `a`) say."""
    if weights is None:
        return reduce.mean(asarray(a), axis, keepdims)
    a, weights = promote_floats("average", a, weights)
    total = reduce.sum(broadcast_to(weights, a.shape), axis, keepdims)
    return div(reduce.sum(mul(a, weights), axis, keepdims), total)


def median(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The middle element along `axis`, or the mean of the two in the middle."""
    return quantiles.median(asarray(a), axis, keepdims)


def quantile(a: Any, q: float, axis: Axes = None, keepdims: bool = False) -> Any:
    """What a share `q` (a Python number from 0 to 1) of the elements along `axis` is below; interpolated linearly."""
    return quantiles.quantile(asarray(a), q, axis, keepdims)


def percentile(a: Any, q: float, axis: Axes = None, keepdims: bool = False) -> Any:
    """What `q` (a Python number from 0 to 100) percent of the elements along `axis` are below."""
    return quantiles.quantile(asarray(a), q / 100, axis, keepdims)


# --- without NaN ------------------------------------------------------------------------------------


def nansum(a: Any, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The sum along `axis` of what is not NaN."""
    a = asarray(a, dtype)
    return reduce.sum(where(isnan(a), 0, a), axis, keepdims)


def nanmean(a: Any, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """The mean along `axis` of what is not NaN; NaN where all is."""
    a = asarray(a, dtype)
    known = logical_not(isnan(a))
    count = statistics.count_nonzero(known, axis, keepdims)
    return div(nansum(a, axis, None, keepdims), astype(count, "float32"))


def nanmax(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The largest element along `axis` that is not NaN; NaN where all is."""
    return _without_nan(reduce.max, -np.inf, a, axis, keepdims)


def nanmin(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The smallest element along `axis` that is not NaN; NaN where all is."""
    return _without_nan(reduce.min, np.inf, a, axis, keepdims)


def _without_nan(op: Any, last: float, a: Any, axis: Axes, keepdims: bool) -> Any:
    a = asarray(a)
    if a.dtype.kind != "f":
        return op(a, axis, keepdims)
    nothing = statistics.all(isnan(a), axis, keepdims)
    return where(nothing, np.nan, op(where(isnan(a), last, a), axis, keepdims))
