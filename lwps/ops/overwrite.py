"""Rows of an array overwritten by those of another one, where integer indices say.

Of rows that are written to the same place the last one stays. Indices that name no row write nothing; see `picks`. A
work-item owns a block of the result and walks all indices in order, as in `scatter`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Alias, Cost, Device, Host, Launch, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops import gather, shape
from lwps.ops.elementwise import equal, full, where
from lwps.ops.picks import check_axis, check_indices, find_rows, form_of, row_scratch
from lwps.ops.scatter import owners_launch
from lwps.ops.shape import type_option


def _aval(x: ShapedArray, y: ShapedArray, indices: ShapedArray, *, axis: int) -> tuple[ShapedArray, ...]:
    check_axis("overwrite", x, axis)
    check_indices("overwrite", indices)
    if y != ShapedArray((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype):
        raise TypeError(f"overwrite: y must be what the indices pick from axis {axis} of x, got {y}, {indices} and {x}")
    return (x,)


def _vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axis: int) -> Sequence[Any]:
    # what is overwritten has no part in the result, nor has a row that another one has overwritten
    (ct,), (x, y, indices) = cts, ins
    dx = dy = None
    if needed[0]:
        (dx,) = overwrite_p.bind(ct, full(y.shape, 0, y.dtype), indices, axis=axis)
    if needed[1]:
        flat = shape.reshape(indices, -1)
        numbers = np.arange(aval_of(flat).size, dtype=np.int32)
        (last,) = overwrite_p.bind(full((x.shape[axis],), -1, "int32"), numbers, flat, axis=0)
        stays = equal(gather.take(last, flat, 0), numbers)
        (dy,) = gather.take_p.bind(ct, indices, axis=axis, fill=0.0)
        sizes = (*aval_of(indices).shape, *(1,) * (ct.ndim - axis - 1))
        dy = where(shape.reshape(stays, sizes), dy, full((), 0, ct.dtype))
    return dx, dy, None


def _numpy(
    out: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    indices: np.ndarray,
    places: np.ndarray,
    unknown: np.ndarray,
    *,
    axis: int,
) -> None:
    if not np.may_share_memory(out, x):  # else it is written over x
        np.copyto(out, x)
    form, places = form_of(aval_of(x), indices.size, axis), places.view(np.int64)
    rows = y.reshape(form.outer, form.count, form.inner)
    if find_rows(places, unknown, indices.reshape(-1), form.n):
        kept = np.flatnonzero(~unknown)
        places, rows = places[kept], rows[:, kept]
    out.reshape(form.outer, form.n, form.inner)[:, places] = rows


def _launch(device: Device, outs: Any, ins: Any, scratch: Any, *, axis: int) -> tuple[Launch, ...]:
    (out,), (x, y, indices) = outs, ins
    if out.size == 0:
        return ()
    form = form_of(x.aval, indices.size, axis)
    if y.size == 0:
        return (Launch("keep", (out.size,), None, (out, x), type_option(x)),)
    return (owners_launch(device, "overwrite", form, (out, x, y, indices), type_option(x)),)


def _split(x: ShapedArray, y: ShapedArray, indices: ShapedArray, *, axis: int) -> tuple[Split, ...]:
    """Along every other axis."""
    before = [Split((k, k, None), (k,)) for k in range(axis)]
    return (*before, *(Split((k, k - 1 + indices.ndim, None), (k,)) for k in range(axis + 1, x.ndim)))


overwrite_p = Primitive(
    "overwrite",
    aval=_aval,
    vjp=_vjp,
    cost=lambda x, y, indices, *, axis: Cost(flops=0, nbytes=2 * x.nbytes + 2 * y.nbytes + indices.nbytes),
    numpy=Host(_numpy, lambda x, y, indices, *, axis: row_scratch(x, indices)),
    opencl=(Variant("overwrite.cl", _launch),),
    alias=lambda x, y, indices, *, axis: (Alias(0, 0, "overwrite"),),
    split=_split,
)
