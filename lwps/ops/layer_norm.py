"""Layer and RMS normalisation: each row by its own moments, in one pass over memory forward and one backward."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Alias, Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops.rows import group_size, matrix, rows_of
from lwps.ops.rules import FLOATS
from lwps.ops.shape import positions, reshape
from lwps.ops.values import full

BLOCK = 1 << 16  # elements that the host does at a time: three such blocks stay in a core's L2
COLUMNS = 16  # that a CPU work-item adds up: a cache line

Axes = int | Sequence[int]


def layer_norm(x: Any, scale: Any = None, bias: Any = None, axis: Axes = -1, eps: float = 1e-5) -> Any:
    """`x` with mean 0 and variance 1 over its last axes, then times `scale` plus `bias` (Ba, Kiros, Hinton 2016).

    `axis` names the last axis or the last few, (-2, -1); `scale` and `bias` have their shape (None: ones, zeros) and
    the float dtype of `x`. `eps` is added to the biased variance.
    """
    rows, shape = _rows("layer_norm", x, axis)
    ones_and_zeros = _affine("layer_norm", x, shape, scale, 1), _affine("layer_norm", x, shape, bias, 0)
    (y,) = layer_norm_p.bind(rows, *ones_and_zeros, eps=float(eps))
    return reshape(y, aval_of(x).shape)


def rms_norm(x: Any, scale: Any = None, axis: Axes = -1, eps: float = 1e-5) -> Any:
    """`x` divided by the root of its mean square over its last axes, then times `scale` (Zhang, Sennrich 2019).

    Arguments as for `layer_norm`; `eps` is added to the mean square.
    """
    rows, shape = _rows("rms_norm", x, axis)
    (y,) = rms_norm_p.bind(rows, _affine("rms_norm", x, shape, scale, 1), eps=float(eps))
    return reshape(y, aval_of(x).shape)


def _rows(op: str, x: Any, axis: Axes) -> tuple[Any, tuple[int, ...]]:
    """`x` with the axes to normalise over as one, and their shape."""
    aval = aval_of(x)
    if aval.ndim == 0:
        raise TypeError(f"{op}: x must have at least one axis, got {aval}; reshape it")
    axes = positions(op, (axis,) if isinstance(axis, int) else axis, aval.ndim)
    if sorted(axes) != list(range(aval.ndim - len(axes), aval.ndim)) or not axes:
        raise ValueError(f"{op}: axis must name the last axis or the last few, got {axis} for {aval}; use transpose")
    outer, shape = aval.shape[: -len(axes)], aval.shape[-len(axes) :]
    return reshape(x, (*outer, math.prod(shape))), shape


def _affine(op: str, x: Any, shape: tuple[int, ...], given: Any, default: float) -> Any:
    if given is None:
        return full((math.prod(shape),), default, aval_of(x).dtype)
    if aval_of(given).shape != shape:
        raise TypeError(
            f"{op}: scale and bias must have the shape {list(shape)} of the axes that are normalised,"
            f" got {aval_of(given)} for {aval_of(x)}; use reshape, or broadcast_to"
        )
    return reshape(given, (math.prod(shape),))


# --- rules that both share --------------------------------------------------------------------------
#
# `affine` are scale and bias of layer_norm, scale alone of rms_norm; whoever has a bias subtracts a mean.

Avals = tuple[ShapedArray, ...]


def _aval(op: str, x: ShapedArray, *affine: ShapedArray, eps: float) -> Avals:
    if x.ndim == 0 or x.dtype.name not in FLOATS or any(a != ShapedArray(x.shape[-1:], x.dtype) for a in affine):
        got = ", ".join(map(str, (x, *affine)))
        raise TypeError(f"{op}: x must be floats [..., K] and the others [K] of its dtype, got {got}; use astype")
    if not 0 < eps < math.inf:
        raise ValueError(f"{op}: eps must be a positive number, got {eps}")
    return (x,)


def _cost(x: ShapedArray, *affine: ShapedArray, eps: float) -> Cost:
    return Cost(flops=8 * x.size, nbytes=2 * x.nbytes)


def _split(x: ShapedArray, *affine: ShapedArray, eps: float) -> Any:
    return tuple(Split((axis, *(None for _ in affine)), (axis,)) for axis in range(x.ndim - 1))


def _vjp_aval(op: str, results: int, ct: ShapedArray, x: ShapedArray, scale: ShapedArray, *, eps: float) -> Avals:
    if ct != x:
        raise TypeError(f"{op}: ct must match x, got {ct} and {x}")
    _aval(op, x, scale, eps=eps)
    return (x, *[scale] * (results - 1))


def _vjp_cost(ct: ShapedArray, x: ShapedArray, scale: ShapedArray, *, eps: float) -> Cost:
    return Cost(flops=18 * x.size, nbytes=3 * x.nbytes)


# --- NumPy ------------------------------------------------------------------------------------------


def _block(x: ShapedArray) -> ShapedArray:
    """Rows that are done at a time."""
    n = x.shape[-1]
    return ShapedArray((min(rows_of(x), max(1, BLOCK // max(1, n))), n), x.dtype)


def _blocks(x: np.ndarray, block: np.ndarray) -> list[slice]:
    return [slice(k, min(k + len(block), len(x))) for k in range(0, len(x), len(block))] if x.size else []


def _units(u: np.ndarray, gain: np.ndarray, x: np.ndarray, center: bool, eps: float) -> None:
    """Rows of `x` normalised, in `u`, and what they were multiplied with."""
    if center:  # from the first element on: numbers far from zero keep their digits
        np.subtract(x, x[:, :1], out=u)
        np.mean(u, axis=1, keepdims=True, out=gain)
        u -= gain
    else:
        np.copyto(u, x)
    np.einsum("ij,ij->i", u, u, out=gain[:, 0])
    gain /= x.shape[1]
    gain += x.dtype.type(eps)
    np.sqrt(gain, out=gain)
    np.reciprocal(gain, out=gain)
    u *= gain


@np.errstate(invalid="ignore", over="ignore")
def _numpy(y: np.ndarray, x: np.ndarray, scale: np.ndarray, *rest: np.ndarray, eps: float) -> None:
    *bias, block, column = rest
    y, x = matrix(y), matrix(x)
    for rows in _blocks(x, block):
        u, gain = block[: rows.stop - rows.start], column[: rows.stop - rows.start]
        _units(u, gain, x[rows], bool(bias), eps)
        np.multiply(u, scale, out=y[rows])
        for b in bias:
            y[rows] += b


def _scratch(x: ShapedArray, *affine: ShapedArray, eps: float) -> Avals:
    block = _block(x)
    return block, ShapedArray((block.shape[0], 1), x.dtype)


def _layer_norm_vjp_numpy(dx: Any, dscale: Any, dbias: Any, *rest: np.ndarray, eps: float) -> None:
    _vjp_numpy(dx, dscale, (dbias,), *rest, eps=eps)


def _rms_norm_vjp_numpy(dx: Any, dscale: Any, *rest: np.ndarray, eps: float) -> None:
    _vjp_numpy(dx, dscale, (), *rest, eps=eps)


@np.errstate(invalid="ignore", over="ignore")
def _vjp_numpy(
    dx: np.ndarray,
    dscale: np.ndarray,
    dbias: Sequence[np.ndarray],
    ct: np.ndarray,
    x: np.ndarray,
    scale: np.ndarray,
    units: np.ndarray,
    block: np.ndarray,
    columns: np.ndarray,
    ones: np.ndarray,
    *,
    eps: float,
) -> None:
    dx, ct, x, n = matrix(dx), matrix(ct), matrix(x), x.shape[-1]
    for total in (dscale, *dbias):
        total[...] = 0
    ones[...] = 1
    for rows in _blocks(x, block):
        count = rows.stop - rows.start
        u, g, gain, mean = units[:count], block[:count], columns[0, :count], columns[1, :count]
        _units(u, gain, x[rows], bool(dbias), eps)
        np.multiply(ct[rows], u, out=g)
        dscale += ones[:count] @ g
        for total in dbias:
            total += ones[:count] @ ct[rows]
        np.multiply(ct[rows], scale, out=g)
        if dbias:
            np.mean(g, axis=1, keepdims=True, out=mean)
            g -= mean  # which changes nothing in the next line, as u has no mean
        np.einsum("ij,ij->i", g, u, out=mean[:, 0])
        mean /= n
        u *= mean
        g -= u
        np.multiply(g, gain, out=dx[rows])


def _vjp_scratch(ct: ShapedArray, x: ShapedArray, scale: ShapedArray, *, eps: float) -> Avals:
    block = _block(x)
    rows = block.shape[0]
    return block, block, ShapedArray((2, rows, 1), x.dtype), ShapedArray((rows,), x.dtype)


# --- OpenCL -----------------------------------------------------------------------------------------


def chunk_rows(rows: int) -> int:
    """Rows whose contributions to dscale and dbias are added one after the other: of the shape only."""
    return min(max(16, -(-rows // 256)), 512)


def _chunks(x: ShapedArray) -> int:
    return -(-rows_of(x) // chunk_rows(rows_of(x)))


def _rows_launch(
    device: Device, kernel: str, x: Operand, args: Sequence[Operand], chunk: int, center: bool, eps: float
) -> Launch:
    group, rows = group_size(device), rows_of(x.aval)
    numbers = *map(np.int32, (rows, x.shape[-1], chunk)), np.float32(eps)
    size = -(-rows // chunk) * group
    return Launch(kernel, (size,), (group,), (*args, *numbers), _options(device, center))


def _options(device: Device, center: bool) -> str:
    width = COLUMNS if device.type == "cpu" else 1
    return f"-DGROUP={group_size(device)} -DWIDTH={width}" + (" -DCENTER" if center else "")


def _launch(device: Device, outs: Any, ins: Any, scratch: Any, *, eps: float) -> tuple[Launch, ...]:
    x, _, *bias = ins
    if x.size == 0:
        return ()
    chunk = chunk_rows(rows_of(x.aval)) if device.type == "cpu" else 1
    return (_rows_launch(device, "normalise", x, (*outs, *ins), chunk, bool(bias), eps),)


def _partials(results: int, ct: ShapedArray, x: ShapedArray, scale: ShapedArray, *, eps: float) -> Avals:
    return (ShapedArray((max(1, _chunks(x)), x.shape[-1]), x.dtype),) * (results - 1)


def _vjp_launch(device: Device, outs: Any, ins: Any, scratch: Any, *, eps: float) -> tuple[Launch, ...]:
    (dx, *sums), (_, x, _) = outs, ins
    n, rows = x.shape[-1], rows_of(x.aval)
    if n == 0:
        return ()
    chunk, center = chunk_rows(rows), len(sums) == 2
    launches = []
    if rows > 0:
        launches.append(_rows_launch(device, "normalise_vjp", x, (dx, *scratch, *ins), chunk, center, eps))
    items = -(-n // COLUMNS) if device.type == "cpu" else n
    for total, partial in zip(sums, scratch, strict=True):  # no rows: zeros
        numbers = np.int32(_chunks(x.aval)), np.int32(n)
        launches.append(Launch("add_chunks", (items,), None, (total, partial, *numbers), _options(device, center)))
    return tuple(launches)


# --- the primitives ---------------------------------------------------------------------------------
#
# With r the gain, u the normalised row and g = ct scale:
#   dscale = sum ct u,   dbias = sum ct   (over rows),
#   dx = r (g - mean(g) - u mean(g u))   (over a row; without a mean to subtract, mean(g) is missing too).


def _layer_norm_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, eps: float) -> Sequence[Any]:
    return layer_norm_vjp_p.bind(*cts, *ins[:2], eps=eps)


def _rms_norm_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, eps: float) -> Sequence[Any]:
    return rms_norm_vjp_p.bind(*cts, *ins, eps=eps)


def _forward(name: str, vjp: Any) -> Primitive:
    return Primitive(
        name,
        aval=functools.partial(_aval, name),
        vjp=vjp,
        cost=_cost,
        numpy=Host(_numpy, _scratch),
        opencl=(Variant("layer_norm.cl", _launch),),
        alias=lambda x, *affine, eps: (Alias(0, 0, "overwrite"),),
        split=_split,
    )


def _backward(name: str, results: int, numpy: Any) -> Primitive:
    return Primitive(
        name,
        aval=functools.partial(_vjp_aval, name, results),
        vjp=None,  # no second derivatives
        cost=_vjp_cost,
        numpy=Host(numpy, _vjp_scratch),
        opencl=(Variant("layer_norm.cl", _vjp_launch, scratch=functools.partial(_partials, results)),),
        alias=lambda ct, x, scale, *, eps: (Alias(0, 0, "overwrite"), Alias(0, 1, "overwrite")),
        split=None,  # dscale and dbias are sums over all rows
    )


layer_norm_p = _forward("layer_norm", _layer_norm_vjp)
layer_norm_vjp_p = _backward("layer_norm_vjp", 3, _layer_norm_vjp_numpy)
rms_norm_p = _forward("rms_norm", _rms_norm_vjp)
rms_norm_vjp_p = _backward("rms_norm_vjp", 2, _rms_norm_vjp_numpy)
