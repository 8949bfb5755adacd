"""Boxes cut out of arrays, and written into them, at places that are known when the step runs only.

A box is moved so that it lies within the array, as in JAX: along n elements it begins between 0 and n - size.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Alias, Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops.elementwise import add, full, known_array, mul, promote
from lwps.ops.picks import as_indices
from lwps.ops.shape import BLOCK, RANK, Loops, copy_launch, row_major, type_option

Ints = tuple[int, ...]


def dynamic_slice(x: Any, start_indices: Any, slice_sizes: Sequence[int]) -> Any:
    """The part of `x` of `slice_sizes` elements that begins at `start_indices`.

    There is a start for each axis: integers or traced integer scalars, or all in one integer vector. Negative ones
    count from the end. A part that would reach past the end begins earlier.
    """
    x, sizes = known_array(x, "dynamic_slice"), tuple(int(n) for n in slice_sizes)
    starts = _starts("dynamic_slice", start_indices, aval_of(x))
    if sizes == aval_of(x).shape:
        return x
    (y,) = dynamic_slice_p.bind(x, starts, sizes=sizes)
    return y


def dynamic_update_slice(x: Any, update: Any, start_indices: Any) -> Any:
    """`x` with `update` in place of what `dynamic_slice(x, start_indices, update.shape)` gives."""
    x = known_array(x, "dynamic_update_slice")
    _, update = promote("dynamic_update_slice", x, update)
    starts = _starts("dynamic_update_slice", start_indices, aval_of(x))
    if aval_of(update) == aval_of(x):
        return update
    (y,) = dynamic_update_slice_p.bind(x, update, starts)
    return y


def _starts(op: str, starts: Any, x: ShapedArray) -> Any:
    """The starts as int32[ndim]."""
    one = hasattr(starts, "aval") or isinstance(starts, np.ndarray)
    if (starts.shape if one else (len(starts),)) != (x.ndim,):
        raise TypeError(f"{op}: there must be a start for each of {x.ndim} axes, got {starts} for {x}")
    if one or all(isinstance(s, int | np.integer) for s in starts):
        return as_indices(op, starts if one else np.array(starts, np.int64), 0)
    vector: Any = np.zeros(x.ndim, np.int32)
    for start, unit in zip(starts, np.eye(x.ndim, dtype=np.int32), strict=True):
        start = as_indices(op, start, 0)
        if aval_of(start).ndim:
            raise TypeError(f"{op}: a start must be an integer scalar, got {aval_of(start)} for {x}")
        vector = add(vector, mul(unit, start))
    return vector


# --- rules that both share --------------------------------------------------------------------------


def _check(op: str, x: ShapedArray, starts: ShapedArray, sizes: Ints) -> None:
    if starts != ShapedArray((x.ndim,), "int32"):
        raise TypeError(f"{op}: starts must be int32[{x.ndim}], one for each axis, got {starts} for {x}")
    if len(sizes) != x.ndim or any(not 0 <= k <= n for k, n in zip(sizes, x.shape, strict=True)):
        raise TypeError(f"{op}: the part must have from 0 to all elements of each axis, got {sizes} of {x}")


def _part(x: np.ndarray, starts: np.ndarray, sizes: Ints) -> np.ndarray:
    """The view of `x` that begins at `starts`."""
    rows = zip(starts.tolist(), x.shape, sizes, strict=True)
    firsts = [min(max(s + n if s < 0 else s, 0), n - k) for s, n, k in rows]
    return x[tuple(slice(s, s + k) for s, k in zip(firsts, sizes, strict=True))]


def _part_launch(
    device: Device, arrays: Sequence[Operand], x: ShapedArray, sizes: Ints, options: str
) -> tuple[Launch, ...]:
    """The launch that copies between a part of `x`, of `sizes` elements, and an array as large as that part."""
    part, whole = row_major(sizes), row_major(x.shape)
    loops = Loops(sizes, whole, part) if options else Loops(sizes, part, whole)
    launches = copy_launch(device, arrays[0], arrays[1], loops)
    fill = (0,) * (RANK - x.ndim)
    last = [n - k for n, k in zip(x.shape, sizes, strict=True)]
    places = map(np.int32, (x.ndim, *x.shape, *fill, *last, *fill, *whole, *fill))
    return tuple(_moved(launch, arrays[2], tuple(places), options) for launch in launches)


def _moved(launch: Launch, starts: Operand, places: tuple[np.int32, ...], options: str) -> Launch:
    """The launch that does what `launch` does at the place that `starts` says."""
    args = (*launch.args[:2], starts, *places, *launch.args[2:])
    return Launch(f"dynamic_{launch.kernel}", launch.global_size, launch.local_size, args, launch.options + options)


def _few_axes(device: Device, x: ShapedArray, *others: ShapedArray, **params: Any) -> bool:
    return x.ndim <= RANK


# --- dynamic_slice ----------------------------------------------------------------------------------


def _slice_aval(x: ShapedArray, starts: ShapedArray, *, sizes: Ints) -> tuple[ShapedArray, ...]:
    _check("dynamic_slice", x, starts, sizes)
    return (ShapedArray(sizes, x.dtype),)


def _slice_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, sizes: Ints) -> Sequence[Any]:
    x, starts = ins
    (dx,) = dynamic_update_slice_p.bind(full(x.shape, 0, x.dtype), *cts, starts)
    return dx, None


def _slice_numpy(out: np.ndarray, x: np.ndarray, starts: np.ndarray, *, sizes: Ints) -> None:
    np.copyto(out, _part(x, starts, sizes))


def _slice_launch(device: Device, outs: Any, ins: Any, scratch: Any, *, sizes: Ints) -> tuple[Launch, ...]:
    x, starts = ins
    return _part_launch(device, (*outs, x, starts), x.aval, sizes, "")


dynamic_slice_p = Primitive(
    "dynamic_slice",
    aval=_slice_aval,
    vjp=_slice_vjp,
    cost=lambda x, starts, *, sizes: Cost(flops=0, nbytes=2 * ShapedArray(sizes, x.dtype).nbytes),
    numpy=_slice_numpy,
    opencl=(Variant("dynamic.cl", _slice_launch, applies=_few_axes),),
    alias=None,
    split=None,  # params name sizes
)


# --- dynamic_update_slice ---------------------------------------------------------------------------


def _update_aval(x: ShapedArray, update: ShapedArray, starts: ShapedArray) -> tuple[ShapedArray, ...]:
    if update.dtype != x.dtype:
        raise TypeError(f"dynamic_update_slice: x and update must share a dtype, got {x} and {update}; use astype")
    _check("dynamic_update_slice", x, starts, update.shape)
    return (x,)


def _update_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (_, update, starts) = cts, ins
    dx = dupdate = None
    if needed[0]:
        (dx,) = dynamic_update_slice_p.bind(ct, full(update.shape, 0, update.dtype), starts)
    if needed[1]:
        (dupdate,) = dynamic_slice_p.bind(ct, starts, sizes=update.shape)
    return dx, dupdate, None


def _update_numpy(out: np.ndarray, x: np.ndarray, update: np.ndarray, starts: np.ndarray) -> None:
    if not np.may_share_memory(out, x):  # else it is written over x
        np.copyto(out, x)
    np.copyto(_part(out, starts, update.shape), update)


def _update_launch(device: Device, outs: Any, ins: Any, scratch: Any) -> tuple[Launch, ...]:
    (out,), (x, update, starts) = outs, ins
    if x.size == 0:
        return ()
    per_item = BLOCK if device.type == "cpu" else 1
    numbers = np.int32(x.size), np.int32(per_item)
    whole = Launch("whole", (-(-x.size // per_item),), None, (out, x, *numbers), type_option(x))
    return (whole, *_part_launch(device, (out, update, starts), x.aval, update.shape, " -DUPDATE"))


dynamic_update_slice_p = Primitive(
    "dynamic_update_slice",
    aval=_update_aval,
    vjp=_update_vjp,
    cost=lambda x, update, starts: Cost(flops=0, nbytes=2 * x.nbytes),
    numpy=Host(_update_numpy),
    opencl=(Variant("dynamic.cl", _update_launch, applies=_few_axes),),
    alias=lambda x, update, starts: (Alias(0, 0, "overwrite"),),
    split=lambda x, update, starts: tuple(
        Split((k, k, None), (k,)) for k, n in enumerate(x.shape) if update.shape[k] == n
    ),
)
