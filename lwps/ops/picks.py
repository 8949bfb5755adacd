"""How integer indices name rows of an array: what gathers and scatter-adds share.

Every array is [outer, n, inner] with the indexed axis in the middle. There is an index for each row of what is picked,
or (`along`) one for each element. An index from -n to -1 counts from the end. There is no row for any other one:
gathers give `fill` there, scatter-adds leave it out. So no index reads or writes outside of its array.
"""

import math
from typing import Any

import attrs
import numpy as np

from lwps.core import ShapedArray, Split, aval_of
from lwps.ops.elementwise import astype, known_array, maximum, minimum


def as_indices(op: str, indices: Any, n: int, mode: str = "fill") -> Any:
    """`indices` of an axis of `n` rows as int32; with mode "clip" those of the nearest rows."""
    indices = known_array(indices, op)
    aval = aval_of(indices)
    if aval.dtype.kind not in "iu":
        raise TypeError(f"{op}: indices must be integers, got {aval}; use astype, or where to choose by a condition")
    if mode not in ("fill", "clip"):
        raise ValueError(f"{op}: mode must be 'fill' or 'clip', got {mode!r}; indices are not known while tracing")
    if mode == "clip":
        indices = minimum(maximum(indices, 0), max(n - 1, 0))
    elif aval.dtype == np.uint32:
        indices = minimum(indices, np.uint32(2**31 - 1))  # past every end, and not negative as int32
    return astype(indices, "int32")


@attrs.frozen
class Form:
    """`count` picks of `n` along the middle axis: [outer, n, inner] on one side, [outer, count, inner] on the other."""

    outer: int
    n: int
    count: int
    inner: int

    @property
    def picked(self) -> int:
        """Elements of the side that has the picks."""
        return self.outer * self.count * self.inner


def form_of(dense: ShapedArray, count: int, axis: int) -> Form:
    """`count` picks along `axis` of `dense`."""
    outer, inner = math.prod(dense.shape[:axis]), math.prod(dense.shape[axis + 1 :])
    return Form(outer, dense.shape[axis], count, inner)


def check_axis(op: str, x: ShapedArray, axis: int) -> None:
    """Refuse an axis that is not there."""
    if not 0 <= axis < x.ndim:
        raise ValueError(f"{op}: axis must be from 0 to {x.ndim - 1}, got {axis} for {x}")


def check_indices(op: str, indices: ShapedArray) -> None:
    """Refuse what kernels do not take."""
    if indices.dtype != np.int32:
        raise TypeError(f"{op}: indices must be int32, got {indices}; use astype")


def find_rows(places: np.ndarray, unknown: np.ndarray, indices: np.ndarray, n: int) -> bool:
    """Rows from 0 that `indices` name into `places`, the nearest where `unknown`; whether there is any of those."""
    np.copyto(places, indices)
    np.less(places, 0, out=unknown)
    np.add(places, n, out=places, where=unknown)
    np.greater_equal(places.view(np.uint64), n, out=unknown)  # negative ones too: they are large then
    np.clip(places, 0, max(n - 1, 0), out=places)
    return bool(unknown.any())


def find_places(form: Form, places: np.ndarray, unknown: np.ndarray, indices: np.ndarray) -> bool:
    """Into `places` the element of [outer, n, inner] that each of [outer, count, inner] names; see `find_rows`."""
    found = find_rows(places, unknown, indices.reshape(form.outer, form.count, form.inner), form.n)
    places *= form.inner
    places += np.arange(form.inner)
    places += (np.arange(form.outer) * (form.n * form.inner))[:, None, None]
    return found


def without(x: ShapedArray, axis: int) -> tuple[int, ...]:
    """The sizes of all other axes."""
    return x.shape[:axis] + x.shape[axis + 1 :]


def split_along(x: ShapedArray, indices: ShapedArray, *, axis: int, **params: Any) -> tuple[Split, ...]:
    """Along every axis but `axis`."""
    return tuple(Split((k, k), (k,)) for k in range(x.ndim) if k != axis)


def row_scratch(dense: ShapedArray, indices: ShapedArray, **params: Any) -> tuple[ShapedArray, ...]:
    """Scratch: the row that each index names, as int64 (which is what NumPy takes), and whether there is none."""
    return ShapedArray((indices.size,), "float64"), ShapedArray((indices.size,), "bool")


def place_scratch(x: ShapedArray, indices: ShapedArray, *, axis: int, **params: Any) -> tuple[ShapedArray, ...]:
    """Scratch as `row_scratch`, in the shape [outer, count, inner]."""
    form = form_of(x, indices.shape[axis], axis)
    sizes = form.outer, form.count, form.inner
    return ShapedArray(sizes, "float64"), ShapedArray(sizes, "bool")
