"""Arrays with some elements changed: `x.at[index].set(y)`, as in JAX. Arrays never change; these are new ones."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import aval_of
from lwps.ops import elementwise, shape
from lwps.ops.dynamic import dynamic_update_slice_p
from lwps.ops.elementwise import broadcast_to, known_array, promote
from lwps.ops.flip import flip
from lwps.ops.indexing import Box, beside, box_of, entries, flat_indices, getitem, is_array, is_integer
from lwps.ops.overwrite import overwrite_p
from lwps.ops.scatter import scatter_add_p


@attrs.frozen(eq=False)
class At:
    """`x.at`: index it for the elements to change."""

    array: Any

    def __getitem__(self, index: Any) -> "Place":
        return Place(self.array, index)


def at(x: Any) -> At:
    """`at(x)[index].set(y)` is `x.at[index].set(y)`, for arrays of NumPy too, which have no `at`."""
    return At(known_array(x, "at"))


@attrs.frozen(eq=False)
class Place:
    """Elements of an array, to get or to change; values broadcast to them.

    Integer arrays may name an element more than once: then `set` leaves the last value, and `add` and `subtract` count
    each. What they name outside of the array changes nothing. The other methods take no integer arrays.
    """

    array: Any
    index: Any

    def get(self) -> Any:
        """The elements: `x[index]`."""
        return getitem(self.array, self.index)

    def set(self, values: Any) -> Any:
        """The array with `values` in their place."""
        rows, y = self._rows(), _of_dtype(self.array, values)
        if any(map(is_array, rows)):
            return _at_arrays(self.array, rows, y, _overwrite)
        return _set_box(self.array, box_of(aval_of(self.array), rows), y)

    def add(self, values: Any) -> Any:
        """The array with `values` added to them."""
        return self._counted(elementwise.add, values)

    def subtract(self, values: Any) -> Any:
        """The array with `values` subtracted from them."""
        return self._counted(elementwise.sub, values)

    def multiply(self, values: Any) -> Any:
        """The array with them times `values`."""
        return self.apply(lambda x: elementwise.mul(x, values))

    def divide(self, values: Any) -> Any:
        """The array with them divided by `values`."""
        return self.apply(lambda x: elementwise.div(x, values))

    def power(self, values: Any) -> Any:
        """The array with them to the power of `values`."""
        return self.apply(lambda x: elementwise.power(x, values))

    def min(self, values: Any) -> Any:
        """The array with them, or `values` where those are smaller."""
        return self.apply(lambda x: elementwise.minimum(x, values))

    def max(self, values: Any) -> Any:
        """The array with them, or `values` where those are larger."""
        return self.apply(lambda x: elementwise.maximum(x, values))

    def apply(self, fn: Callable[[Any], Any]) -> Any:
        """The array with `fn(x[index])` in their place."""
        if any(map(is_array, self._rows())):
            raise TypeError(
                "at: only get, set, add and subtract must have integer arrays, which may name an element twice, got"
                f" {self.index} for {aval_of(self.array)}; use x.at[i].set(fn(x[i]))"
            )
        return self.set(fn(self.get()))

    def _rows(self) -> list[Any]:
        return entries(aval_of(self.array), self.index)

    def _counted(self, op: Callable[[Any, Any], Any], values: Any) -> Any:
        rows = self._rows()
        if not any(map(is_array, rows)):
            return self.apply(lambda x: op(x, values))
        y = _of_dtype(self.array, values)
        return _at_arrays(self.array, rows, y, lambda *given: op(given[0], _sums(*given)))


def _of_dtype(x: Any, values: Any) -> Any:
    """`values` in the dtype of `x`; TypeError if that is no wider one."""
    _, y = promote("at", x, values)
    if y.dtype == x.dtype or (y.dtype.kind == x.dtype.kind == "f"):
        return elementwise.astype(y, x.dtype)
    raise TypeError(f"at: values must fit the array's dtype, got {aval_of(y)} for {aval_of(x)}; use astype")


# --- slices and integers ----------------------------------------------------------------------------


def _set_box(x: Any, box: Box, y: Any) -> Any:
    part = flip(shape.reshape(broadcast_to(y, box.sizes), box.lengths), box.backwards)
    if 0 in box.lengths:
        return x
    if box.lengths == x.shape:
        return part
    if set(box.strides) == {1}:
        (changed,) = dynamic_update_slice_p.bind(x, part, np.array(box.start, np.int32))
        return changed
    high = [n - stop for n, stop in zip(x.shape, box.stop, strict=True)]
    spread = shape.pad(part, box.start, high, 0, [step - 1 for step in box.strides])
    return elementwise.where(_chosen(x.shape, box), spread, x)


def _chosen(sizes: Sequence[int], box: Box) -> Any:
    """Whether each element is in the box: from a vector for each axis, so that no mask of size is kept."""
    chosen: Any = None
    for axis, n in enumerate(sizes):
        vector = np.zeros((n, *(1,) * (len(sizes) - axis - 1)), bool)
        vector[box.start[axis] : box.stop[axis] : box.strides[axis]] = True
        if not vector.all():
            chosen = vector if chosen is None else elementwise.logical_and(chosen, vector)
    return chosen


# --- integer arrays ---------------------------------------------------------------------------------


def _overwrite(x: Any, y: Any, indices: Any, axis: int) -> Any:
    (changed,) = overwrite_p.bind(x, y, indices, axis=axis)
    return changed


def _sums(x: Any, y: Any, indices: Any, axis: int) -> Any:
    (sums,) = scatter_add_p.bind(y, indices, axis=axis, size=x.shape[axis])
    return sums


def _whole(row: Any, n: int) -> bool:
    """Whether an entry is no part of an axis."""
    return not isinstance(row, slice) or range(*row.indices(n)) == range(n)


def _at_arrays(x: Any, rows: Sequence[Any], y: Any, change: Callable[[Any, Any, Any, int], Any]) -> Any:
    """`x` with `change` made to the axes that integer arrays index, seen as one."""
    if len(rows) > x.ndim or not all(map(_whole, rows, x.shape)):
        raise TypeError(
            f"at: beside integer arrays there must be integers and whole axes, got {rows} for {aval_of(x)};"
            " use numpy.arange for a part of an axis"
        )
    rows = [np.asarray(row % n, np.int32) if is_integer(row) else row for row, n in zip(rows, x.shape, strict=True)]
    place = beside(rows)
    merged, sizes = place.merged(x)
    indices = flat_indices([row for row in rows if is_array(row)], sizes)
    picked = (*merged.shape[: place.at], *aval_of(indices).shape, *merged.shape[place.at + 1 :])
    changed = change(merged, broadcast_to(y, picked), indices, place.at)
    apart = shape.reshape(changed, [x.shape[k] for k in place.order])
    return shape.transpose(apart, [place.order.index(k) for k in range(x.ndim)])
