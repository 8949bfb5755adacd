"""Reductions: neighbouring axes of an array folded into their sum, their extremes or the places of those.

Every reduction is [outer, n, inner] -> [outer, inner]. Its n elements are taken in chunks whose length depends on the
shape alone, and what the chunks give is folded in order by a second launch: so the bits are the same
however many workers there are.
"""

import builtins
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops import elementwise, shape
from lwps.ops.rules import C_TYPES

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


def partials(form: Form, dtype: Any) -> tuple[ShapedArray, ...]:
    return (ShapedArray((form.outer, form.chunks, form.inner), dtype),) if form.chunks > 1 else ()


# --- rules that all share ---------------------------------------------------------------------------


def reduced(op: str, x: ShapedArray, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without `axes`."""
    if not axes or axes != tuple(range(axes[0], axes[0] + len(axes))) or axes[0] < 0 or axes[-1] >= x.ndim:
        raise ValueError(f"{op}: axes must be neighbours among 0 to {x.ndim - 1} in order, got {axes}")
    return x.shape[: axes[0]] + x.shape[axes[-1] + 1 :]


def _refuse_empty(op: str, x: ShapedArray, axes: tuple[int, ...]) -> None:
    if any(x.shape[a] == 0 for a in axes):
        raise TypeError(f"{op}: there must be at least one element along axes {axes}, got {x}")


def reduction_cost(x: ShapedArray, *, axes: tuple[int, ...]) -> Cost:
    return Cost(flops=x.size, nbytes=x.nbytes + 4 * math.prod(reduced("reduce", x, axes)))


def reduction_split(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[Split, ...]:
    """Along every axis that stays."""
    before = [Split((k,), (k,)) for k in range(axes[0])]
    return (*before, *(Split((k,), (k - len(axes),)) for k in range(axes[-1] + 1, x.ndim)))


# --- OpenCL -----------------------------------------------------------------------------------------

_BLOCKS = f"-DCOLUMNS={COLUMNS} -DMANY_COLUMNS={MANY_COLUMNS}"
_ACCUMULATORS = {"bool": "int", "uint8": "int", "int32": "int", "uint32": "uint", "float32": "float"}


@attrs.frozen(eq=False)
class Fold:
    """How two elements become one: the macro that reduce.cl knows it by, and what to begin with, by accumulator."""

    macro: str
    start: Mapping[str, str]

    def options(self, source: Operand, target: Operand) -> str:
        """The settings of reduce.cl for a fold of `source` into `target`."""
        acc = _ACCUMULATORS[source.dtype.name]
        types = f"-DIN={C_TYPES[source.dtype.name]} -DOUT={C_TYPES[target.dtype.name]} -DACC={acc}"
        return f"{types} -D{self.macro} -DSTART={self.start[acc]} {_BLOCKS}"


SUM = Fold("SUM", {"int": "0", "uint": "0", "float": "0"})
PRODUCT = Fold("PRODUCT", {"int": "1", "uint": "1", "float": "1"})
MAX = Fold("MAX", {"int": "INT_MIN", "uint": "0", "float": "-INFINITY"})
MIN = Fold("MIN", {"int": "INT_MAX", "uint": "UINT_MAX", "float": "INFINITY"})


def fold_chunks(device: Device, target: Operand, source: Operand, form: Form, fold: Fold) -> Launch:
    """One launch: each chunk of `source` into one element (or row of `inner`) of `target`."""
    options = fold.options(source, target)
    sizes = tuple(map(np.int32, (form.n, form.inner, form.chunk)))
    tasks, length = form.outer * form.chunks, builtins.min(form.n, form.chunk)
    if device.type == "cpu":
        kernel, columns = ("rows", 1) if form.inner == 1 else _columns(form)
        tasks *= -(-form.inner // columns)
        elements = length * builtins.min(form.inner, columns)
        return each_task(device, kernel, tasks, elements, (target, source, *sizes), options)
    if form.inner == 1 and length > FEW:
        group = builtins.min(256, 1 << (device.max_work_group_size.bit_length() - 1))
        return Launch("row_groups", (tasks * group,), (group,), (target, source, *sizes), f"{options} -DGROUP={group}")
    return each_task(device, "each_column", tasks * form.inner, length, (target, source, *sizes), options)


def _columns(form: Form) -> tuple[str, int]:
    return ("columns", COLUMNS) if form.inner < WIDE else ("wide_columns", MANY_COLUMNS)


def each_task(device: Device, kernel: str, tasks: int, length: int, args: tuple[Any, ...], options: str) -> Launch:
    """On a CPU a work-item for so many tasks of `length` elements that starting it does not show; else for each."""
    cpu = device.type == "cpu"
    per_item = builtins.max(1, BLOCK // builtins.max(1, length)) if cpu else 1
    local = 1 if cpu else 64
    items = -(-tasks // (per_item * local)) * local
    return Launch(kernel, (items,), (local,), (*args, np.int32(tasks), np.int32(per_item)), options)


def folding(fold: Fold) -> Callable[..., tuple[Launch, ...]]:
    """The launch rule of a reduction: chunks, then what they gave."""

    def launch(
        device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand], *, axes: Any
    ) -> tuple[Launch, ...]:
        (out,), (x,) = outs, ins
        if out.size == 0:
            return ()
        form = form_of(x.aval, axes)
        if x.size == 0:  # there is nothing to read, maybe not even an address
            return (Launch("nothing", (out.size,), None, (out,), fold.options(x, out)),)
        if not scratch:
            return (fold_chunks(device, out, x, form, fold),)
        last = attrs.evolve(form, n=form.chunks, chunk=form.chunks)
        return (
            fold_chunks(device, scratch[0], x, form, fold),
            fold_chunks(device, out, scratch[0], last, fold),
        )

    return launch


# --- sum --------------------------------------------------------------------------------------------


def _sum_aval(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[ShapedArray, ...]:
    dtype = "int32" if x.dtype.name in ("bool", "uint8") else x.dtype
    return (ShapedArray(reduced("reduce_sum", x, axes), dtype),)


def _sum_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axes: tuple[int, ...]) -> Sequence[Any]:
    (ct,), (x,) = cts, ins
    if x.dtype.kind != "f":
        return (None,)
    kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    return (elementwise.broadcast_to(shape.reshape(ct, kept), x.shape),)


def _sum_scratch(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[ShapedArray, ...]:
    (out,) = _sum_aval(x, axes=axes)
    return partials(form_of(x, axes), out.dtype)


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
    cost=reduction_cost,
    numpy=Host(_sum_numpy, _sum_scratch),
    opencl=(Variant("reduce.cl", folding(SUM), scratch=_sum_scratch),),
    alias=None,
    split=reduction_split,
)


# --- max, min and where they are --------------------------------------------------------------------


def _extreme(name: str, ufunc: Any, fold: Fold, place: Callable[[Any, int], Any]) -> Primitive:
    """The largest or the smallest along axes; `place(x, axis)` says where it is."""

    def aval(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[ShapedArray, ...]:
        out = ShapedArray(reduced(name, x, axes), x.dtype)
        _refuse_empty(name, x, axes)
        return (out,)

    def vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axes: tuple[int, ...]) -> Sequence[Any]:
        """The cotangent goes to the first of equals."""
        (ct,), (x,) = cts, ins
        if x.dtype.kind != "f":
            return (None,)
        form = form_of(aval_of(x), axes)
        flat = shape.reshape(x, (form.outer, form.n, form.inner))
        winner, ct = (shape.reshape(v, (form.outer, 1, form.inner)) for v in (place(flat, 1), ct))
        here = elementwise.equal(np.arange(form.n, dtype=np.int32).reshape(form.n, 1), winner)
        return (shape.reshape(elementwise.where(here, ct, 0), x.shape),)

    def run(out: np.ndarray, x: np.ndarray, *, axes: tuple[int, ...]) -> None:
        form = form_of(aval_of(x), axes)
        ufunc.reduce(x.reshape(form.outer, form.n, form.inner), axis=1, out=out.reshape(form.outer, form.inner))

    def scratch(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[ShapedArray, ...]:
        return partials(form_of(x, axes), x.dtype)

    return Primitive(
        name,
        aval=aval,
        vjp=vjp,
        cost=reduction_cost,
        numpy=Host(run),
        opencl=(Variant("reduce.cl", folding(fold), scratch=scratch),),
        alias=None,
        split=reduction_split,
    )


def _place(name: str, find: Callable[..., Any], fold: Fold) -> Primitive:
    """Where along an axis the largest or the smallest is: `find` in NumPy."""

    def aval(x: ShapedArray, *, axis: int) -> tuple[ShapedArray, ...]:
        out = ShapedArray(reduced(name, x, (axis,)), np.int32)
        _refuse_empty(name, x, (axis,))
        return (out,)

    def run(out: np.ndarray, x: np.ndarray, scratch: np.ndarray, *, axis: int) -> None:
        places = scratch.view(np.int64)  # the only dtype that NumPy writes places in
        find(x, axis=axis, out=places)
        np.copyto(out, places, casting="same_kind")

    def launch(
        device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand], *, axis: int
    ) -> tuple[Launch, ...]:
        (out,), (x,) = outs, ins
        if out.size == 0:
            return ()
        form, options = form_of(x.aval, (axis,)), fold.options(x, out)
        sizes = tuple(map(np.int32, (form.n, form.inner, form.chunk)))
        target = (*scratch, out)[0]
        first = each_task(device, "place", form.chunks * out.size, form.chunk, (target, x, *sizes), options)
        if not scratch:
            return (first,)
        args = out, x, *scratch, *sizes
        return first, each_task(device, "place_of_chunks", out.size, form.chunks, args, options)

    return Primitive(
        name,
        aval=aval,
        vjp=lambda cts, ins, outs, needed, *, axis: (None,),
        cost=lambda x, *, axis: reduction_cost(x, axes=(axis,)),
        numpy=Host(run, lambda x, *, axis: (ShapedArray(reduced(name, x, (axis,)), np.float64),)),
        opencl=(Variant("reduce.cl", launch, scratch=lambda x, *, axis: partials(form_of(x, (axis,)), np.int32)),),
        alias=None,
        split=lambda x, *, axis: reduction_split(x, axes=(axis,)),
    )


argmax_p = _place("argmax", np.argmax, MAX)
argmin_p = _place("argmin", np.argmin, MIN)
reduce_max_p = _extreme("reduce_max", np.maximum, MAX, lambda x, axis: argmax(x, axis))
reduce_min_p = _extreme("reduce_min", np.minimum, MIN, lambda x, axis: argmin(x, axis))


# --- what users call --------------------------------------------------------------------------------


def canonical_axes(op: str, axes: Axes, ndim: int) -> tuple[int, ...]:
    """`axes` as positions from 0, in order; None stands for all of them."""
    given = tuple(range(ndim)) if axes is None else (axes,) if isinstance(axes, int | np.integer) else tuple(axes)
    found = tuple(sorted(int(a) + ndim if a < 0 else int(a) for a in given))
    if len(set(found)) < len(found) or any(not 0 <= a < ndim for a in found):
        raise ValueError(f"{op}: axes must be different ones of {ndim}, got {axes}")
    return found


def reduce_runs(primitive: Primitive, x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Reduce one run of neighbouring axes after the other, the last ones first."""
    before = x.shape
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


def widened(x: Any) -> Any:
    """What adds up: bool and uint8 as int32."""
    return elementwise.astype(x, "int32") if x.dtype.name in ("bool", "uint8") else x


def sum(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The sum along `axis` (one, several, or by default all); bool and uint8 add up as int32."""
    (x,) = elementwise.promote("sum", x)
    axes = canonical_axes("sum", axis, x.ndim)
    return reduce_runs(reduce_sum_p, x if axes else widened(x), axes, keepdims)


def mean(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The mean along `axis` (one, several, or by default all), a float: float32 for what is no float."""
    (x,) = elementwise.promote_floats("mean", x)
    axes = canonical_axes("mean", axis, x.ndim)
    return elementwise.div(sum(x, axes, keepdims), math.prod(x.shape[a] for a in axes))


def max(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The largest element along `axis` (one, several, or by default all); NaN where there is one."""
    (x,) = elementwise.promote("max", x)
    return reduce_runs(reduce_max_p, x, canonical_axes("max", axis, x.ndim), keepdims)


def min(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The smallest element along `axis` (one, several, or by default all); NaN where there is one."""
    (x,) = elementwise.promote("min", x)
    return reduce_runs(reduce_min_p, x, canonical_axes("min", axis, x.ndim), keepdims)


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where along `axis` (by default in all of `x`) the largest element is, as int32: the first of equals or NaNs."""
    return _place_of(argmax_p, x, axis, keepdims)


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where along `axis` (by default in all of `x`) the smallest element is, as int32: the first of equals or NaNs."""
    return _place_of(argmin_p, x, axis, keepdims)


def _place_of(primitive: Primitive, x: Any, axis: int | None, keepdims: bool) -> Any:
    (x,) = elementwise.promote(primitive.name, x)
    axes = canonical_axes(primitive.name, axis, x.ndim)
    (y,) = primitive.bind(
        shape.reshape(x, (math.prod(x.shape),)) if axis is None else x, axis=0 if axis is None else axes[0]
    )
    kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    return shape.reshape(y, kept) if keepdims else y
