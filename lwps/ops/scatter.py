"""Sums of the rows that share an index: what gathers are turned round.

They need no atomics: a work-item owns a block of the result and walks all indices in order. So each sum is added in the
order of the indices, whatever the block is, and has the same bits on every processor.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops import gather, segments
from lwps.ops.elementwise import C_TYPES, NUMBERS, known_array
from lwps.ops.picks import (
    Form,
    as_indices,
    check_axis,
    check_indices,
    find_places,
    find_rows,
    form_of,
    place_scratch,
    row_scratch,
    split_along,
)

BLOCK = 4096  # elements that a CPU work-item adds up at least
COLUMNS = 256  # that a CPU work-item owns at most
TASKS = 4  # CPU work-items for each core, GPU work-groups for each compute unit
GROUP = 64  # work-items a group on a GPU
HOST_BLOCK = 1 << 16  # elements that the host adds up at once


def segment_sum(x: Any, segments: Any, num_segments: int) -> Any:
    """[num_segments, ...]: row s is the sum of the rows of `x[n, ...]` whose number in `segments[n]` is s.

    Numbers from -num_segments to -1 count from the end; rows whose number names no segment are left out. The sums are
    added in the order of the rows.
    """
    x = known_array(x, "segment_sum")
    (y,) = scatter_add_p.bind(x, as_indices("segment_sum", segments, num_segments), axis=0, size=int(num_segments))
    return y


def _check_numbers(op: str, x: ShapedArray) -> None:
    if x.dtype.name not in NUMBERS:
        raise TypeError(f"{op}: x must be one of {', '.join(NUMBERS)}, got {x}; use astype")


def _add_launch(device: Device, form: Form, arrays: Sequence[Operand], along: str) -> tuple[Launch, ...]:
    """The launch that adds arrays[1] up in arrays[0] where arrays[2] says."""
    out = arrays[0]
    options = f"-DTYPE={C_TYPES[out.dtype.name]}{along}"
    if out.size == 0:
        return ()
    if form.picked == 0:
        return (Launch("fill", (out.size,), None, (out, out.dtype.type(0)), options),)
    return (owners_launch(device, "scatter_add", form, arrays, options),)


def owners_launch(device: Device, kernel: str, form: Form, arrays: Sequence[Operand], options: str) -> Launch:
    """The launch of work-items that own blocks of [outer, n, inner] and walk all indices."""
    cpu = device.type == "cpu"
    columns = min(form.inner, COLUMNS) if cpu else 1
    blocks = -(-form.inner // columns)
    wanted = TASKS * device.compute_units * (1 if cpu else GROUP)
    few = cpu and form.picked + form.outer * form.n * form.inner < BLOCK
    ranges = 1 if few else min(form.n, -(-wanted // (form.outer * blocks)))
    tasks = form.outer * ranges * blocks
    per_item = max(1, BLOCK // ((form.count + -(-form.n // ranges)) * columns)) if cpu else 1
    items, group = (-(-tasks // per_item), 1) if cpu else (-(-tasks // GROUP) * GROUP, GROUP)
    numbers = map(np.int32, (form.n, form.count, form.inner, columns, ranges, tasks, per_item))
    return Launch(kernel, (items,), (group,), (*arrays, *numbers), options)


def _add_aval(x: ShapedArray, indices: ShapedArray, *, axis: int, size: int) -> tuple[ShapedArray, ...]:
    check_indices("scatter_add", indices)
    _check_numbers("scatter_add", x)
    end = axis + indices.ndim
    if axis < 0 or x.shape[axis:end] != indices.shape:
        raise TypeError(f"scatter_add: indices must have the axes of x from axis {axis} on, got {x} and {indices}")
    return (ShapedArray((*x.shape[:axis], size, *x.shape[end:]), x.dtype),)


def _add_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axis: int, size: int) -> Sequence[Any]:
    (dx,) = gather.take_p.bind(cts[0], ins[1], axis=axis, fill=0.0)  # what was left out has no part in the result
    return dx, None


def _add_cost(x: ShapedArray, indices: ShapedArray, *, axis: int, size: int) -> Cost:
    (out,) = _add_aval(x, indices, axis=axis, size=size)
    return Cost(flops=x.size, nbytes=3 * x.nbytes + out.nbytes + indices.nbytes)


def _add_scratch(x: ShapedArray, indices: ShapedArray, *, axis: int, size: int) -> tuple[ShapedArray, ...]:
    (out,) = _add_aval(x, indices, axis=axis, size=size)
    form = form_of(out, indices.size, axis)
    rows = max(1, min(form.count, HOST_BLOCK // max(1, form.outer * form.inner)))
    return *row_scratch(x, indices), ShapedArray((form.outer, rows, form.inner), "float64")


@np.errstate(over="ignore", invalid="ignore")
def _add_numpy(
    out: np.ndarray,
    x: np.ndarray,
    indices: np.ndarray,
    places: np.ndarray,
    unknown: np.ndarray,
    targets: np.ndarray,
    *,
    axis: int,
    size: int,
) -> None:
    """Blocks of rows, each added element by element: `np.add.at` is fast (and in order) for flat arrays only."""
    form, places, targets = form_of(aval_of(out), indices.size, axis), places.view(np.int64), targets.view(np.int64)
    out.fill(0)
    find_rows(places, unknown, indices.reshape(-1), form.n)
    x, columns, at_once = x.reshape(form.outer, form.count, form.inner), np.arange(form.inner), targets.shape[1]
    firsts = (np.arange(form.outer) * (form.n * form.inner))[:, None, None]
    kept = np.flatnonzero(~unknown)
    for rows in (kept[k : k + at_once] for k in range(0, kept.size, at_once)):
        block = targets.reshape(-1)[: form.outer * rows.size * form.inner].reshape(form.outer, rows.size, form.inner)
        np.add((places[rows] * form.inner)[:, None], columns, out=block)
        block += firsts
        np.add.at(out.reshape(-1), block.reshape(-1), x[:, rows].reshape(-1))


def _add_split(x: ShapedArray, indices: ShapedArray, *, axis: int, size: int) -> tuple[Split, ...]:
    """Along every axis of x that is none of the indices'."""
    after = range(axis + indices.ndim, x.ndim)
    return tuple(Split((k, None), (k if k < axis else k + 1 - indices.ndim,)) for k in (*range(axis), *after))


def _add_opencl(device: Device, outs: Any, ins: Any, scratch: Any, *, axis: int, size: int) -> tuple[Launch, ...]:
    return _add_launch(device, form_of(outs[0].aval, ins[1].size, axis), (*outs, *ins), "")


scatter_add_p = Primitive(
    "scatter_add",
    aval=_add_aval,
    vjp=_add_vjp,
    cost=_add_cost,
    numpy=Host(_add_numpy, _add_scratch),
    opencl=(segments.VARIANT, Variant("scatter.cl", _add_opencl)),
    alias=None,
    split=_add_split,
)


def _add_along_aval(x: ShapedArray, indices: ShapedArray, *, axis: int, size: int) -> tuple[ShapedArray, ...]:
    check_axis("scatter_add_along_axis", x, axis)
    check_indices("scatter_add_along_axis", indices)
    _check_numbers("scatter_add_along_axis", x)
    if indices.shape != x.shape:
        raise TypeError(f"scatter_add_along_axis: indices must have the shape of x, got {x} and {indices}")
    return (ShapedArray((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype),)


def _add_along_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axis: int, size: int) -> Sequence[Any]:
    (dx,) = gather.take_along_axis_p.bind(cts[0], ins[1], axis=axis, fill=0.0)
    return dx, None


def _add_along_cost(x: ShapedArray, indices: ShapedArray, *, axis: int, size: int) -> Cost:
    (out,) = _add_along_aval(x, indices, axis=axis, size=size)
    return Cost(flops=x.size, nbytes=3 * x.nbytes + out.nbytes + indices.nbytes)


@np.errstate(over="ignore", invalid="ignore")
def _add_along_numpy(
    out: np.ndarray,
    x: np.ndarray,
    indices: np.ndarray,
    places: np.ndarray,
    unknown: np.ndarray,
    *,
    axis: int,
    size: int,
) -> None:
    form, places = form_of(aval_of(out), x.shape[axis], axis), places.view(np.int64)
    out.fill(0)
    if find_places(form, places, unknown, indices):
        np.add.at(out.reshape(-1), places[~unknown], x.reshape(places.shape)[~unknown])
    else:
        np.add.at(out.reshape(-1), places.reshape(-1), x.reshape(-1))


def _add_along_opencl(device: Device, outs: Any, ins: Any, scratch: Any, *, axis: int, size: int) -> tuple[Launch, ...]:
    return _add_launch(device, form_of(outs[0].aval, ins[1].shape[axis], axis), (*outs, *ins), " -DALONG")


scatter_add_along_axis_p = Primitive(
    "scatter_add_along_axis",
    aval=_add_along_aval,
    vjp=_add_along_vjp,
    cost=_add_along_cost,
    numpy=Host(_add_along_numpy, place_scratch),
    opencl=(segments.ALONG_VARIANT, Variant("scatter.cl", _add_along_opencl)),
    alias=None,
    split=split_along,
)
