"""The logarithm of a sum of exponentials, shifted by the largest so that none overflows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Variant
from lwps.ops.arithmetic import mul, sub
from lwps.ops.compare import equal, where
from lwps.ops.exponential import exp
from lwps.ops.reduce import Axes, canonical_axes
from lwps.ops.rows import as_rows, column_of, matrix, one_group_a_row, rows_of, split_rows
from lwps.ops.rules import FLOATS
from lwps.ops.shape import reshape
from lwps.ops.values import full, promote_floats


def logsumexp(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) along `axis` (one, several, or by default all), a float; its slope is softmax(x)."""
    (x,) = promote_floats("logsumexp", x)
    axes = canonical_axes("logsumexp", axis, x.ndim)
    rows, shape = as_rows(x, axes, keepdims)
    if rows.shape[-1] == 0:
        return full(shape, -np.inf, x.dtype)
    (y,) = logsumexp_p.bind(rows)
    return reshape(y, shape)


def _aval(x: ShapedArray) -> tuple[ShapedArray, ...]:
    if x.ndim == 0 or x.shape[-1] == 0 or x.dtype.name not in FLOATS:
        raise TypeError(f"logsumexp: x must be floats with an element in each row, got {x}; use astype or reshape")
    return (ShapedArray(x.shape[:-1], x.dtype),)


def _vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    """dx = dy softmax(x); 0 in a row of -inf, NaN where inf has a share."""
    (ct,), (x,), (y,) = cts, ins, outs
    column = (*y.shape, 1)
    y, ct = reshape(y, column), reshape(ct, column)
    return (mul(ct, exp(sub(x, where(equal(y, -np.inf), 0.0, y)))),)


@np.errstate(invalid="ignore", divide="ignore", over="ignore")
def _numpy(y: np.ndarray, x: np.ndarray, work: np.ndarray, top: np.ndarray) -> None:
    if y.size == 0:
        return
    x, work, y = matrix(x), matrix(work), y.reshape(-1, 1)
    np.max(x, axis=-1, keepdims=True, out=top)
    top[~np.isfinite(top)] = 0
    np.subtract(x, top, out=work)
    np.exp(work, out=work)
    np.sum(work, axis=-1, keepdims=True, out=y)
    np.log(y, out=y)
    y += top


def _launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand]
) -> tuple[Launch, ...]:
    return one_group_a_row(device, "logsumexp", ins[0], (*outs, *ins))


logsumexp_p = Primitive(
    "logsumexp",
    aval=_aval,
    vjp=_vjp,
    cost=lambda x: Cost(flops=4 * x.size, nbytes=x.nbytes + x.dtype.itemsize * rows_of(x)),
    numpy=Host(_numpy, lambda x: (x, column_of(x))),
    opencl=(Variant("logsumexp.cl", _launch),),
    alias=None,
    split=lambda x: split_rows(x.ndim),
)
