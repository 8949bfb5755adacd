"""Primitives that move, cut and reduce arrays, as ONNX operators."""

import math
from collections.abc import Sequence

import numpy as np

from lwps.core import Eqn, Primitive, Var
from lwps.export.elementwise import Builder
from lwps.export.graph import Axes, Emitter, NoForm
from lwps.export.inference import Dim, Shape, Size
from lwps.ops import concatenate, flip, logsumexp, product, reduce, scan, shape
from lwps.ops.elementwise import div_p

FIRST, LAST = (int(n) for n in (np.iinfo(np.int64).min, np.iinfo(np.int64).max))  # ends for Slice: as far as it goes


def _reshape(emit: Emitter, eqn: Eqn, *, shape: Shape) -> None:
    emit.put(eqn.outs[0], emit.reshaped(emit.get(eqn.ins[0]), shape))


def _transpose(emit: Emitter, eqn: Eqn, *, axes: Axes) -> None:
    emit.same(eqn.outs[0], eqn.ins[0], axes)


def _slice(emit: Emitter, eqn: Eqn, *, start: Shape, stop: Shape, strides: Shape) -> None:
    (x,) = eqn.ins
    form, sizes = emit.form(x), emit.shape(x)
    rows = [
        (a, LAST if b == sizes[k] else b, form.index(k), s)
        for k, (a, b, s) in enumerate(zip(start, stop, strides, strict=True))
        if (a, b, s) != (0, sizes[k], 1)
    ]
    if not rows:
        emit.same(eqn.outs[0], x)
        return
    emit.put(eqn.outs[0], _sliced(emit, emit.get(x, form), rows), form)


def _pad(emit: Emitter, eqn: Eqn, *, low: Shape, high: Shape, interior: Shape, value: float) -> None:
    (x,) = eqn.ins
    if any(interior):
        raise NoForm(f"interior={interior} puts elements between those of the array")
    form = emit.form(x)
    pads = emit.sizes([*(low[a] for a in form), *(high[a] for a in form)])
    fill = emit.constant(value, dtype=x.aval.dtype)
    emit.put(eqn.outs[0], emit.node("Pad", emit.get(x, form), pads, fill, mode="constant"), form)


def _concatenate(emit: Emitter, eqn: Eqn, *, axis: int) -> None:
    forms = [emit.form(v) for v in eqn.ins if v not in emit.known]
    form = forms[0] if forms else tuple(range(eqn.outs[0].aval.ndim))
    name = emit.node("Concat", *(emit.get(v, form) for v in eqn.ins), axis=form.index(axis))
    emit.put(eqn.outs[0], name, form)


def _flip(emit: Emitter, eqn: Eqn, *, axes: Axes) -> None:
    (x,) = eqn.ins
    form = emit.form(x)
    rows = [(-1, FIRST, form.index(a), -1) for a in axes]
    emit.put(eqn.outs[0], _sliced(emit, emit.get(x, form), rows), form)


def _roll(emit: Emitter, eqn: Eqn, *, axis: int, shift: int) -> None:
    (x,) = eqn.ins
    form = emit.form(x)
    name, stored = emit.get(x, form), form.index(axis)
    parts = _sliced(emit, name, [(-shift, LAST, stored, 1)]), _sliced(emit, name, [(0, -shift, stored, 1)])
    emit.put(eqn.outs[0], emit.node("Concat", *parts, axis=stored), form)


def _sliced(emit: Emitter, name: str, rows: Sequence[tuple[Size, Size, int, Size]]) -> str:
    """The tensor `name` cut by (start, end, stored axis, step), as Slice takes them."""
    return emit.node("Slice", name, *(emit.sizes(column) for column in zip(*rows, strict=True)))


# --- reductions -----------------------------------------------------------------------------------------


def _reduced(form: Axes, axes: Sequence[int]) -> tuple[list[int], Axes]:
    """Where `axes` are stored, and the form of what is left without them."""
    left = [a for a in form if a not in axes]
    return [form.index(a) for a in axes], tuple(sorted(left).index(a) for a in left)


def reduction(emit: Emitter, op: str, x: Var, name: str, axes: Sequence[int]) -> tuple[str, Axes]:
    """The name and the form of `x`, stored as `name`, reduced along `axes`."""
    stored, form = _reduced(emit.form(x), axes)
    return emit.node(op, name, emit.constant(stored, dtype=np.int64), keepdims=0), form


def _sum(emit: Emitter, eqn: Eqn, *, axes: Axes) -> None:
    (x,), (out,) = eqn.ins, eqn.outs
    mean = _mean_of(emit, eqn, axes)
    name = emit.get(x, emit.form(x))
    if x.aval.dtype != out.aval.dtype:
        name = emit.node("Cast", name, to=out.aval.dtype)
    if mean is not None:
        emit.put(mean, *reduction(emit, "ReduceMean", x, name, axes))
        emit.absorbed.add(mean)
    else:
        emit.put(out, *reduction(emit, "ReduceSum", x, name, axes))


def _mean_of(emit: Emitter, eqn: Eqn, axes: Axes) -> Var | None:
    """The result of the division that makes a mean of this sum, if that is all that reads it."""
    (x,), (out,) = eqn.ins, eqn.outs
    reader = emit.only_reader(out)
    sizes = [emit.shape(x)[a] for a in axes]
    if reader is None or reader.primitive is not div_p or reader.ins[0] is not out or reader.ins[1] not in emit.known:
        return None
    divisor = emit.known[reader.ins[1]]
    static = [n for n in sizes if not isinstance(n, Dim)]
    is_count = divisor.ndim == 0 and len(static) == len(sizes) and divisor == math.prod(static)
    return reader.outs[0] if is_count else None


def _reduction(op: str) -> Builder:
    def build(emit: Emitter, eqn: Eqn, *, axes: Axes) -> None:
        (x,), (out,) = eqn.ins, eqn.outs
        name = emit.get(x, emit.form(x))
        wide = np.dtype(np.int32) if x.aval.dtype.itemsize == 1 else x.aval.dtype  # what runtimes reduce
        if x.aval.dtype != wide:
            name = emit.node("Cast", name, to=wide)
        name, form = reduction(emit, op, x, name, axes)
        emit.put(out, name if wide == out.aval.dtype else emit.node("Cast", name, to=out.aval.dtype), form)

    return build


def _place(op: str) -> Builder:
    def build(emit: Emitter, eqn: Eqn, *, axis: int) -> None:
        (x,) = eqn.ins
        (stored,), form = _reduced(emit.form(x), [axis])
        place = emit.node(op, emit.get(x, emit.form(x)), axis=stored, keepdims=0)
        emit.put(eqn.outs[0], emit.node("Cast", place, to=np.dtype(np.int32)), form)

    return build


def _logsumexp(emit: Emitter, eqn: Eqn) -> None:
    (x,) = eqn.ins
    name = emit.get(x, emit.form(x))
    emit.put(eqn.outs[0], *reduction(emit, "ReduceLogSumExp", x, name, [x.aval.ndim - 1]))


def _cumsum(emit: Emitter, eqn: Eqn, *, axis: int, reverse: bool) -> None:
    (x,) = eqn.ins
    form = emit.form(x)
    at = emit.constant(form.index(axis), dtype=np.int64)
    emit.put(eqn.outs[0], emit.node("CumSum", emit.get(x, form), at, reverse=int(reverse)), form)


ARRAYS: dict[Primitive, Builder] = {
    shape.reshape_p: _reshape,
    shape.transpose_p: _transpose,
    shape.slice_p: _slice,
    shape.pad_p: _pad,
    concatenate.concatenate_p: _concatenate,
    flip.flip_p: _flip,
    flip.roll_p: _roll,
    reduce.reduce_sum_p: _sum,
    reduce.reduce_max_p: _reduction("ReduceMax"),
    reduce.reduce_min_p: _reduction("ReduceMin"),
    product.reduce_prod_p: _reduction("ReduceProd"),
    reduce.argmax_p: _place("ArgMax"),
    reduce.argmin_p: _place("ArgMin"),
    logsumexp.logsumexp_p: _logsumexp,
    scan.cumsum_p: _cumsum,
}
