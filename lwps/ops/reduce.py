"""Reductions: neighbouring axes of an array folded into their sum, their maximum or the place of it.

Every reduction is [outer, n, inner] -> [outer, inner]. Its n elements are taken in chunks whose length depends on the
shape alone, and what the chunks give is folded in order by a second launch: so the bits are the same
however many workers there are.
"""

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops import elementwise, shape

CHUNK = 16384  # elements of a chunk: enough to hide what starting a work-item costs
FEWEST_ROWS = 64  # of a chunk: so that partial results are small beside what they are made of
MOST_ROWS = 1024  # added one after the other: float32 keeps its digits
COLUMNS = 64  # that a CPU work-item folds at once, in registers
MANY_COLUMNS = 1024  # that it folds where rows are at least WIDE long, in the result: their sum stays in L1
WIDE = 128
BLOCK = 4096  # elements that a CPU work-item does at least
FEW = 32  # elements that one GPU work-item folds alone

Axes = int | Sequence[int] | None


@attrs.frozen
class Form:
    """A reduction of [outer, n, inner] along its middle, in chunks of `chunk`."""

    outer: int
    n: int
    inner: int
    chunk: int

    @property
    def chunks(self) -> int:
        return builtins.max(1, -(-self.n // self.chunk))


def form_of(x: ShapedArray, axes: Sequence[int]) -> Form:
    """What reducing the neighbouring `axes` of `x` is."""
    outer, inner = math.prod(x.shape[: axes[0]]), math.prod(x.shape[axes[-1] + 1 :])
    n = math.prod(x.shape[axes[0] : axes[-1] + 1])
    if inner == 1:
        return Form(outer, n, inner, CHUNK)
    rows = CHUNK // builtins.max(1, inner)
    return Form(outer, n, inner, builtins.min(builtins.max(rows, FEWEST_ROWS), MOST_ROWS))


def _partials(form: Form, dtype: Any) -> tuple[ShapedArray, ...]:
    return (ShapedArray((form.outer, form.chunks, form.inner), dtype),) if form.chunks > 1 else ()


# --- rules that all share ---------------------------------------------------------------------------


def _reduced(op: str, x: ShapedArray, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without `axes`."""
    if not axes or axes != tuple(range(axes[0], axes[0] + len(axes))) or axes[0] < 0 or axes[-1] >= x.ndim:
        raise ValueError(f"{op}: axes must be neighbours among 0 to {x.ndim - 1} in order, got {axes}")
    return x.shape[: axes[0]] + x.shape[axes[-1] + 1 :]


def _refuse_empty(op: str, x: ShapedArray, axes: tuple[int, ...]) -> None:
    if any(x.shape[a] == 0 for a in axes):
        raise TypeError(f"{op}: there must be at least one element along axes {axes}, got {x}")


def _cost(x: ShapedArray, *, axes: tuple[int, ...]) -> Cost:
    return Cost(flops=x.size, nbytes=x.nbytes + 4 * math.prod(_reduced("reduce", x, axes)))


def _split(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[Split, ...]:
    """Along every axis that stays."""
    before = [Split((k,), (k,)) for k in range(axes[0])]
    return (*before, *(Split((k,), (k - len(axes),)) for k in range(axes[-1] + 1, x.ndim)))


# --- OpenCL -----------------------------------------------------------------------------------------

_BLOCKS = f"-DCOLUMNS={COLUMNS} -DMANY_COLUMNS={MANY_COLUMNS}"
_ACCUMULATORS = {"bool": "int", "uint8": "int", "int32": "int", "uint32": "uint", "float32": "float"}
_LEAST = {"int": "INT_MIN", "uint": "0", "float": "-INFINITY"}


def _options(source: Operand, target: Operand, start: str) -> str:
    acc = _ACCUMULATORS[source.dtype.name]
    types = elementwise.C_TYPES
    start = start or f"-DMAX -DSTART={_LEAST[acc]}"
    return f"-DIN={types[source.dtype.name]} -DOUT={types[target.dtype.name]} -DACC={acc} {start} {_BLOCKS}"


def _fold(device: Device, target: Operand, source: Operand, form: Form, start: str) -> Launch:
    """One launch: each chunk of `source` into one element (or row of `inner`) of `target`."""
    options = _options(source, target, start)
    sizes = tuple(map(np.int32, (form.n, form.inner, form.chunk)))
    tasks, length = form.outer * form.chunks, min(form.n, form.chunk)
    if device.type == "cpu":
        kernel, columns = ("rows", 1) if form.inner == 1 else _columns(form)
        tasks *= -(-form.inner // columns)
        elements = length * builtins.min(form.inner, columns)
        return _cpu_launch(kernel, tasks, elements, (target, source, *sizes), options)
    if form.inner == 1 and length > FEW:
        group = min(256, 1 << (device.max_work_group_size.bit_length() - 1))
        return Launch("row_groups", (tasks * group,), (group,), (target, source, *sizes), f"{options} -DGROUP={group}")
    return _gpu_launch("each_column", tasks * form.inner, (target, source, *sizes), options)


def _columns(form: Form) -> tuple[str, int]:
    return ("columns", COLUMNS) if form.inner < WIDE else ("wide_columns", MANY_COLUMNS)


def _cpu_launch(kernel: str, tasks: int, elements: int, args: tuple[Any, ...], options: str) -> Launch:
    """A work-item for so many tasks of `elements` each that starting it does not show."""
    per_item = builtins.max(1, BLOCK // builtins.max(1, elements))
    counts = np.int32(tasks), np.int32(per_item)
    return Launch(kernel, (-(-tasks // per_item),), (1,), (*args, *counts), options)


def _gpu_launch(kernel: str, tasks: int, args: tuple[Any, ...], options: str) -> Launch:
    """A work-item for each task."""
    return Launch(kernel, (-(-tasks // 64) * 64,), (64,), (*args, np.int32(tasks), np.int32(1)), options)


def _folding(start: str) -> Callable[..., tuple[Launch, ...]]:
    """The launch rule of a reduction: chunks, then what they gave."""

    def launch(
        device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand], *, axes: Any
    ) -> tuple[Launch, ...]:
        (out,), (x,) = outs, ins
        if out.size == 0:
            return ()
        form = form_of(x.aval, axes)
        if x.size == 0:  # there is nothing to read, maybe not even an address
            return (Launch("nothing", (out.size,), None, (out,), _options(x, out, start)),)
        if not scratch:
            return (_fold(device, out, x, form, start),)
        last = attrs.evolve(form, n=form.chunks, chunk=form.chunks)
        return _fold(device, scratch[0], x, form, start), _fold(device, out, scratch[0], last, start)

    return launch


# --- sum --------------------------------------------------------------------------------------------


def _sum_aval(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[ShapedArray, ...]:
    dtype = "int32" if x.dtype.name in ("bool", "uint8") else x.dtype
    return (ShapedArray(_reduced("reduce_sum", x, axes), dtype),)


def _sum_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axes: tuple[int, ...]) -> Sequence[Any]:
    (ct,), (x,) = cts, ins
    if x.dtype.kind != "f":
        return (None,)
    kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    return (elementwise.broadcast_to(shape.reshape(ct, kept), x.shape),)


def _sum_scratch(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[ShapedArray, ...]:
    (out,) = _sum_aval(x, axes=axes)
    return _partials(form_of(x, axes), out.dtype)


def _sum_numpy(out: np.ndarray, x: np.ndarray, *scratch: np.ndarray, axes: tuple[int, ...]) -> None:
    form = form_of(aval_of(x), axes)
    x, out = x.reshape(form.outer, form.n, form.inner), out.reshape(form.outer, form.inner)
    for partial in scratch:  # NumPy adds rows one after the other: over many of them float32 loses digits
        full = form.n // form.chunk
        cut = full * form.chunk
        chunks = x[:, :cut].reshape(form.outer, full, form.chunk, form.inner)
        np.add.reduce(chunks, axis=2, dtype=out.dtype, out=partial[:, :full])
        if cut < form.n:
            np.add.reduce(x[:, cut:], axis=1, dtype=out.dtype, out=partial[:, full])
        x = partial
    np.add.reduce(x, axis=1, dtype=out.dtype, out=out)


reduce_sum_p = Primitive(
    "reduce_sum",
    aval=_sum_aval,
    vjp=_sum_vjp,
    cost=_cost,
    numpy=Host(_sum_numpy, _sum_scratch),
    opencl=(Variant("reduce.cl", _folding("-DSTART=0"), scratch=_sum_scratch),),
    alias=None,
    split=_split,
)


# --- max and argmax ---------------------------------------------------------------------------------


def _max_aval(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[ShapedArray, ...]:
    out = ShapedArray(_reduced("reduce_max", x, axes), x.dtype)
    _refuse_empty("reduce_max", x, axes)
    return (out,)


def _max_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axes: tuple[int, ...]) -> Sequence[Any]:
    """The cotangent goes to the first of the largest elements."""
    (ct,), (x,) = cts, ins
    if x.dtype.kind != "f":
        return (None,)
    form = form_of(aval_of(x), axes)
    flat = shape.reshape(x, (form.outer, form.n, form.inner))
    winner, ct = (shape.reshape(v, (form.outer, 1, form.inner)) for v in (argmax(flat, 1), ct))
    here = elementwise.equal(np.arange(form.n, dtype=np.int32).reshape(form.n, 1), winner)
    return (shape.reshape(elementwise.where(here, ct, 0), x.shape),)


def _max_scratch(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[ShapedArray, ...]:
    return _partials(form_of(x, axes), x.dtype)


def _max_numpy(out: np.ndarray, x: np.ndarray, *, axes: tuple[int, ...]) -> None:
    form = form_of(aval_of(x), axes)
    np.maximum.reduce(x.reshape(form.outer, form.n, form.inner), axis=1, out=out.reshape(form.outer, form.inner))


reduce_max_p = Primitive(
    "reduce_max",
    aval=_max_aval,
    vjp=_max_vjp,
    cost=_cost,
    numpy=Host(_max_numpy),
    opencl=(Variant("reduce.cl", _folding(""), scratch=_max_scratch),),
    alias=None,
    split=_split,
)


def _argmax_aval(x: ShapedArray, *, axis: int) -> tuple[ShapedArray, ...]:
    out = ShapedArray(_reduced("argmax", x, (axis,)), np.int32)
    _refuse_empty("argmax", x, (axis,))
    return (out,)


def _argmax_numpy(out: np.ndarray, x: np.ndarray, scratch: np.ndarray, *, axis: int) -> None:
    places = scratch.view(np.int64)  # the only dtype that NumPy writes places in
    np.argmax(x, axis=axis, out=places)
    np.copyto(out, places, casting="same_kind")


def _argmax_launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand], *, axis: int
) -> tuple[Launch, ...]:
    (out,), (x,) = outs, ins
    if out.size == 0:
        return ()
    form, options = form_of(x.aval, (axis,)), _options(x, out, "")
    sizes = tuple(map(np.int32, (form.n, form.inner, form.chunk)))
    first = _each(device, "argmax", (*scratch, out)[0], form.chunks * out.size, form.chunk, (x, *sizes), options)
    if not scratch:
        return (first,)
    return first, _each(device, "argmax_of_chunks", out, out.size, form.chunks, (x, *scratch, *sizes), options)


def _each(device: Device, kernel: str, out: Operand, tasks: int, length: int, args: Any, options: str) -> Launch:
    if device.type == "cpu":
        return _cpu_launch(kernel, tasks, length, (out, *args), options)
    return _gpu_launch(kernel, tasks, (out, *args), options)


argmax_p = Primitive(
    "argmax",
    aval=_argmax_aval,
    vjp=lambda cts, ins, outs, needed, *, axis: (None,),
    cost=lambda x, *, axis: _cost(x, axes=(axis,)),
    numpy=Host(_argmax_numpy, lambda x, *, axis: (ShapedArray(_reduced("argmax", x, (axis,)), np.float64),)),
    opencl=(Variant("reduce.cl", _argmax_launch, scratch=lambda x, *, axis: _partials(form_of(x, (axis,)), np.int32)),),
    alias=None,
    split=lambda x, *, axis: _split(x, axes=(axis,)),
)


# --- what users call --------------------------------------------------------------------------------


def canonical_axes(op: str, axes: Axes, ndim: int) -> tuple[int, ...]:
    """`axes` as positions from 0, in order; None stands for all of them."""
    given = tuple(range(ndim)) if axes is None else (axes,) if isinstance(axes, int | np.integer) else tuple(axes)
    found = tuple(sorted(int(a) + ndim if a < 0 else int(a) for a in given))
    if len(set(found)) < len(found) or any(not 0 <= a < ndim for a in found):
        raise ValueError(f"{op}: axes must be different ones of {ndim}, got {axes}")
    return found


def _reduce(primitive: Primitive, op: str, x: Any, axes: Axes, keepdims: bool) -> Any:
    """Reduce one run of neighbouring axes after the other, the last ones first."""
    axes, before = canonical_axes(op, axes, x.ndim), x.shape
    runs: list[tuple[int, ...]] = []
    for axis in axes:
        if runs and runs[-1][-1] == axis - 1:
            runs[-1] = (*runs[-1], axis)
        else:
            runs.append((axis,))
    for run in reversed(runs):
        (x,) = primitive.bind(x, axes=run)
    kept = tuple(1 if k in axes else n for k, n in enumerate(before))
    return shape.reshape(x, kept) if keepdims else x


def sum(x: Any, axes: Axes = None, keepdims: bool = False) -> Any:
    """The sum along `axes` (all of them by default); bool and uint8 add up as int32."""
    (x,) = elementwise.promote("sum", x)
    if x.dtype.name in ("bool", "uint8") and canonical_axes("sum", axes, x.ndim) == ():
        return elementwise.astype(x, "int32")
    return _reduce(reduce_sum_p, "sum", x, axes, keepdims)


def mean(x: Any, axes: Axes = None, keepdims: bool = False) -> Any:
    """The mean along `axes` (all of them by default), a float: float32 for what is no float."""
    (x,) = elementwise.promote("mean", x)
    x = x if x.dtype.kind == "f" else elementwise.astype(x, "float32")
    count = math.prod(x.shape[a] for a in canonical_axes("mean", axes, x.ndim))
    return elementwise.div(sum(x, axes, keepdims), count)


def max(x: Any, axes: Axes = None, keepdims: bool = False) -> Any:
    """The largest element along `axes` (all of them by default); NaN where there is one."""
    (x,) = elementwise.promote("max", x)
    return _reduce(reduce_max_p, "max", x, axes, keepdims)


def argmax(x: Any, axis: int = -1) -> Any:
    """Where along `axis` the largest element is, as int32: the first in a tie, the first NaN if there is one."""
    (x,) = elementwise.promote("argmax", x)
    (axis,) = canonical_axes("argmax", axis, x.ndim)
    (y,) = argmax_p.bind(x, axis=axis)
    return y
