"""`x[index]`: slices of known numbers, and integer arrays that may be known when the step runs only.

Slices and integers come first, as strided copies. What is left are integer arrays, one for some of the axes. Those axes
are put side by side and seen as one; the arrays become one array of its indices; a gather does the rest.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import ShapedArray, aval_of
from lwps.ops import shape
from lwps.ops.elementwise import add, broadcast_shape, greater_equal, known_array, less, logical_and, mul, where
from lwps.ops.flip import flip
from lwps.ops.gather import take
from lwps.ops.picks import as_indices

NOWHERE = 2**31 - 1  # an index past every end


def getitem(x: Any, index: Any) -> Any:
    """`x[index]` by NumPy's rules, for integers, slices, None, Ellipsis and integer arrays.

    Known masks stand for the indices of what they choose. Known indices must be in range. Where an array that is not
    known names no element, the result is NaN (for integers as in `take`).
    """
    x = known_array(x, "index")
    rows = _one_each(aval_of(x), index if isinstance(index, tuple) else (index,))
    basic = _basic(x, [slice(None) if _is_array(row) else row for row in rows])
    if not any(map(_is_array, rows)):
        return basic
    return _advanced(basic, rows)


def _is_array(row: Any) -> bool:
    return isinstance(row, np.ndarray) or hasattr(row, "aval")


def _is_integer(row: Any) -> bool:
    return isinstance(row, int | np.integer) and not isinstance(row, bool)


# --- what an index says -----------------------------------------------------------------------------


def _one_each(aval: ShapedArray, index: tuple[Any, ...]) -> list[Any]:
    """The index with an entry for every axis (and every None): integers, slices and integer arrays."""
    index = tuple(_entry(row, aval) for row in index)
    used, dots = sum(map(_width, index)), sum(row is Ellipsis for row in index)
    if used > aval.ndim or dots > 1:
        raise IndexError(f"index: there must be at most {aval.ndim} indices and one ..., got {index} for {aval}")
    at = next((k for k, row in enumerate(index) if row is Ellipsis), len(index))
    rows: list[Any] = []
    axis = 0
    for row in (*index[:at], *[slice(None)] * (aval.ndim - used), *index[at + dots :]):
        rows += _in_range(row, aval, axis)
        axis += _width(row)
    return rows


def _entry(row: Any, aval: ShapedArray) -> Any:
    """One entry of an index as an object of few kinds."""
    if row is None or row is Ellipsis or isinstance(row, slice) or _is_integer(row):
        return row
    row = np.asarray(row, None if row else np.int32) if isinstance(row, list) else row
    if (_is_mask(row) and row.ndim) or (_is_array(row) and row.dtype.kind in "iu"):
        return row.item() if isinstance(row, np.ndarray) and row.ndim == 0 else row
    got = aval_of(row) if _is_array(row) else repr(row)
    raise TypeError(
        f"index: must be integers, slices, None, ..., integer arrays or known masks, got {got} for {aval};"
        " use where to choose by a condition"
    )


def _is_mask(row: Any) -> bool:
    return isinstance(row, np.ndarray) and row.dtype == np.bool_


def _width(row: Any) -> int:
    """Axes that an entry is about."""
    return 0 if row is None or row is Ellipsis else row.ndim if _is_mask(row) else 1


def _in_range(row: Any, aval: ShapedArray, axis: int) -> Sequence[Any]:
    """The entry, known arrays from 0 on, a mask as those that it stands for; known numbers out of range are refused."""
    if _is_mask(row):
        if row.shape != aval.shape[axis : axis + row.ndim]:
            got = f"{aval_of(row)} at axis {axis} for {aval}"
            raise IndexError(f"index: a mask must have the sizes of its axes, got {got}")
        return [found.astype(np.int32) for found in np.nonzero(row)]
    if not _is_integer(row) and not isinstance(row, np.ndarray):
        return [row]
    n, numbers = aval.shape[axis], np.asarray(row)
    outside = numbers[(numbers < -n) | (numbers >= n)]
    if outside.size:
        raise IndexError(f"index: must be from {-n} to {n - 1} on axis {axis}, got {outside.flat[0]} for {aval}")
    return [row if _is_integer(row) else (row.astype(np.int64) % max(n, 1)).astype(np.int32)]


# --- slices -----------------------------------------------------------------------------------------


def _basic(x: Any, rows: Sequence[Any]) -> Any:
    """`x` by integers, slices and None."""
    sizes: list[int] = []
    limits: list[tuple[int, int, int]] = []
    backwards: list[int] = []
    for row in rows:
        if row is None:
            sizes.append(1)
            continue
        axis, n = len(limits), x.shape[len(limits)]
        places = range(*row.indices(n)) if isinstance(row, slice) else range(row % n, row % n + 1)
        if places.step < 0:
            backwards.append(axis)
            places = places[::-1]
        limits.append((places[0], places[-1] + 1, places.step) if places else (0, 0, 1))
        if isinstance(row, slice):
            sizes.append(len(places))
    start, stop, strides = ([row[k] for row in limits] for k in range(3))
    y = shape.slice(x, start, stop, strides)
    return shape.reshape(flip(y, [k for k in backwards if y.shape[k] > 1]), sizes)


# --- integer arrays ---------------------------------------------------------------------------------


def _advanced(y: Any, rows: Sequence[Any]) -> Any:
    """What the integer arrays of an index pick from `y`, which is indexed by everything else."""
    ends = [sum(row is None or not _is_integer(row) for row in rows[:k]) for k in range(len(rows))]
    axes = [ends[k] for k, row in enumerate(rows) if _is_array(row)]
    arrays = [row for row in rows if _is_array(row)]
    others = [k for k in range(y.ndim) if k not in axes]
    # by NumPy's rule the arrays' axes come where the arrays are, or first if something stands between them
    picked = [k for k, row in enumerate(rows) if _is_array(row) or _is_integer(row)]
    at = axes[0] if picked == list(range(picked[0], picked[-1] + 1)) else 0
    y = shape.transpose(y, [*others[:at], *axes, *others[at:]])
    sizes = y.shape[at : at + len(axes)]
    y = shape.reshape(y, (*y.shape[:at], math.prod(sizes), *y.shape[at + len(axes) :]))
    return take(y, arrays[0] if len(arrays) == 1 else _flat(arrays, sizes), at)


def _flat(arrays: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Indices of an axis that stands for axes of these sizes; `NOWHERE` where one of them is out of range."""
    broadcast_shape("index", [aval_of(a) for a in arrays])
    flat, fine = 0, None
    for row, n in zip(arrays, sizes, strict=True):
        if not isinstance(row, np.ndarray):  # those are in range
            row = as_indices("index", row, n)
            row = where(less(row, 0), add(row, n), row)
            inside = logical_and(greater_equal(row, 0), less(row, n))
            fine = inside if fine is None else logical_and(fine, inside)
        flat = add(mul(flat, n), row)
    return flat if fine is None else where(fine, flat, NOWHERE)
