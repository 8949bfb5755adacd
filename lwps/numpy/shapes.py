"""Elements in other places."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import aval_of
from lwps.numpy.creation import sizes
from lwps.ops import elementwise, shape
from lwps.ops.concatenate import concatenate as _concatenate
from lwps.ops.shape import expand_dims, reshape, transpose


def broadcast_to(array: Any, shape: int | Sequence[int]) -> Any:
    """`array` repeated to `shape`."""
    return elementwise.broadcast_to(array, sizes(shape))


def ravel(a: Any) -> Any:
    """The elements as one axis."""
    return reshape(a, -1)


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """`a` with two axes in each other's place."""
    order = list(range(aval_of(a).ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(a, order)


def moveaxis(a: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """`a` with one axis or several moved to other places, the others in order."""
    ndim = aval_of(a).ndim
    pairs = [(x,) if isinstance(x, int) else tuple(x) for x in (source, destination)]
    if len(pairs[0]) != len(pairs[1]):
        raise ValueError(f"moveaxis: there must be as many sources as destinations, got {source} and {destination}")
    sources, destinations = (shape.positions("moveaxis", axes, ndim) for axes in pairs)
    order = [k for k in range(ndim) if k not in sources]
    for to, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(to, axis)
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


def meshgrid(*xi: Any, indexing: str = "xy") -> list[Any]:
    """The vectors `xi` as axes of grids: each element of `xi[k]` wherever that is its coordinate.

    With indexing "ij" vector k lies along axis k; with "xy" the first two axes are the other way round.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}")
    vectors = [ravel(x) for x in xi]
    axes = list(range(len(xi)))
    if indexing == "xy" and len(xi) > 1:
        axes[:2] = 1, 0
    grid = [vectors[k].shape[0] for k in axes]
    lines = [
        reshape(x, [-1 if k == axis else 1 for k in range(len(xi))]) for x, axis in zip(vectors, axes, strict=True)
    ]
    return [elementwise.broadcast_to(line, grid) for line in lines]


def pad(array: Any, pad_width: Any, constant_values: float = 0) -> Any:
    """`array` with `constant_values` around it: `pad_width` is one number, (before, after), or a pair for each axis."""
    low, high = np.broadcast_to(pad_width, (aval_of(array).ndim, 2)).T.tolist()
    return shape.pad(array, low, high, constant_values)
