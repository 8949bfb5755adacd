"""Quantiles: what a share of the elements is below."""

import math
from typing import Any

import numpy as np

from lwps.core import aval_of
from lwps.ops import statistics
from lwps.ops.arithmetic import add, mul
from lwps.ops.compare import isnan, where
from lwps.ops.reduce import Axes, canonical_axes
from lwps.ops.rows import as_rows
from lwps.ops.shape import reshape, slice
from lwps.ops.sort import sort
from lwps.ops.values import promote_floats


def quantile(x: Any, q: float, axis: Axes = None, keepdims: bool = False) -> Any:
    """What a share `q` (a Python number from 0 to 1) of the elements along `axis` is below, a float.

    Between two elements it is interpolated linearly; NaN where there is one.
    """
    if isinstance(q, bool) or not isinstance(q, int | float) or not 0 <= q <= 1:
        got = aval_of(q) if hasattr(q, "aval") else repr(q)
        raise ValueError(f"quantile: q must be a Python number from 0 to 1, got {got}; call it once for each share")
    (x,) = promote_floats("quantile", x)
    axes = canonical_axes("quantile", axis, x.ndim)
    n = math.prod(x.shape[k] for k in axes)
    if n == 0:
        raise TypeError(f"quantile: there must be at least one element along axes {axes}, got {aval_of(x)}")
    rows, shape = as_rows(x, axes, keepdims)
    ordered = sort(rows, -1)
    below, part = int(q * (n - 1)), q * (n - 1) % 1
    y = _column(ordered, below)
    if part > 0:  # 0 * inf would be NaN
        y = add(mul(y, 1 - part), mul(_column(ordered, below + 1), part))
    return reshape(where(statistics.any(isnan(rows), -1, keepdims=True), np.nan, y), shape)


def _column(x: Any, k: int) -> Any:
    first = (0,) * (x.ndim - 1)
    return slice(x, (*first, k), (*x.shape[:-1], k + 1))


def median(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The middle element along `axis`, or the mean of the two in the middle, a float."""
    return quantile(x, 0.5, axis, keepdims)
