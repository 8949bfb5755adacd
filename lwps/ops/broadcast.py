"""Arrays repeated along axes, and the sum that is the cotangent of that."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Expr, Host, Primitive, ShapedArray, aval_of
from lwps.ops.rules import broadcast_shape
from lwps.ops.shape import reshape
from lwps.ops.values import known_array


def unbroadcast(ct: Any, x: Any) -> Any:
    """The cotangent of `x` from that of its broadcast: summed over the axes along which it was repeated."""
    shape_ = aval_of(x).shape
    if ct.shape == shape_:
        return ct
    extra = ct.ndim - len(shape_)
    axes = tuple(range(extra)) + tuple(extra + k for k, n in enumerate(shape_) if n == 1 and ct.shape[extra + k] != 1)
    from lwps.ops.reduce import sum  # which imports this module: a sum and a broadcast are each the vjp of the other

    return reshape(sum(ct, axes), shape_)


def _broadcast_to_aval(x: ShapedArray, *, shape: tuple[int, ...]) -> tuple[ShapedArray, ...]:
    target = ShapedArray(shape, x.dtype)
    if broadcast_shape("broadcast_to", (x, target)) != shape:
        raise TypeError(f"broadcast_to: x must broadcast to {target}, got {x}")
    return (target,)


def _broadcast_to_cost(x: ShapedArray, *, shape: tuple[int, ...]) -> Cost:
    return Cost(flops=0, nbytes=x.nbytes + ShapedArray(shape, x.dtype).nbytes)


broadcast_to_p = Primitive(
    "broadcast_to",
    aval=_broadcast_to_aval,
    vjp=lambda cts, ins, outs, needed, *, shape: (unbroadcast(cts[0], ins[0]),),
    cost=_broadcast_to_cost,
    numpy=Host(lambda out, x, *, shape: np.copyto(out, x)),
    opencl=Expr("{0}"),
    alias=None,
    split=None,
)


def broadcast_to(x: Any, shape: Sequence[int]) -> Any:
    """`x` repeated to `shape` by NumPy's rule."""
    x, shape = known_array(x, "broadcast_to"), tuple(int(n) for n in shape)
    if aval_of(x).shape == shape:
        return x
    (y,) = broadcast_to_p.bind(x, shape=shape)
    return y
