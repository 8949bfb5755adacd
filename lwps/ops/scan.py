"""Running sums and products along an axis: each element with all that stand before it (or, in reverse, behind it)."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops.arithmetic import div, mul
from lwps.ops.compare import equal, where
from lwps.ops.reduce import (
    PRODUCT,
    SUM,
    Fold,
    Form,
    canonical_axes,
    each_task,
    fold_chunks,
    form_of,
)
from lwps.ops.shape import reshape
from lwps.ops.values import promote

CHUNK = 1024  # elements one after the other: float32 keeps its digits


def _form(x: ShapedArray, axis: int) -> Form:
    form = form_of(x, (axis,))
    return attrs.evolve(form, chunk=min(form.chunk, CHUNK))


def _aval(op: str, x: ShapedArray, *, axis: int, reverse: bool) -> tuple[ShapedArray, ...]:
    if not 0 <= axis < x.ndim:
        raise ValueError(f"{op}: axis must be from 0 to {x.ndim - 1}, got {axis} for {x}")
    return (ShapedArray(x.shape, "int32" if x.dtype.name in ("bool", "uint8") else x.dtype),)


def _totals(op: str, x: ShapedArray, *, axis: int, reverse: bool) -> tuple[ShapedArray, ...]:
    """One element for each chunk of each column."""
    (out,) = _aval(op, x, axis=axis, reverse=reverse)
    form = _form(x, axis)
    return (ShapedArray((form.outer, form.chunks, form.inner), out.dtype),)


def _launch(
    fold: Fold,
    device: Device,
    outs: Sequence[Operand],
    ins: Sequence[Operand],
    scratch: Sequence[Operand],
    *,
    axis: int,
    reverse: bool,
) -> tuple[Launch, ...]:
    """The totals of all chunks, what stands before each chunk, the scan of each chunk."""
    (out,), (x,), (totals,) = outs, ins, scratch
    if out.size == 0:
        return ()
    form = _form(x.aval, axis)
    summed = fold_chunks(device, totals, x, form, fold)
    return *_before(device, totals, form, summed, reverse), _chunks(device, (out, x, totals), form, summed, reverse)


def _before(device: Device, totals: Operand, form: Form, summed: Launch, reverse: bool) -> tuple[Launch, ...]:
    """What stands before each chunk."""
    if form.chunks == 1:
        return (Launch("nothing", (totals.size,), None, (totals,), summed.options),)
    args = totals, np.int32(form.chunks), np.int32(form.inner), np.int32(reverse)
    columns = form.outer * form.inner
    return summed, each_task(device, "carry_totals", columns, form.chunks, args, summed.options)


def _chunks(device: Device, arrays: tuple[Operand, ...], form: Form, summed: Launch, reverse: bool) -> Launch:
    """The scan of each chunk."""
    tasks, length = form.outer * form.chunks, min(form.n, form.chunk)
    n, inner, chunk, backwards = map(np.int32, (form.n, form.inner, form.chunk, reverse))
    if summed.kernel == "row_groups":
        return attrs.evolve(summed, kernel="scan_row", args=(*arrays, n, chunk, backwards))
    args = *arrays, n, inner, chunk, backwards
    if device.type != "cpu":
        return each_task(device, "scan_columns", tasks * form.inner, length, args, summed.options)
    kernel = "scan_column" if form.inner == 1 else "scan_rows"
    return each_task(device, kernel, tasks, length * form.inner, args, summed.options)


def _numpy(ufunc: Any, out: np.ndarray, x: np.ndarray, totals: np.ndarray, *, axis: int, reverse: bool) -> None:
    form = _form(aval_of(x), axis)
    rows = form.outer, form.n, form.inner
    out, x = (v.reshape(rows)[:, :: -1 if reverse else 1] for v in (out, x))
    whole = form.n // form.chunk
    cut = whole * form.chunk
    if whole:
        parts = form.outer, whole, form.chunk, form.inner
        chunks = out[:, :cut].reshape(parts)
        ufunc.accumulate(x[:, :cut].reshape(parts), axis=2, dtype=out.dtype, out=chunks)
        ufunc.accumulate(chunks[:, :, -1], axis=1, out=totals[:, :whole])
        ufunc(chunks[:, 1:], totals[:, : whole - 1, None], out=chunks[:, 1:])
    if cut < form.n:
        ufunc.accumulate(x[:, cut:], axis=1, dtype=out.dtype, out=out[:, cut:])
    if 0 < cut < form.n:
        ufunc(out[:, cut:], totals[:, whole - 1 : whole], out=out[:, cut:])


def _scan(name: str, ufunc: Any, fold: Fold, vjp: Any) -> Primitive:
    totals = functools.partial(_totals, name)
    return Primitive(
        name,
        aval=functools.partial(_aval, name),
        vjp=vjp,
        cost=lambda x, *, axis, reverse: Cost(flops=2 * x.size, nbytes=3 * x.nbytes),
        numpy=Host(functools.partial(_numpy, ufunc), totals),
        opencl=(Variant("scan.cl", functools.partial(_launch, fold), scratch=totals),),
        alias=None,
        split=lambda x, *, axis, reverse: tuple(Split((k,), (k,)) for k in range(x.ndim) if k != axis),
    )


def _cumsum_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axis: int, reverse: bool) -> Sequence[Any]:
    if ins[0].dtype.kind != "f":
        return (None,)
    return cumsum_p.bind(cts[0], axis=axis, reverse=not reverse)  # y_k has x_j for j <= k; so dx_j has dy_k for k >= j


def _cumprod_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axis: int, reverse: bool) -> Sequence[Any]:
    """dx_j is the sum over k >= j of dy_k y_k / x_j; at the first zero x_j, y_k / x_j is the product of the others.

    Behind the first zero, and for results behind the second, nothing depends on x.
    """
    (ct,), (x,), (y,) = cts, ins, outs
    if x.dtype.kind != "f":
        return (None,)

    def back(v: Any) -> Any:
        return cumsum_p.bind(v, axis=axis, reverse=not reverse)[0]

    zero = equal(x, 0)
    (zeros,) = cumsum_p.bind(zero, axis=axis, reverse=reverse)
    filled = where(zero, 1.0, x)
    (others,) = cumprod_p.bind(filled, axis=axis, reverse=reverse)
    before_any = div(back(mul(ct, y)), filled)  # y is 0 from the first zero on
    at_first = back(where(equal(zeros, 1), mul(ct, others), 0.0))
    return (where(equal(zeros, 0), before_any, where(zero, at_first, 0.0)),)


cumsum_p = _scan("cumsum", np.add, SUM, _cumsum_vjp)
cumprod_p = _scan("cumprod", np.multiply, PRODUCT, _cumprod_vjp)


def cumsum(x: Any, axis: int | None = None, reverse: bool = False) -> Any:
    """Sums of each element and all before it along `axis` (by default of all in order); in `reverse`, behind it."""
    return _along(cumsum_p, x, axis, reverse)


def cumprod(x: Any, axis: int | None = None, reverse: bool = False) -> Any:
    """Products of each element and all before it along `axis` (by default of all in order); in `reverse`, behind it."""
    return _along(cumprod_p, x, axis, reverse)


def _along(primitive: Primitive, x: Any, axis: int | None, reverse: bool) -> Any:
    (x,) = promote(primitive.name, x)
    if axis is None:
        x, axis = reshape(x, (math.prod(x.shape),)), 0
    (axis,) = canonical_axes(primitive.name, axis, x.ndim)
    (y,) = primitive.bind(x, axis=axis, reverse=bool(reverse))
    return y
