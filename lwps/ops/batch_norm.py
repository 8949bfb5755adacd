"""Batch normalisation: moments from fixed chunks of rows, combined in order, then one pass that applies them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Alias, Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops.elementwise import FLOATS, add, broadcast_to, mul, rsqrt, sub
from lwps.ops.moments import applied, chunk_rows, each_column, form_of, tiles


def batch_norm(x: Any, scale: Any, bias: Any, eps: float = 1e-5) -> tuple[Any, Any, Any]:
    """`x` with mean `bias` and standard deviation `scale` in each channel; also the moments it had.

    `x[..., C]`, `scale[C]`, `bias[C]` share a float dtype. Returns `y[..., C]`, `mean[C]` and the biased
    variance `var[C]` over all axes but the last (Ioffe and Szegedy, ICML 2015, algorithm 1). `eps` is
    added to the variance.
    """
    y, mean, var = batch_norm_p.bind(x, scale, bias, eps=float(eps))
    return y, mean, var


def batch_norm_inference(x: Any, scale: Any, bias: Any, mean: Any, var: Any, eps: float = 1e-5) -> Any:
    """`x[..., C]` normalised with given moments `mean[C]`, `var[C]`: made of elementwise ops, so that it fuses."""
    _check("batch_norm_inference", aval_of(x), *map(aval_of, (scale, bias, mean, var)), eps=eps)
    return add(mul(sub(x, mean), mul(scale, rsqrt(add(var, float(eps))))), bias)


# --- chunks of rows ---------------------------------------------------------------------------------


def _rows(x: ShapedArray) -> tuple[int, int]:
    """Rows and channels of `x` seen as a matrix."""
    channels = x.shape[-1]
    return (x.size // channels if channels else 0), channels


def _partials(x: ShapedArray) -> ShapedArray:
    """One sum for each chunk and channel."""
    form = form_of(x)
    return ShapedArray((form.chunks, form.channels), x.dtype)


def _block(x: ShapedArray) -> ShapedArray:
    """A chunk's worth of elements."""
    rows, channels = _rows(x)
    return ShapedArray((min(rows, chunk_rows(rows)), channels), x.dtype)


def _check(op: str, x: ShapedArray, *channels: ShapedArray, eps: float) -> None:
    got = ", ".join(map(str, (x, *channels)))
    if x.ndim < 2 or x.dtype.name not in FLOATS or any(a != ShapedArray(x.shape[-1:], x.dtype) for a in channels):
        raise TypeError(
            f"{op}: x must be a float array [..., C] and the others [C] of its dtype, got {got}; use astype"
        )
    if not 0 < eps < np.inf:
        raise ValueError(f"{op}: eps must be a positive number, got {eps}")


# --- forward ----------------------------------------------------------------------------------------


def _batch_norm_aval(x: ShapedArray, scale: ShapedArray, bias: ShapedArray, *, eps: float) -> tuple[ShapedArray, ...]:
    _check("batch_norm", x, scale, bias, eps=eps)
    if x.size == 0 and x.shape[-1] > 0:
        raise TypeError(f"batch_norm: every channel must have elements to average, got {x}; leave empty batches out")
    return x, scale, scale


def _batch_norm_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, eps: float) -> Sequence[Any]:
    """Through y by the fused rule; dmean/dx = 1/n and dvar/dx = 2 (x - mean)/n add to it."""
    (ct, ct_mean, ct_var), (x, scale, _), (_, mean, var) = cts, ins, outs
    dx = dscale = dbias = None
    if ct is not None:
        dx, dscale, dbias = batch_norm_vjp_p.bind(ct, x, scale, mean, var, eps=eps)
    if not needed[0]:
        return None, dscale, dbias
    rows, _ = _rows(aval_of(x))
    each = 1.0 / max(rows, 1)
    if ct_var is not None:
        term = mul(sub(x, mean), mul(ct_var, 2.0 * each))
        dx = term if dx is None else add(dx, term)
    if ct_mean is not None:
        term = mul(ct_mean, each)
        dx = broadcast_to(term, x.shape) if dx is None else add(dx, term)
    return dx, dscale, dbias


def _batch_norm_cost(x: ShapedArray, *others: ShapedArray, eps: float) -> Cost:
    return Cost(flops=9 * x.size, nbytes=3 * x.nbytes)  # x is read twice


@np.errstate(invalid="ignore", over="ignore")
def _batch_norm_numpy(
    y: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    x: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray,
    block: np.ndarray,
    means: np.ndarray,
    m2s: np.ndarray,
    *,
    eps: float,
) -> None:
    x, y = _matrix(x), _matrix(y)
    if x.size == 0:
        return
    for k, rows in enumerate(_slices(x)):
        _chunk_moments(means[k], m2s[k], x[rows], x[0], block)
    _combine_moments(mean, var, means, m2s, len(x))
    mean += x[0]
    gain = scale / np.sqrt(var + x.dtype.type(eps))
    for rows in _slices(x):
        np.subtract(x[rows], mean, out=y[rows])
        y[rows] *= gain
        y[rows] += bias


def _matrix(x: np.ndarray) -> np.ndarray:
    channels = x.shape[-1]
    return x.reshape(x.size // channels if channels else 0, channels)


def _slices(x: np.ndarray) -> list[slice]:
    """The chunks of a matrix."""
    rows, chunk = len(x), chunk_rows(len(x))
    return [slice(start, min(start + chunk, rows)) for start in range(0, rows, chunk)]


def _sum_rows(x: np.ndarray, out: np.ndarray) -> None:
    np.dot(np.ones(len(x), x.dtype), x, out=out)  # BLAS: a fifth of the time of x.sum(axis=0)


def _chunk_moments(mean: np.ndarray, m2: np.ndarray, x: np.ndarray, shift: np.ndarray, block: np.ndarray) -> None:
    """Of `x - shift`, mean over a chunk and sum of squared distances from it.

    The shift is the first row of all: numbers far from zero keep their digits, and a constant has exactly no variance.
    """
    d = block[: len(x)]
    np.subtract(x, shift, out=d)
    _sum_rows(d, mean)
    mean /= len(x)
    d -= mean
    np.square(d, out=d)
    _sum_rows(d, m2)


def _combine_moments(mean: np.ndarray, var: np.ndarray, means: np.ndarray, m2s: np.ndarray, rows: int) -> None:
    """Moments of all rows from those of chunks, in two passes of which the second corrects the mean.

    Chan, Golub, LeVeque, The American Statistician 37(3), 1983.
    """
    chunk = chunk_rows(rows)
    weights = np.full(len(means), chunk / rows, means.dtype)
    weights[-1] = (rows - chunk * (len(means) - 1)) / rows  # only the last may be shorter
    np.dot(weights, means, out=mean)
    means -= mean
    mean += np.dot(weights, means)
    np.square(means, out=means)
    np.dot(weights, means, out=var)
    var += m2s.sum(axis=0) / rows


def _batch_norm_launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand], *, eps: float
) -> tuple[Launch, ...]:
    (y, mean, var), (x, scale, bias) = outs, ins
    means, m2s, gain = scratch
    form = form_of(x.aval)
    if form.empty:
        return ()
    sums = (mean, var, gain, means, m2s, x, scale, *form.sizes, np.float32(eps))
    return (
        tiles(device, form, "chunk_moments", (means, m2s, x)),
        each_column(device, form, "combine_moments", sums),
        applied(device, form, "normalise", (y, x, mean, gain, bias)),
    )


def _batch_norm_scratch(
    x: ShapedArray, scale: ShapedArray, bias: ShapedArray, *, eps: float
) -> tuple[ShapedArray, ...]:
    return _partials(x), _partials(x), scale


def _batch_norm_host_scratch(
    x: ShapedArray, scale: ShapedArray, bias: ShapedArray, *, eps: float
) -> tuple[ShapedArray, ...]:
    return _block(x), _partials(x), _partials(x)


def _batch_norm_split(x: ShapedArray, *others: ShapedArray, eps: float) -> tuple[Split, ...]:
    """Along the channels: each is normalised for itself."""
    last = x.ndim - 1
    return (Split((last, 0, 0), (last, 0, 0)),)


batch_norm_p = Primitive(
    "batch_norm",
    aval=_batch_norm_aval,
    vjp=_batch_norm_vjp,
    cost=_batch_norm_cost,
    numpy=Host(_batch_norm_numpy, _batch_norm_host_scratch),
    opencl=(Variant("batch_norm.cl", _batch_norm_launch, scratch=_batch_norm_scratch),),
    alias=lambda x, scale, bias, *, eps: (Alias(0, 0, "overwrite"),),
    split=_batch_norm_split,
)


# --- vjp --------------------------------------------------------------------------------------------
#
# With n rows, r = 1/sqrt(var + eps), u = (x - mean) r and y = scale u + bias:
#   dbias = sum ct,   dscale = sum ct u,   dx = scale r (ct - dbias/n - u dscale/n)
# (the paper's formulas, with its two sums inserted). In the code dx = a ct + b (x - mean) + d with
#   a = scale r,   b = -a r dscale/n,   d = -a dbias/n.


def _vjp_aval(
    ct: ShapedArray, x: ShapedArray, scale: ShapedArray, mean: ShapedArray, var: ShapedArray, *, eps: float
) -> tuple[ShapedArray, ...]:
    if ct != x:
        raise TypeError(f"batch_norm_vjp: ct must match x, got {ct} and {x}")
    _check("batch_norm_vjp", x, scale, mean, var, eps=eps)
    return x, scale, scale


def _vjp_cost(ct: ShapedArray, x: ShapedArray, *others: ShapedArray, eps: float) -> Cost:
    return Cost(flops=9 * x.size, nbytes=5 * x.nbytes)  # ct and x are read twice


@np.errstate(invalid="ignore", over="ignore")
def _vjp_numpy(
    dx: np.ndarray,
    dscale: np.ndarray,
    dbias: np.ndarray,
    ct: np.ndarray,
    x: np.ndarray,
    scale: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    block: np.ndarray,
    ct_sums: np.ndarray,
    dots: np.ndarray,
    *,
    eps: float,
) -> None:
    dx, ct, x = _matrix(dx), _matrix(ct), _matrix(x)
    if x.size == 0:
        return
    for k, rows in enumerate(_slices(x)):
        d = block[: rows.stop - rows.start]
        np.subtract(x[rows], mean, out=d)
        d *= ct[rows]
        _sum_rows(d, dots[k])
        _sum_rows(ct[rows], ct_sums[k])
    r = 1 / np.sqrt(var + x.dtype.type(eps))
    np.add.reduce(ct_sums, axis=0, out=dbias)
    np.multiply(np.add.reduce(dots, axis=0), r, out=dscale)
    a = scale * r
    b, d0 = -a * r * dscale / len(x), -a * dbias / len(x)
    for rows in _slices(x):
        d = block[: rows.stop - rows.start]
        np.subtract(x[rows], mean, out=d)
        d *= b
        d += d0
        np.multiply(ct[rows], a, out=dx[rows])
        dx[rows] += d


def _vjp_launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand], *, eps: float
) -> tuple[Launch, ...]:
    (dx, dscale, dbias), (ct, x, scale, mean, var) = outs, ins
    ct_sums, dots, coefficients = scratch
    form = form_of(x.aval)
    if form.empty:
        return ()
    sums = (dscale, dbias, coefficients, ct_sums, dots, scale, var, *form.sizes, np.float32(eps))
    return (
        tiles(device, form, "chunk_products", (ct_sums, dots, ct, x, mean)),
        each_column(device, form, "combine_products", sums),
        applied(device, form, "normalise_vjp", (dx, ct, x, mean, coefficients)),
    )


def _vjp_scratch(ct: ShapedArray, x: ShapedArray, *others: ShapedArray, eps: float) -> tuple[ShapedArray, ...]:
    return _partials(x), _partials(x), ShapedArray((3, x.shape[-1]), x.dtype)


def _vjp_host_scratch(ct: ShapedArray, x: ShapedArray, *others: ShapedArray, eps: float) -> tuple[ShapedArray, ...]:
    return _block(x), _partials(x), _partials(x)


def _vjp_split(ct: ShapedArray, x: ShapedArray, *others: ShapedArray, eps: float) -> tuple[Split, ...]:
    last = x.ndim - 1
    return (Split((last, last, 0, 0, 0), (last, 0, 0)),)


batch_norm_vjp_p = Primitive(
    "batch_norm_vjp",
    aval=_vjp_aval,
    vjp=None,  # no second derivatives
    cost=_vjp_cost,
    numpy=Host(_vjp_numpy, _vjp_host_scratch),
    opencl=(Variant("batch_norm.cl", _vjp_launch, scratch=_vjp_scratch),),
    alias=lambda ct, x, *others, eps: (Alias(0, 0, "overwrite"), Alias(0, 1, "overwrite")),
    split=_vjp_split,
)
