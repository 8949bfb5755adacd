"""Ops on rows: each row (the last axis of an array) is computed for itself, on a GPU by a work-group of its own."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lwps.core import Device, Launch, Operand, ShapedArray, Split, aval_of
from lwps.ops.shape import positions, reshape, transpose

GROUP = 64  # work-items that share a row on a GPU; rows.cl needs a power of two


def rows_of(x: ShapedArray) -> int:
    """How many rows there are."""
    return math.prod(x.shape[:-1])


def column_of(x: ShapedArray) -> ShapedArray:
    """One element for each row."""
    return ShapedArray((rows_of(x), 1), x.dtype)


def matrix(x: np.ndarray) -> np.ndarray:
    """The rows of `x` as a matrix, a view."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def shift(out: np.ndarray, x: np.ndarray, top: np.ndarray) -> None:
    """Each row of a matrix less its maximum, which is left in `top`."""
    np.max(x, axis=-1, keepdims=True, out=top)
    np.subtract(x, top, out=out)


def group_size(device: Device) -> int:
    """Work-items that share a row: one on a CPU, where its vectors do the rest."""
    return 1 if device.type == "cpu" else min(GROUP, 1 << (device.max_work_group_size.bit_length() - 1))


def one_group_a_row(device: Device, kernel: str, x: Operand, args: tuple[Operand, ...]) -> tuple[Launch, ...]:
    """The launch on the rows of `x`; their length follows the arguments."""
    if x.size == 0:
        return ()
    group = group_size(device)
    numbers = (np.int32(x.shape[-1]),)
    return (Launch(kernel, (rows_of(x.aval) * group,), (group,), (*args, *numbers), f"-DGROUP={group}"),)


def split_rows(*ndims: int) -> tuple[Split, ...]:
    """Along every axis but the last of the first array: rows do not know of each other."""
    return tuple(Split((axis,) * len(ndims), (axis,)) for axis in range(ndims[0] - 1))


def as_rows(x: Any, axes: tuple[int, ...], keepdims: bool) -> tuple[Any, list[int]]:
    """`x` with `axes` moved to the end and made one, and the shape that one element of each row is to have."""
    aval = aval_of(x)
    kept = [k for k in range(aval.ndim) if k not in axes]
    shape = [1 if k in axes else n for k, n in enumerate(aval.shape) if keepdims or k not in axes]
    n = math.prod(aval.shape[k] for k in axes)
    return reshape(transpose(x, [*kept, *axes]), (*(aval.shape[k] for k in kept), n)), shape


def along(op: str, fn: Callable[[Any], Any], x: Any, axis: int) -> Any:
    """`fn`, which takes rows, applied along another axis: that is moved to the end and back."""
    ndim = aval_of(x).ndim
    if ndim == 0 or axis in (-1, ndim - 1):
        return fn(x)
    (axis,) = positions(op, (axis,), ndim)
    order = [k for k in range(ndim) if k != axis] + [axis]
    return transpose(fn(transpose(x, order)), [order.index(k) for k in range(ndim)])
