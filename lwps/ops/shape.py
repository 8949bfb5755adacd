"""Ops that move elements and compute nothing.

All but reshape (a view) are nested loops that copy from one place in steps to another in steps: a slice reads in
steps, a pad writes in them, a transpose changes their order.
"""

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Alias, Cost, Device, Launch, Operand, Primitive, ShapedArray, Split, Variant, aval_of, narrow

RANK = 6  # loops of the kernel that copies
BLOCK = 4096  # elements that a CPU work-item copies at least
TILE = (
    128,
    32,
)  # rows of the input and columns that a CPU work-item transposes: they fill whole cache lines and stay in L1

Axes = int | Sequence[int] | None


def _cost(out: ShapedArray, *ins: ShapedArray) -> Cost:
    return Cost(flops=0, nbytes=2 * min(out.nbytes, sum(x.nbytes for x in ins)))


def _array(x: Any, op: str) -> Any:
    return x if hasattr(x, "aval") else narrow(x, op)


# --- nested loops -----------------------------------------------------------------------------------


@attrs.frozen
class Loops:
    """Copy of `sizes` elements (outermost loop first): steps and starts in elements, of result and input."""

    sizes: tuple[int, ...]
    to_steps: tuple[int, ...]
    from_steps: tuple[int, ...]
    to: int = 0
    start: int = 0

    def merged(self) -> "Loops":
        """The same copy in as few loops as do."""
        rows: list[tuple[int, int, int]] = []
        for n, t, f in zip(self.sizes, self.to_steps, self.from_steps, strict=True):
            if n == 1:
                continue
            if rows and rows[-1][1:] == (n * t, n * f):
                rows[-1] = (rows[-1][0] * n, t, f)
            else:
                rows.append((n, t, f))
        sizes, to_steps, from_steps = zip(*rows, strict=True) if rows else ((1,), (1,), (1,))
        return attrs.evolve(self, sizes=sizes, to_steps=to_steps, from_steps=from_steps)


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Elements from one index to the next along each axis."""
    return tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))


def copy_launch(device: Device, out: Operand, x: Operand, loops: Loops) -> tuple[Launch, ...]:
    """The launch that does `loops`; none where there is nothing to copy."""
    if math.prod(loops.sizes) == 0:
        return ()
    loops = loops.merged()
    fill = RANK - len(loops.sizes)
    sizes = (1,) * fill + loops.sizes
    steps = ((0,) * fill + loops.to_steps, (0,) * fill + loops.from_steps)
    rows, inner = math.prod(sizes[:-1]), sizes[-1]
    options = type_option(x) + (" -DCONTIGUOUS" if loops.to_steps[-1] == loops.from_steps[-1] == 1 else "")
    numbers = (*sizes[1:], *steps[0], *steps[1], loops.to, loops.start)
    if device.type == "cpu":
        segments = -(-inner // BLOCK)
        per_item = max(1, BLOCK // inner)
        counts = rows * segments, per_item, segments
        return (_launch("copy_rows", -(-rows * segments // per_item), 1, (out, x), (*numbers, *counts), options),)
    total = rows * inner
    return (_launch("copy_each", -(-total // 64) * 64, 64, (out, x), (*numbers, total), options),)


def _launch(kernel: str, items: int, local: int, arrays: Sequence[Operand], numbers: Any, options: str) -> Launch:
    return Launch(kernel, (items,), (local,), (*arrays, *map(np.int32, numbers)), options)


def type_option(x: Operand) -> str:
    """The build option with the type of elements that are only moved."""
    return f"-DTYPE={'uchar' if x.dtype.itemsize == 1 else 'uint'}"


def _copying(loops_of: Callable[..., Loops]) -> Variant:
    """The variant of a primitive that is one copy."""

    def launch(device: Device, outs: Any, ins: Any, scratch: Any, **params: Any) -> tuple[Launch, ...]:
        return copy_launch(device, outs[0], ins[0], loops_of(ins[0].aval, **params))

    return Variant("shape.cl", launch, applies=_few_loops(loops_of))


def _few_loops(loops_of: Callable[..., Loops]) -> Callable[..., bool]:
    return lambda device, x, **params: len(loops_of(x, **params).merged().sizes) <= RANK


# --- reshape ----------------------------------------------------------------------------------------


def _reshape_aval(x: ShapedArray, *, shape: tuple[int, ...]) -> tuple[ShapedArray, ...]:
    out = ShapedArray(shape, x.dtype)
    if out.size != x.size:
        raise TypeError(f"reshape: the new shape must have {x.size} elements, got {x} and {shape} with {out.size}")
    return (out,)


def _reshape_numpy(out: np.ndarray, x: np.ndarray, *, shape: tuple[int, ...]) -> None:
    np.copyto(out, x.reshape(shape))


reshape_p = Primitive(
    "reshape",
    aval=_reshape_aval,
    vjp=lambda cts, ins, outs, needed, *, shape: (reshape(cts[0], ins[0].shape),),
    cost=lambda x, *, shape: Cost(0, 0),
    numpy=_reshape_numpy,
    opencl=(),  # a view is never run
    alias=lambda x, *, shape: (Alias(0, 0, "view"),),
    split=None,
)


def reshape(x: Any, shape: int | Sequence[int]) -> Any:
    """The elements of `x` in another shape; one of its sizes may be -1: as many as there are."""
    x = _array(x, "reshape")
    before = aval_of(x)
    target = (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)
    if target.count(-1) == 1:
        known = math.prod(n for n in target if n != -1)
        if known == 0 or before.size % known:
            raise ValueError(f"reshape: {before.size} elements must divide evenly, got {before} and shape {target}")
        target = tuple(before.size // known if n == -1 else n for n in target)
    if any(n < 0 for n in target):
        raise ValueError(f"reshape: sizes must be at least 0, one of them may be -1, got {target}")
    if target == before.shape:
        return x
    (y,) = reshape_p.bind(x, shape=target)
    return y


def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """`x` with new axes of one element at these positions of the result."""
    x = _array(x, "expand_dims")
    x_shape = aval_of(x).shape
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    new = positions("expand_dims", axes, len(x_shape) + len(axes))
    sizes = iter(x_shape)
    return reshape(x, [1 if k in new else next(sizes) for k in range(len(x_shape) + len(axes))])


def squeeze(x: Any, axis: Axes = None) -> Any:
    """`x` without these axes of one element (by default without all of them)."""
    x = _array(x, "squeeze")
    aval = aval_of(x)
    ones = tuple(k for k, n in enumerate(aval.shape) if n == 1)
    axes = ones if axis is None else positions("squeeze", (axis,) if isinstance(axis, int) else axis, aval.ndim)
    if not set(axes) <= set(ones):
        raise TypeError(f"squeeze: axes must have one element, got axes {axes} of {aval}")
    return reshape(x, [n for k, n in enumerate(aval.shape) if k not in axes])


def positions(op: str, axes: Sequence[int], ndim: int) -> tuple[int, ...]:
    """`axes` counted from 0; ValueError unless they are different ones of `ndim`."""
    found = tuple(int(a) + ndim if a < 0 else int(a) for a in axes)
    if len(set(found)) < len(found) or any(not 0 <= a < ndim for a in found):
        raise ValueError(f"{op}: axes must be different ones of {ndim}, got {tuple(axes)}")
    return found


# --- transpose --------------------------------------------------------------------------------------


def _transpose_aval(x: ShapedArray, *, axes: tuple[int, ...]) -> tuple[ShapedArray, ...]:
    if sorted(axes) != list(range(x.ndim)):
        raise ValueError(f"transpose: axes must be the {x.ndim} axes of the array in a new order, got {axes} for {x}")
    return (ShapedArray(tuple(x.shape[a] for a in axes), x.dtype),)


def _transpose_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axes: tuple[int, ...]) -> Sequence[Any]:
    return (transpose(cts[0], [axes.index(k) for k in range(len(axes))]),)


def _transpose_loops(x: ShapedArray, *, axes: tuple[int, ...]) -> Loops:
    sizes, steps = tuple(x.shape[a] for a in axes), row_major(x.shape)
    return Loops(sizes, row_major(sizes), tuple(steps[a] for a in axes))


def _transpose_launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Any, *, axes: tuple[int, ...]
) -> tuple[Launch, ...]:
    (out,), (x,) = outs, ins
    loops = _transpose_loops(x.aval, axes=axes)
    if x.size == 0 or loops.merged().from_steps[-1] == 1:
        return copy_launch(device, out, x, loops)
    return (_tiles(device, out, x, loops.merged()),)


def _tiles(device: Device, out: Operand, x: Operand, loops: Loops) -> Launch:
    """Tiles of the two axes that run fastest, one in the result and one in the input, over all others."""
    rows = list(zip(loops.sizes, loops.to_steps, loops.from_steps, strict=True))
    a = rows.pop()  # fastest in the result
    b = rows.pop(next(k for k, row in enumerate(rows) if row[2] == 1))
    rows = [(1, 0, 0)] * (RANK - 2 - len(rows)) + rows
    others = zip(*rows, strict=True)
    numbers = (a[0], b[0], a[2], b[1], *(n for column in others for n in column))
    planes = math.prod(row[0] for row in rows)
    if device.type == "cpu":
        tiles = -(-a[0] // TILE[0]) * -(-b[0] // TILE[1]) * planes
        return _launch("transpose_tiles", tiles, 1, (out, x), numbers, _tile_options(x, *TILE))
    side = 16 if device.max_work_group_size >= 256 else 8
    items = -(-a[0] // side) * -(-b[0] // side) * planes * side**2
    return _launch("transpose_groups", items, side**2, (out, x), numbers, _tile_options(x, side, side) + " -DGROUPS")


def _tile_options(x: Operand, rows: int, columns: int) -> str:
    return f"{type_option(x)} -DTILE_A={rows} -DTILE_B={columns}"


transpose_p = Primitive(
    "transpose",
    aval=_transpose_aval,
    vjp=_transpose_vjp,
    cost=lambda x, *, axes: _cost(x, x),
    numpy=lambda out, x, *, axes: np.copyto(out, x.transpose(axes)),
    opencl=(Variant("shape.cl", _transpose_launch, applies=_few_loops(_transpose_loops)),),
    alias=None,
    split=lambda x, *, axes: tuple(Split((a,), (k,)) for k, a in enumerate(axes)),
)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """`x` with its axes in another order, by default the reverse."""
    x = _array(x, "transpose")
    ndim = aval_of(x).ndim
    order = tuple(range(ndim))[::-1] if axes is None else positions("transpose", axes, ndim)
    if order == tuple(range(ndim)):
        return x
    (y,) = transpose_p.bind(x, axes=order)
    return y


# --- slice and pad: each is the other's vjp ---------------------------------------------------------

Ints = tuple[int, ...]


def _lengths(start: Ints, stop: Ints, strides: Ints) -> Ints:
    return tuple(len(range(a, b, s)) for a, b, s in zip(start, stop, strides, strict=True))


def _slice_aval(x: ShapedArray, *, start: Ints, stop: Ints, strides: Ints) -> tuple[ShapedArray, ...]:
    if not len(start) == len(stop) == len(strides) == x.ndim:
        raise ValueError(
            f"slice: must have a start, stop and stride for each axis, got {start}, {stop}, {strides} for {x}"
        )
    if any(not (0 <= a <= b <= n and s >= 1) for a, b, s, n in zip(start, stop, strides, x.shape, strict=True)):
        raise ValueError(
            f"slice: must have 0 <= start <= stop <= size and strides >= 1, got {start}, {stop}, {strides} for {x}"
        )
    return (ShapedArray(_lengths(start, stop, strides), x.dtype),)


def _slice_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, start: Ints, stop: Ints, strides: Ints) -> Sequence[Any]:
    rows = zip(ins[0].shape, cts[0].shape, start, strides, strict=True)
    high = [n - a - (max(0, m - 1) * s + min(m, 1)) for n, m, a, s in rows]
    return (pad(cts[0], start, high, 0, [s - 1 for s in strides]),)


def _slice_loops(x: ShapedArray, *, start: Ints, stop: Ints, strides: Ints) -> Loops:
    sizes, steps = _lengths(start, stop, strides), row_major(x.shape)
    first = sum(a * f for a, f in zip(start, steps, strict=True))
    return Loops(sizes, row_major(sizes), tuple(s * f for s, f in zip(strides, steps, strict=True)), start=first)


def _slice_numpy(out: np.ndarray, x: np.ndarray, *, start: Ints, stop: Ints, strides: Ints) -> None:
    np.copyto(out, x[tuple(map(builtins.slice, start, stop, strides))])


slice_p = Primitive(
    "slice",
    aval=_slice_aval,
    vjp=_slice_vjp,
    cost=lambda x, *, start, stop, strides: _cost(*_slice_aval(x, start=start, stop=stop, strides=strides), x),
    numpy=_slice_numpy,
    opencl=(_copying(_slice_loops),),
    alias=None,
    split=None,  # params name sizes
)


def slice(x: Any, start: Sequence[int], stop: Sequence[int], strides: Sequence[int] | None = None) -> Any:
    """`x[start[0]:stop[0]:strides[0], ...]`; all of 0 or more, strides at least 1 (which they are by default)."""
    x = _array(x, "slice")
    steps = (1,) * len(start) if strides is None else strides
    limits = {k: tuple(map(int, v)) for k, v in (("start", start), ("stop", stop), ("strides", steps))}
    if limits["start"] == (0,) * len(start) and limits["stop"] == aval_of(x).shape and set(limits["strides"]) <= {1}:
        return x
    (y,) = slice_p.bind(x, **limits)
    return y


def _pad_aval(x: ShapedArray, *, low: Ints, high: Ints, interior: Ints, value: float) -> tuple[ShapedArray, ...]:
    if not len(low) == len(high) == len(interior) == x.ndim:
        raise ValueError(f"pad: must have low, high and interior for each axis, got {low}, {high}, {interior} for {x}")
    if min((*low, *high, *interior), default=0) < 0:
        raise ValueError(f"pad: padding must not be negative, got {low}, {high}, {interior} for {x}; use slice to cut")
    rows = zip(x.shape, low, high, interior, strict=True)
    return (ShapedArray([a + b + n + max(0, n - 1) * i for n, a, b, i in rows], x.dtype),)


def _pad_vjp(
    cts: Any, ins: Any, outs: Any, needed: Any, *, low: Ints, high: Ints, interior: Ints, value: float
) -> Sequence[Any]:
    rows = zip(ins[0].shape, low, interior, strict=True)
    stop = [a + max(0, n - 1) * (i + 1) + min(n, 1) for n, a, i in rows]
    return (slice(cts[0], low, stop, [i + 1 for i in interior]),)


def _pad_loops(x: ShapedArray, *, low: Ints, high: Ints, interior: Ints, value: float) -> Loops:
    (out,) = _pad_aval(x, low=low, high=high, interior=interior, value=value)
    steps = row_major(out.shape)
    to = sum(a * t for a, t in zip(low, steps, strict=True))
    return Loops(x.shape, tuple((i + 1) * t for i, t in zip(interior, steps, strict=True)), row_major(x.shape), to=to)


def _pad_numpy(out: np.ndarray, x: np.ndarray, *, low: Ints, high: Ints, interior: Ints, value: float) -> None:
    out.fill(value)
    if x.size:
        np.copyto(
            out[
                tuple(
                    builtins.slice(a, n - b, i + 1) for n, a, b, i in zip(out.shape, low, high, interior, strict=True)
                )
            ],
            x,
        )


def _pad_launch(
    device: Device, outs: Any, ins: Any, scratch: Any, *, value: float, **limits: Ints
) -> tuple[Launch, ...]:
    (out,), (x,) = outs, ins
    if out.size == 0:
        return ()
    bits = np.asarray(value, x.dtype).reshape(1).view(np.uint8 if x.dtype.itemsize == 1 else np.uint32)[0]
    per_item = BLOCK if device.type == "cpu" else 1
    numbers = (bits, np.int32(out.size), np.int32(per_item))
    fill = Launch("fill", (-(-out.size // per_item),), None, (out, *numbers), type_option(x))
    return (fill, *copy_launch(device, out, x, _pad_loops(x.aval, value=value, **limits)))


pad_p = Primitive(
    "pad",
    aval=_pad_aval,
    vjp=_pad_vjp,
    cost=lambda x, **params: Cost(0, x.nbytes + _pad_aval(x, **params)[0].nbytes),
    numpy=_pad_numpy,
    opencl=(Variant("shape.cl", _pad_launch, applies=_few_loops(_pad_loops)),),
    alias=None,
    split=lambda x, *, low, high, interior, value: tuple(
        Split((k,), (k,)) for k in range(x.ndim) if not low[k] and not high[k] and not interior[k]
    ),
)


def pad(
    x: Any, low: Sequence[int], high: Sequence[int], value: float = 0, interior: Sequence[int] | None = None
) -> Any:
    """`x` with `low` elements of `value` before it, `high` behind it and `interior` between any two, for each axis."""
    x = _array(x, "pad")
    given = low, high, (0,) * len(low) if interior is None else interior
    low, high, interior = (tuple(int(n) for n in v) for v in given)
    if not any((*low, *high, *interior)):
        return x
    (y,) = pad_p.bind(x, low=low, high=high, interior=interior, value=aval_of(x).dtype.type(value).item())
    return y
