"""Elements in another order along their axes: backwards, or moved on, from the end round to the front."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Device, Launch, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops import shape
from lwps.ops.elementwise import known_array
from lwps.ops.shape import RANK, Loops, copy_launch, row_major

Axes = int | Sequence[int] | None
Ints = tuple[int, ...]


def flip(x: Any, axis: Axes = None) -> Any:
    """`x` backwards along `axis` (by default along all)."""
    x = known_array(x, "flip")
    ndim = aval_of(x).ndim
    axes = tuple(sorted(shape.positions("flip", range(ndim) if axis is None else _sequence(axis), ndim)))
    if not axes:
        return x
    (y,) = flip_p.bind(x, axes=axes)
    return y


def roll(x: Any, shift: int | Sequence[int], axis: Axes = None) -> Any:
    """`x` moved on by `shift` places along `axis` (flat if it is None); what leaves at the end comes in at the front.

    Shifts are Python integers. Several axes take a shift each, or share one.
    """
    x = known_array(x, "roll")
    aval = aval_of(x)
    if axis is None:
        return shape.reshape(roll(shape.reshape(x, -1), shift, 0), aval.shape)
    axes = _sequence(axis)
    shifts = _sequence(shift) * (len(axes) if len(_sequence(shift)) == 1 else 1)
    if len(shifts) != len(axes) or not all(isinstance(s, int | np.integer) for s in shifts):
        raise ValueError(f"roll: there must be an integer shift for each axis, got {shift!r} for axes {axis}")
    for given, s in zip(axes, shifts, strict=True):
        (a,) = shape.positions("roll", (given,), aval.ndim)
        s = int(s) % max(1, aval.shape[a])
        if s:
            (x,) = roll_p.bind(x, axis=a, shift=s)
    return x


def _sequence(value: int | Sequence[int]) -> tuple[int, ...]:
    return (value,) if np.ndim(value) == 0 else tuple(value)  # type: ignore[return-value, arg-type]


def _cost(x: ShapedArray, **params: Any) -> Cost:
    return Cost(flops=0, nbytes=2 * x.nbytes)


# --- flip -------------------------------------------------------------------------------------------


def _flip_aval(x: ShapedArray, *, axes: Ints) -> tuple[ShapedArray, ...]:
    if not set(axes) <= set(range(x.ndim)):
        raise ValueError(f"flip: axes must be from 0 to {x.ndim - 1}, got {axes} for {x}")
    return (x,)


def _flip_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axes: Ints) -> Sequence[Any]:
    return flip_p.bind(*cts, axes=axes)


def _flip_loops(x: ShapedArray, *, axes: Ints) -> Loops:
    steps = row_major(x.shape)
    start = sum((x.shape[a] - 1) * steps[a] for a in axes)
    return Loops(x.shape, steps, tuple(-s if k in axes else s for k, s in enumerate(steps)), start=start)


def _flip_launch(device: Device, outs: Any, ins: Any, scratch: Any, *, axes: Ints) -> tuple[Launch, ...]:
    return copy_launch(device, outs[0], ins[0], _flip_loops(ins[0].aval, axes=axes))


flip_p = Primitive(
    "flip",
    aval=_flip_aval,
    vjp=_flip_vjp,
    cost=_cost,
    numpy=lambda out, x, *, axes: np.copyto(out, np.flip(x, axes)),
    opencl=(
        Variant(
            "shape.cl",
            _flip_launch,
            applies=lambda device, x, *, axes: len(_flip_loops(x, axes=axes).merged().sizes) <= RANK,
        ),
    ),
    alias=None,
    split=lambda x, *, axes: tuple(Split((k,), (k,)) for k in range(x.ndim) if k not in axes),
)


# --- roll -------------------------------------------------------------------------------------------


def _roll_aval(x: ShapedArray, *, axis: int, shift: int) -> tuple[ShapedArray, ...]:
    if not (0 <= axis < x.ndim and 0 <= shift <= x.shape[axis]):
        raise ValueError(f"roll: must have an axis of x and a shift from 0 to its size, got {axis} and {shift} for {x}")
    return (x,)


def _roll_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axis: int, shift: int) -> Sequence[Any]:
    return roll_p.bind(*cts, axis=axis, shift=ins[0].shape[axis] - shift)


def _roll_numpy(out: np.ndarray, x: np.ndarray, *, axis: int, shift: int) -> None:
    out, x = out.swapaxes(0, axis), x.swapaxes(0, axis)
    np.copyto(out[shift:], x[: len(x) - shift])
    np.copyto(out[:shift], x[len(x) - shift :])


def _roll_launch(device: Device, outs: Any, ins: Any, scratch: Any, *, axis: int, shift: int) -> tuple[Launch, ...]:
    (out,), (x,) = outs, ins
    steps, n = row_major(x.shape), x.shape[axis]
    launches: list[Launch] = []
    for count, to, start in ((n - shift, shift, 0), (shift, 0, n - shift)):
        sizes = (*x.shape[:axis], count, *x.shape[axis + 1 :])
        launches += copy_launch(device, out, x, Loops(sizes, steps, steps, to * steps[axis], start * steps[axis]))
    return tuple(launches)


roll_p = Primitive(
    "roll",
    aval=_roll_aval,
    vjp=_roll_vjp,
    cost=_cost,
    numpy=_roll_numpy,
    opencl=(Variant("shape.cl", _roll_launch),),
    alias=None,
    split=lambda x, *, axis, shift: tuple(Split((k,), (k,)) for k in range(x.ndim) if k != axis),
)
