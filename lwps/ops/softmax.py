"""Softmax and its logarithm: each row shifted by its maximum, so that exp cannot overflow."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Alias, Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Variant
from lwps.ops.rows import along, column_of, matrix, one_group_a_row, shift, split_rows
from lwps.ops.rules import FLOATS


def softmax(x: Any, axis: int = -1) -> Any:
    """Weights proportional to exp(x) that sum to one along `axis`; NaN where all of `x` there is -inf."""
    return along("softmax", lambda x: softmax_p.bind(x)[0], x, axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """The logarithms of `softmax(x, axis)`, without computing those weights: they may be too small for a float."""
    return along("log_softmax", lambda x: log_softmax_p.bind(x)[0], x, axis)


# --- what both share --------------------------------------------------------------------------------


def _aval(op: str, x: ShapedArray) -> tuple[ShapedArray, ...]:
    if x.ndim == 0 or x.dtype.name not in FLOATS:
        raise TypeError(f"{op}: x must be a float array with at least one axis, got {x}; use astype or reshape")
    return (x,)


def _vjp_aval(op: str, ct: ShapedArray, y: ShapedArray) -> tuple[ShapedArray, ...]:
    if ct != y:
        raise TypeError(f"{op}: ct must match y, got {ct} and {y}")
    return (y,)


def _launch(
    kernel: str, device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand]
) -> tuple[Launch, ...]:
    return one_group_a_row(device, kernel, ins[0], (*outs, *ins))


# --- softmax ----------------------------------------------------------------------------------------


def _softmax_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return softmax_vjp_p.bind(*cts, *outs)  # reads y only, so that x can be freed


@np.errstate(invalid="ignore")
def _softmax_numpy(y: np.ndarray, x: np.ndarray, column: np.ndarray) -> None:
    if y.size == 0:
        return
    y = matrix(y)
    shift(y, matrix(x), column)
    np.exp(y, out=y)
    np.sum(y, axis=-1, keepdims=True, out=column)
    y /= column


softmax_p = Primitive(
    "softmax",
    aval=functools.partial(_aval, "softmax"),
    vjp=_softmax_vjp,
    cost=lambda x: Cost(flops=6 * x.size, nbytes=2 * x.nbytes),
    numpy=Host(_softmax_numpy, lambda x: (column_of(x),)),
    opencl=(Variant("softmax.cl", functools.partial(_launch, "softmax")),),
    alias=lambda x: (Alias(0, 0, "overwrite"),),
    split=lambda x: split_rows(x.ndim),
)


@np.errstate(invalid="ignore", over="ignore")
def _softmax_vjp_numpy(dx: np.ndarray, ct: np.ndarray, y: np.ndarray, column: np.ndarray) -> None:
    """dx = y (ct - sum(ct y)), from dy_i/dx_j = y_i ([i = j] - y_j)."""
    dx, ct, y = matrix(dx), matrix(ct), matrix(y)
    np.einsum("ij,ij->i", ct, y, out=column[:, 0])
    np.subtract(ct, column, out=dx)
    dx *= y


softmax_vjp_p = Primitive(
    "softmax_vjp",
    aval=functools.partial(_vjp_aval, "softmax_vjp"),
    vjp=None,  # no second derivatives
    cost=lambda ct, y: Cost(flops=4 * y.size, nbytes=3 * y.nbytes),
    numpy=Host(_softmax_vjp_numpy, lambda ct, y: (column_of(y),)),
    opencl=(Variant("softmax.cl", functools.partial(_launch, "softmax_vjp")),),
    alias=lambda ct, y: (Alias(0, 0, "overwrite"),),  # y is read once more after dx is written
    split=lambda ct, y: split_rows(ct.ndim, y.ndim),
)


# --- log_softmax --------------------------------------------------------------------------------------


def _log_softmax_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return log_softmax_vjp_p.bind(*cts, *outs)  # reads y only, so that x can be freed


@np.errstate(invalid="ignore")
def _log_softmax_numpy(y: np.ndarray, x: np.ndarray, weights: np.ndarray, column: np.ndarray) -> None:
    if y.size == 0:
        return
    y, weights = matrix(y), matrix(weights)
    shift(y, matrix(x), column)
    np.exp(y, out=weights)
    np.sum(weights, axis=-1, keepdims=True, out=column)
    np.log(column, out=column)
    y -= column


log_softmax_p = Primitive(
    "log_softmax",
    aval=functools.partial(_aval, "log_softmax"),
    vjp=_log_softmax_vjp,
    cost=lambda x: Cost(flops=6 * x.size, nbytes=2 * x.nbytes),
    numpy=Host(_log_softmax_numpy, lambda x: (x, column_of(x))),
    opencl=(Variant("softmax.cl", functools.partial(_launch, "log_softmax")),),
    alias=lambda x: (Alias(0, 0, "overwrite"),),
    split=lambda x: split_rows(x.ndim),
)


@np.errstate(invalid="ignore", over="ignore")
def _log_softmax_vjp_numpy(
    dx: np.ndarray, ct: np.ndarray, y: np.ndarray, weights: np.ndarray, column: np.ndarray
) -> None:
    """dx = ct - softmax(x) sum(ct), from dy_i/dx_j = [i = j] - softmax(x)_j."""
    dx, ct, weights = matrix(dx), matrix(ct), matrix(weights)
    np.sum(ct, axis=-1, keepdims=True, out=column)
    np.exp(matrix(y), out=weights)
    weights *= column
    np.subtract(ct, weights, out=dx)


log_softmax_vjp_p = Primitive(
    "log_softmax_vjp",
    aval=functools.partial(_vjp_aval, "log_softmax_vjp"),
    vjp=None,  # no second derivatives
    cost=lambda ct, y: Cost(flops=4 * y.size, nbytes=3 * y.nbytes),
    numpy=Host(_log_softmax_vjp_numpy, lambda ct, y: (y, column_of(y))),
    opencl=(Variant("softmax.cl", functools.partial(_launch, "log_softmax_vjp")),),
    alias=lambda ct, y: (Alias(0, 0, "overwrite"), Alias(0, 1, "overwrite")),
    split=lambda ct, y: split_rows(ct.ndim, y.ndim),
)
