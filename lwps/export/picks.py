"""Gathers and scatter-adds by integer indices, orders, and boxes at computed places, as ONNX operators."""

import math

import numpy as np

from lwps.core import Eqn, Primitive, Var
from lwps.export.elementwise import Builder
from lwps.export.graph import Emitter, NoForm
from lwps.export.inference import Dim, Shape, Size
from lwps.ops import dynamic, gather, overwrite, scatter, sort


def _take(emit: Emitter, eqn: Eqn, *, axis: int, fill: float) -> None:
    x, indices = eqn.ins
    spread = (1,) * axis + emit.shape(indices) + (1,) * (x.aval.ndim - axis - 1)
    _pick(emit, eqn, "Gather", axis, fill, spread)


def _take_along_axis(emit: Emitter, eqn: Eqn, *, axis: int, fill: float) -> None:
    _pick(emit, eqn, "GatherElements", axis, fill, None)


def _pick(emit: Emitter, eqn: Eqn, op: str, axis: int, fill: float, spread: Shape | None) -> None:
    """`op` picks; where the user said what stands for rows that are not there, it picks some row and drops it.

    Otherwise an index of no row is the runtime's error. `spread`: how the indices broadcast with the result.
    """
    x, indices = eqn.ins
    array, places, n = emit.get(x), emit.get(indices), emit.shape(x)[axis]
    if _is_default(fill, x.aval.dtype) or isinstance(n, Dim):
        emit.put(eqn.outs[0], emit.node(op, array, places, axis=axis))
        return
    places, inside = _rows(emit, places, n)
    picked = emit.node(op, array, emit.node("Where", inside, places, emit.constant(0, dtype=np.int32)), axis=axis)
    inside = inside if spread in (None, emit.shape(indices)) else emit.reshaped(inside, spread)
    emit.put(eqn.outs[0], emit.node("Where", inside, picked, emit.constant(fill, dtype=x.aval.dtype)))


def _rows(emit: Emitter, places: str, n: int) -> tuple[str, str]:
    """Row numbers from 0 where `places` counts from the end, and whether each is one of `n`."""
    end, zero = emit.constant(n, dtype=np.int32), emit.constant(0, dtype=np.int32)
    places = emit.node("Where", emit.node("Less", places, zero), emit.node("Add", places, end), places)
    return places, emit.node("And", emit.node("GreaterOrEqual", places, zero), emit.node("Less", places, end))


def _is_default(fill: float, dtype: np.dtype) -> bool:
    """Whether this is what stands where there is no row because the user said nothing."""
    if dtype.kind == "f":
        return math.isnan(fill)
    return fill is True if dtype.kind == "b" else fill == (np.iinfo(dtype).min or np.iinfo(dtype).max)


def _scatter_add(emit: Emitter, eqn: Eqn, *, axis: int, size: int) -> None:
    x, indices = eqn.ins
    _add_up(emit, eqn, *_by_rows(emit, x, indices, axis), axis, size)


def _scatter_add_along_axis(emit: Emitter, eqn: Eqn, *, axis: int, size: int) -> None:
    x, indices = eqn.ins
    _add_up(emit, eqn, emit.get(x), emit.get(indices), emit.shape(x), axis, size)


def _by_rows(emit: Emitter, x: Var, indices: Var, axis: int) -> tuple[str, str, Shape]:
    """`x` with its axes from `axis` on that are those of the indices as one; the index of each element; the shape."""
    sizes, count = emit.shape(x), indices.aval.ndim
    known = [n for n in emit.shape(indices) if isinstance(n, int)]
    if len(known) < count:
        raise NoForm("as many rows as the batch has are written")
    rows = (*sizes[:axis], math.prod(known), *sizes[axis + count :])
    places = emit.reshaped(emit.get(indices), [n if k == axis else 1 for k, n in enumerate(rows)])
    return emit.reshaped(emit.get(x), rows), emit.node("Expand", places, emit.sizes(rows)), rows


def _add_up(emit: Emitter, eqn: Eqn, x: str, places: str, shape: Shape, axis: int, size: int) -> None:
    sizes: list[Size] = [size + 1 if k == axis else n for k, n in enumerate(shape)]
    zeros = emit.node("ConstantOfShape", emit.sizes(sizes), value=np.zeros(1, eqn.outs[0].aval.dtype))
    emit.put(eqn.outs[0], _scattered(emit, zeros, x, places, axis, size, reduction="add"))


def _scattered(emit: Emitter, array: str, x: str, places: str, axis: int, size: int, **how: str) -> str:
    """`x` written into an array of `size` rows and one more, which takes what has no row and is cut off."""
    places, inside = _rows(emit, places, size)
    places = emit.node("Where", inside, places, emit.constant(size, dtype=np.int32))
    sums = emit.node("ScatterElements", array, places, x, axis=axis, **how)
    return emit.node("Slice", sums, *(emit.constant([n], dtype=np.int64) for n in (0, size, axis)))


def _overwrite(emit: Emitter, eqn: Eqn, *, axis: int) -> None:
    """Of rows that are written twice the last one stays, in ONNX Runtime as here; ONNX does not say."""
    x, y, indices = eqn.ins
    size = emit.shape(x)[axis]
    if isinstance(size, Dim):
        raise NoForm("rows of a batch of any size are written")
    one = [1 if k == axis else n for k, n in enumerate(emit.shape(x))]
    row = emit.node("ConstantOfShape", emit.sizes(one), value=np.zeros(1, x.aval.dtype))
    array = emit.node("Concat", emit.get(x), row, axis=axis)
    rows, places, _ = _by_rows(emit, y, indices, axis)
    emit.put(eqn.outs[0], _scattered(emit, array, rows, places, axis, size))


# --- orders -------------------------------------------------------------------------------------------------


def _argsort(emit: Emitter, eqn: Eqn, *, axis: int, descending: bool) -> None:
    _first(emit, eqn, axis, emit.shape(eqn.ins[0])[axis], largest=int(descending))


def _top_k(emit: Emitter, eqn: Eqn, *, axis: int, k: int) -> None:
    _first(emit, eqn, axis, k, largest=1)


def _first(emit: Emitter, eqn: Eqn, axis: int, count: Size, largest: int) -> None:
    """The indices of the first elements in order; of equal ones TopK has the lower index first, as lwps."""
    (x,) = eqn.ins
    form = emit.form(x)
    ins = emit.get(x, form), emit.sizes([count])
    _, places = emit.nodes_of("TopK", 2, *ins, axis=form.index(axis), largest=largest, sorted=1)
    emit.put(eqn.outs[0], emit.node("Cast", places, to=np.dtype(np.int32)), form)


# --- boxes at places that the model computes ----------------------------------------------------------------


def _starts(emit: Emitter, x: Var, starts: Var, sizes: Shape) -> tuple[str, str]:
    """Where the box begins along each axis, moved into the array, and where it would begin at the latest."""
    zero = emit.constant(0, dtype=np.int64)
    asked = emit.node("Cast", emit.get(starts), to=np.dtype(np.int64))
    from_end = emit.node("Add", asked, emit.sizes(emit.shape(x)))
    last = emit.node("Sub", emit.sizes(emit.shape(x)), emit.sizes(sizes))
    firsts = emit.node("Where", emit.node("Less", asked, zero), from_end, asked)
    return emit.node("Min", emit.node("Max", firsts, zero), last), last


def _dynamic_slice(emit: Emitter, eqn: Eqn, *, sizes: Shape) -> None:
    x, starts = eqn.ins
    firsts, _ = _starts(emit, x, starts, sizes)
    ends = emit.node("Add", firsts, emit.sizes(sizes))
    emit.put(eqn.outs[0], emit.node("Slice", emit.get(x), firsts, ends))


def _dynamic_update_slice(emit: Emitter, eqn: Eqn) -> None:
    """The update and a mask of it, padded to the array."""
    x, update, starts = eqn.ins
    sizes = emit.shape(update)
    firsts, last = _starts(emit, x, starts, sizes)
    pads = emit.node("Concat", firsts, emit.node("Sub", last, firsts), axis=0)
    mask = emit.node("ConstantOfShape", emit.sizes(sizes), value=np.ones(1, bool))
    inside, padded = (emit.node("Pad", name, pads) for name in (mask, emit.get(update)))
    emit.put(eqn.outs[0], emit.node("Where", inside, padded, emit.get(x)))


PICKS: dict[Primitive, Builder] = {
    dynamic.dynamic_slice_p: _dynamic_slice,
    dynamic.dynamic_update_slice_p: _dynamic_update_slice,
    sort.argsort_p: _argsort,
    sort.top_k_p: _top_k,
    gather.take_p: _take,
    gather.take_along_axis_p: _take_along_axis,
    overwrite.overwrite_p: _overwrite,
    scatter.scatter_add_p: _scatter_add,
    scatter.scatter_add_along_axis_p: _scatter_add_along_axis,
}
