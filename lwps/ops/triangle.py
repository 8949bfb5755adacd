"""Triangles and diagonals of matrices."""

from typing import Any

import numpy as np

from lwps.core import aval_of
from lwps.ops import reduce, shape
from lwps.ops.elementwise import equal, full, greater_equal, known_array, where
from lwps.ops.indexing import getitem


def tril(m: Any, k: int = 0) -> Any:
    """The matrices of `m[..., M, N]` with zeros above diagonal `k`: the main one is 0, those above it are positive."""
    m = known_array(m, "tril")
    return where(_below("tril", m, k), m, full((), 0, aval_of(m).dtype))


def triu(m: Any, k: int = 0) -> Any:
    """The matrices of `m[..., M, N]` with zeros below diagonal `k`."""
    m = known_array(m, "triu")
    return where(_below("triu", m, k - 1), full((), 0, aval_of(m).dtype), m)


def _below(op: str, m: Any, k: int) -> Any:
    """Whether an element is on diagonal `k` or below: from two vectors, so that no matrix is kept for it."""
    aval = aval_of(m)
    if aval.ndim < 2:
        raise TypeError(f"{op}: m must have at least two axes, got {aval}; use reshape")
    rows, columns = (np.arange(n, dtype=np.int32) for n in aval.shape[-2:])
    return greater_equal(rows[:, None] + np.int32(k), columns)


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Diagonal `offset` of the matrices that `axis1` and `axis2` of `a` are, as the last axis."""
    a = known_array(a, "diagonal")
    axes = shape.positions("diagonal", (axis1, axis2), aval_of(a).ndim)
    others = [k for k in range(a.ndim) if k not in axes]
    a = shape.transpose(a, [*axes, *others])
    row, column = max(-offset, 0), max(offset, 0)
    places = np.arange(max(0, min(a.shape[0] - row, a.shape[1] - column)), dtype=np.int32)
    found = getitem(a, (places + np.int32(row), places + np.int32(column)))
    return shape.transpose(found, [*range(1, found.ndim), 0])


def diag(v: Any, k: int = 0) -> Any:
    """The matrix whose diagonal `k` is the vector `v`, zero elsewhere; of a matrix its diagonal `k`."""
    v = known_array(v, "diag")
    aval = aval_of(v)
    if aval.ndim == 2:
        return diagonal(v, k)
    if aval.ndim != 1:
        raise TypeError(f"diag: v must be a vector or a matrix, got {aval}; use diagonal")
    n = aval.shape[0] + abs(k)
    places = np.arange(n, dtype=np.int32)
    elements = shape.reshape(shape.pad(v, [abs(k)], [0]), (1, n) if k > 0 else (n, 1))
    return where(equal(places[:, None] + np.int32(k), places), elements, full((), 0, aval.dtype))


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of `diagonal`."""
    return reduce.sum(diagonal(a, offset, axis1, axis2), -1)
