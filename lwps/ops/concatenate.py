"""Arrays put one behind the other: each input is copied to its place in the result."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Device, Launch, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops import shape
from lwps.ops.shape import Loops, copy_launch, row_major


def concatenate(xs: Sequence[Any], axis: int = 0) -> Any:
    """The arrays `xs`, of one dtype and alike in the other axes, one behind the other along `axis`."""
    (axis,) = shape.positions("concatenate", (axis,), aval_of(xs[0]).ndim)
    (y,) = concatenate_p.bind(*xs, axis=axis)
    return y


def _concatenate_aval(*ins: ShapedArray, axis: int) -> tuple[ShapedArray, ...]:
    first = ins[0]
    alike = [(x.dtype, x.shape[:axis], x.shape[axis + 1 :]) for x in ins]
    if not 0 <= axis < first.ndim or any(row != alike[0] for row in alike) or any(x.ndim != first.ndim for x in ins):
        got = ", ".join(map(str, ins))
        raise TypeError(f"concatenate: arrays must have one dtype and agree in all axes but {axis}, got {got}")
    return (ShapedArray((*first.shape[:axis], sum(x.shape[axis] for x in ins), *first.shape[axis + 1 :]), first.dtype),)


def _places(ins: Sequence[Any], axis: int) -> list[int]:
    """Where each input begins along `axis`."""
    return [sum(x.shape[axis] for x in ins[:k]) for k in range(len(ins))]


def _concatenate_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, axis: int) -> Sequence[Any]:
    (ct,) = cts
    limits = [([0] * x.ndim, list(x.shape), at) for x, at in zip(ins, _places(ins, axis), strict=True)]
    for start, stop, at in limits:
        start[axis], stop[axis] = at, at + stop[axis]
    return [
        shape.slice(ct, start, stop) if need else None for (start, stop, _), need in zip(limits, needed, strict=True)
    ]


def _concatenate_numpy(out: np.ndarray, *ins: np.ndarray, axis: int) -> None:
    whole = (slice(None),) * axis
    for x, at in zip(ins, _places(ins, axis), strict=True):
        np.copyto(out[(*whole, slice(at, at + x.shape[axis]))], x)


def _concatenate_launch(device: Device, outs: Any, ins: Any, scratch: Any, *, axis: int) -> tuple[Launch, ...]:
    (out,) = outs
    steps = row_major(out.shape)
    launches: list[Launch] = []
    for x, at in zip(ins, _places(ins, axis), strict=True):
        launches += copy_launch(device, out, x, Loops(x.shape, steps, row_major(x.shape), to=at * steps[axis]))
    return tuple(launches)


concatenate_p = Primitive(
    "concatenate",
    aval=_concatenate_aval,
    vjp=_concatenate_vjp,
    cost=lambda *ins, axis: Cost(0, 2 * sum(x.nbytes for x in ins)),
    numpy=_concatenate_numpy,
    opencl=(Variant("shape.cl", _concatenate_launch),),
    alias=None,
    split=lambda *ins, axis: tuple(Split((k,) * len(ins), (k,)) for k in range(ins[0].ndim) if k != axis),
)
