"""`x[index]`: slices of known numbers, and integer arrays that may be known when the step runs only.

Slices and integers come first, as strided copies. What is left are integer arrays, one for some of the axes. Those axes
are put side by side and seen as one; the arrays become one array of its indices; a gather does the rest.
"""

import math
from collections.abc import Sequence
from typing import Any

import attrs
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
    rows = entries(aval_of(x), index)
    basic = _basic(x, [slice(None) if is_array(row) else row for row in rows])
    if not any(map(is_array, rows)):
        return basic
    return _advanced(basic, rows)


def is_array(row: Any) -> bool:
    """Whether an entry of an index is an array of integers (or a mask)."""
    return isinstance(row, np.ndarray) or hasattr(row, "aval")


def is_integer(row: Any) -> bool:
    """Whether an entry of an index is a known integer."""
    return isinstance(row, int | np.integer) and not isinstance(row, bool)


# --- what an index says -----------------------------------------------------------------------------


def entries(aval: ShapedArray, index: Any) -> list[Any]:
    """The index with an entry for every axis (and every None): integers, slices and integer arrays."""
    index = tuple(_entry(row, aval) for row in (index if isinstance(index, tuple) else (index,)))
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
    if row is None or row is Ellipsis or isinstance(row, slice) or is_integer(row):
        return row
    row = np.asarray(row, None if row else np.int32) if isinstance(row, list) else row
    if (_is_mask(row) and row.ndim) or (is_array(row) and row.dtype.kind in "iu"):
        return row.item() if isinstance(row, np.ndarray) and row.ndim == 0 else row
    got = aval_of(row) if is_array(row) else repr(row)
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
    if not is_integer(row) and not isinstance(row, np.ndarray):
        return [row]
    n, numbers = aval.shape[axis], np.asarray(row)
    outside = numbers[(numbers < -n) | (numbers >= n)]
    if outside.size:
        raise IndexError(f"index: must be from {-n} to {n - 1} on axis {axis}, got {outside.flat[0]} for {aval}")
    return [row if is_integer(row) else (row.astype(np.int64) % max(n, 1)).astype(np.int32)]


# --- slices -----------------------------------------------------------------------------------------


@attrs.frozen
class Box:
    """The elements that slices and integers choose, from `start` in steps along each axis; `sizes` has the result."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    strides: tuple[int, ...]
    backwards: tuple[int, ...]  # axes on which the result has them the other way round
    sizes: tuple[int, ...]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Elements along each axis of the array."""
        return tuple(len(range(*row)) for row in zip(self.start, self.stop, self.strides, strict=True))


def box_of(aval: ShapedArray, rows: Sequence[Any]) -> Box:
    """What integers, slices and None choose."""
    sizes: list[int] = []
    found: list[range] = []
    for row in rows:
        if row is None:
            sizes.append(1)
            continue
        n = aval.shape[len(found)]
        found.append(range(*row.indices(n)) if isinstance(row, slice) else range(row % n, row % n + 1))
        if isinstance(row, slice):
            sizes.append(len(found[-1]))
    backwards = tuple(k for k, places in enumerate(found) if places.step < 0 and len(places) > 1)
    forwards = [places[::-1] if places.step < 0 else places for places in found]
    limits = [(places[0], places[-1] + 1, places.step) if places else (0, 0, 1) for places in forwards]
    start, stop, strides = (tuple(row[k] for row in limits) for k in range(3))
    return Box(start, stop, strides, backwards, tuple(sizes))


def _basic(x: Any, rows: Sequence[Any]) -> Any:
    box = box_of(aval_of(x), rows)
    return shape.reshape(flip(shape.slice(x, box.start, box.stop, box.strides), box.backwards), box.sizes)


# --- integer arrays ---------------------------------------------------------------------------------


@attrs.frozen
class Beside:
    """How the axes that integer arrays index become one: in this order they are the `count` axes from `at` on."""

    order: tuple[int, ...]
    at: int
    count: int

    def merged(self, x: Any) -> tuple[Any, tuple[int, ...]]:
        """`x` with those axes as one, and their sizes."""
        x = shape.transpose(x, self.order)
        before, sizes, after = x.shape[: self.at], x.shape[self.at :][: self.count], x.shape[self.at + self.count :]
        return shape.reshape(x, (*before, math.prod(sizes), *after)), sizes


def beside(rows: Sequence[Any]) -> Beside:
    """For an array that integers and None of `rows` are done with.

    By NumPy's rule the arrays' axes come where the arrays are, or first if something stands between them.
    """
    left = [row for row in rows if not is_integer(row)]
    axes = [k for k, row in enumerate(left) if is_array(row)]
    others = [k for k in range(len(left)) if k not in axes]
    picked = [k for k, row in enumerate(rows) if is_array(row) or is_integer(row)]
    at = axes[0] if picked == list(range(picked[0], picked[-1] + 1)) else 0
    return Beside((*others[:at], *axes, *others[at:]), at, len(axes))


def _advanced(y: Any, rows: Sequence[Any]) -> Any:
    """What the integer arrays of an index pick from `y`, which is indexed by everything else."""
    place = beside(rows)
    y, sizes = place.merged(y)
    return take(y, flat_indices([row for row in rows if is_array(row)], sizes), place.at)


def flat_indices(arrays: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Indices of an axis that stands for axes of these sizes; `NOWHERE` where one of them is out of range."""
    if len(arrays) == 1:
        return as_indices("index", arrays[0], sizes[0])
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
