"""Elements picked by integer indices along one axis; their vjps are scatter-adds."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops import scatter, shape
from lwps.ops.elementwise import astype, broadcast_shape, broadcast_to, equal, known_array
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
    without,
)

BLOCK = 4096  # elements that a CPU work-item moves at least
GROUP = 64  # work-items a group on a GPU

Fill = float | int | bool | None


# --- what users call --------------------------------------------------------------------------------


def take(x: Any, indices: Any, axis: int | None = None, *, mode: str = "fill", fill_value: Fill = None) -> Any:
    """The rows of `x` that `indices` (integers of any shape) name along `axis`; of flat `x` if `axis` is None.

    The result has the axes of `indices` in place of `axis`. Negative indices count from the end. Where an index names
    no row, it is as in `jnp.take`: mode "fill" gives `fill_value`, by default NaN, the least number of a signed and the
    largest of an unsigned integer, True; mode "clip" gives the nearest row, negative indices the first.
    """
    x = known_array(x, "take")
    if axis is None:
        x, axis = shape.reshape(x, -1), 0
    (axis,) = shape.positions("take", (axis,), x.ndim)
    (y,) = take_p.bind(
        x, as_indices("take", indices, x.shape[axis], mode), axis=axis, fill=_fill("take", x, fill_value)
    )
    return y


def take_along_axis(x: Any, indices: Any, axis: int | None, *, mode: str = "fill", fill_value: Fill = None) -> Any:
    """The elements of `x` that `indices` (integers) name along `axis`, one for each element of the result.

    `indices` has as many axes as `x`; those beside `axis` broadcast with those of `x`. With `axis` None, `x` is flat.
    Negative indices, `mode` and `fill_value` are as in `take`.
    """
    x = known_array(x, "take_along_axis")
    if axis is None:
        x, axis = shape.reshape(x, -1), 0
    (axis,) = shape.positions("take_along_axis", (axis,), x.ndim)
    indices = as_indices("take_along_axis", indices, x.shape[axis], mode)
    x, indices = _aligned(x, indices, axis)
    (y,) = take_along_axis_p.bind(x, indices, axis=axis, fill=_fill("take_along_axis", x, fill_value))
    return y


def one_hot(x: Any, num_classes: int, dtype: Any = "float32", axis: int = -1) -> Any:
    """`x` (integers) with a new axis of `num_classes` elements: 1 at the place that `x` says, 0 elsewhere.

    A number below 0 or from `num_classes` on is at no place, as in `jax.nn.one_hot`.
    """
    x = as_indices("one_hot", x, num_classes)
    (axis,) = shape.positions("one_hot", (axis,), aval_of(x).ndim + 1)
    classes = np.arange(num_classes, dtype=np.int32).reshape(-1, *(1,) * (aval_of(x).ndim - axis))
    return astype(equal(shape.expand_dims(x, axis), classes), dtype)


def _fill(op: str, x: Any, value: Fill) -> float | int | bool:
    """What stands where there is no row, as a Python number of the dtype of `x`."""
    dtype = aval_of(x).dtype
    if value is None:
        value = {"f": math.nan, "b": True}.get(dtype.kind)
    if value is None:
        value = np.iinfo(dtype).min if dtype.kind == "i" else np.iinfo(dtype).max
    try:
        return dtype.type(value).item()
    except (OverflowError, ValueError):
        raise TypeError(f"{op}: fill_value must fit {dtype}, got {value}; use another one") from None


def _aligned(x: Any, indices: Any, axis: int) -> tuple[Any, Any]:
    """Both with the same sizes beside `axis`."""
    ins = aval_of(x), aval_of(indices)
    if ins[0].ndim != ins[1].ndim:
        raise TypeError(f"take_along_axis: indices must have as many axes as x, got {ins[0]} and {ins[1]}; use take")
    others = [ShapedArray((*a.shape[:axis], 1, *a.shape[axis + 1 :]), a.dtype) for a in ins]
    common = broadcast_shape("take_along_axis", others)
    sizes = [(*common[:axis], a.shape[axis], *common[axis + 1 :]) for a in ins]
    return broadcast_to(x, sizes[0]), broadcast_to(indices, sizes[1])


def _bits(fill: float, dtype: np.dtype) -> np.generic:
    return np.asarray(fill, dtype).reshape(1).view(np.uint8 if dtype.itemsize == 1 else np.uint32)[0]


def _take_launch(device: Device, form: Form, arrays: Sequence[Operand], fill: float, along: str) -> tuple[Launch, ...]:
    """The launch that fills arrays[0] with what arrays[2] names in arrays[1]."""
    out, x, _ = arrays
    bits, options = _bits(fill, out.dtype), f"-DTYPE={'uchar' if out.dtype.itemsize == 1 else 'uint'}{along}"
    if form.picked == 0:
        return ()
    if x.size == 0:
        return (Launch("fill", (out.size,), None, (out, bits), options),)
    sizes = [np.int32(n) for n in (form.n, form.count, form.inner)]
    if device.type != "cpu":
        items = -(-form.picked // GROUP) * GROUP
        return (Launch("take_each", (items,), (GROUP,), (*arrays, bits, *sizes, np.int32(form.picked)), options),)
    segments = -(-form.inner // BLOCK)
    tasks = form.outer * form.count * segments
    per_item = max(1, BLOCK * segments // form.inner)
    counts = [np.int32(n) for n in (tasks, per_item, segments)]
    return (Launch("take_rows", (-(-tasks // per_item),), (1,), (*arrays, bits, *sizes, *counts), options),)


# --- take, and its vjp ------------------------------------------------------------------------------


def _take_aval(x: ShapedArray, indices: ShapedArray, *, axis: int, fill: float) -> tuple[ShapedArray, ...]:
    check_axis("take", x, axis)
    check_indices("take", indices)
    return (ShapedArray((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype),)


def _take_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axis: int, fill: float) -> Sequence[Any]:
    (ct,), (x, indices) = cts, ins
    (dx,) = scatter.scatter_add_p.bind(ct, indices, axis=axis, size=x.shape[axis])
    return dx, None


def _take_cost(x: ShapedArray, indices: ShapedArray, *, axis: int, fill: float) -> Cost:
    (out,) = _take_aval(x, indices, axis=axis, fill=fill)
    return Cost(flops=0, nbytes=2 * out.nbytes + indices.nbytes)


def _take_numpy(
    out: np.ndarray,
    x: np.ndarray,
    indices: np.ndarray,
    places: np.ndarray,
    unknown: np.ndarray,
    *,
    axis: int,
    fill: float,
) -> None:
    form, places = form_of(aval_of(x), indices.size, axis), places.view(np.int64)
    some = find_rows(places, unknown, indices.reshape(-1), form.n)
    rows = out.reshape(form.outer, form.count, form.inner)
    if x.size:  # mode "raise" would go through a buffer
        np.take(x.reshape(form.outer, form.n, form.inner), places, axis=1, out=rows, mode="clip")
    if some:
        rows[:, unknown] = fill


def _take_split(x: ShapedArray, indices: ShapedArray, *, axis: int, fill: float) -> tuple[Split, ...]:
    """Along every axis of the indices, and of x all but the one that is picked from."""
    before = [Split((k, None), (k,)) for k in range(axis)]
    picks = [Split((None, k), (axis + k,)) for k in range(indices.ndim)]
    return (*before, *picks, *(Split((k, None), (k - 1 + indices.ndim,)) for k in range(axis + 1, x.ndim)))


def _take_opencl(device: Device, outs: Any, ins: Any, scratch: Any, *, axis: int, fill: float) -> tuple[Launch, ...]:
    return _take_launch(device, form_of(ins[0].aval, ins[1].size, axis), (*outs, *ins), fill, "")


take_p = Primitive(
    "take",
    aval=_take_aval,
    vjp=_take_vjp,
    cost=_take_cost,
    numpy=Host(_take_numpy, row_scratch),
    opencl=(Variant("gather.cl", _take_opencl),),
    alias=None,
    split=_take_split,
)


# --- take_along_axis, and its vjp -------------------------------------------------------------------


def _along_aval(x: ShapedArray, indices: ShapedArray, *, axis: int, fill: float) -> tuple[ShapedArray, ...]:
    check_axis("take_along_axis", x, axis)
    check_indices("take_along_axis", indices)
    if indices.ndim != x.ndim or without(indices, axis) != without(x, axis):
        raise TypeError(
            f"take_along_axis: indices must have the sizes of x on axes other than {axis}, got {x} and {indices}"
        )
    return (ShapedArray(indices.shape, x.dtype),)


def _along_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axis: int, fill: float) -> Sequence[Any]:
    (ct,), (x, indices) = cts, ins
    (dx,) = scatter.scatter_add_along_axis_p.bind(ct, indices, axis=axis, size=x.shape[axis])
    return dx, None


def _along_numpy(
    out: np.ndarray,
    x: np.ndarray,
    indices: np.ndarray,
    places: np.ndarray,
    unknown: np.ndarray,
    *,
    axis: int,
    fill: float,
) -> None:
    form, places = form_of(aval_of(x), indices.shape[axis], axis), places.view(np.int64)
    some = find_places(form, places, unknown, indices)
    if x.size:
        np.take(x.reshape(-1), places.reshape(-1), out=out.reshape(-1), mode="clip")
    if some:
        out.reshape(unknown.shape)[unknown] = fill


def _along_opencl(device: Device, outs: Any, ins: Any, scratch: Any, *, axis: int, fill: float) -> tuple[Launch, ...]:
    return _take_launch(device, form_of(ins[0].aval, ins[1].shape[axis], axis), (*outs, *ins), fill, " -DALONG")


take_along_axis_p = Primitive(
    "take_along_axis",
    aval=_along_aval,
    vjp=_along_vjp,
    cost=lambda x, indices, *, axis, fill: Cost(flops=0, nbytes=3 * indices.nbytes),
    numpy=Host(_along_numpy, place_scratch),
    opencl=(Variant("gather.cl", _along_opencl),),
    alias=None,
    split=split_along,
)
