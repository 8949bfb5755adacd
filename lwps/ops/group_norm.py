"""Group normalisation: groups of channels of each example by their own moments, from fixed chunks of rows."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lwps.core import Alias, Cost, Device, Host, Launch, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops.moments import Form, applied, each, each_column, form_of, tiles
from lwps.ops.rules import FLOATS
from lwps.ops.values import full

BLOCK = 1 << 16  # elements that the host does at a time

Avals = tuple[ShapedArray, ...]


def group_norm(x: Any, groups: int, scale: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """`x` with mean 0 and variance 1 in each group of channels of each example, then times `scale` plus `bias`.

    `x[N, ..., C]` has channels last; `groups` of C / groups channels side by side share moments, also over all axes
    between (Wu, He, ECCV 2018). One group: all of an example; as many as channels: instance normalisation. `scale[C]`,
    `bias[C]` (None: ones, zeros) share the float dtype of `x`; `eps` is added to the biased variance.
    """
    aval = aval_of(x)
    if aval.ndim < 2:
        raise TypeError(f"group_norm: x must have a batch axis and channels [N, ..., C], got {aval}; use reshape")
    scale = full(aval.shape[-1:], 1, aval.dtype) if scale is None else scale
    bias = full(aval.shape[-1:], 0, aval.dtype) if bias is None else bias
    (y,) = group_norm_p.bind(x, scale, bias, groups=int(groups), eps=float(eps))
    return y


# --- rules ------------------------------------------------------------------------------------------


def _check(op: str, x: ShapedArray, *channels: ShapedArray, groups: int, eps: float) -> None:
    if x.ndim < 2 or x.dtype.name not in FLOATS or any(a != ShapedArray(x.shape[-1:], x.dtype) for a in channels):
        got = ", ".join(map(str, (x, *channels)))
        raise TypeError(f"{op}: x must be floats [N, ..., C] and the others [C] of its dtype, got {got}; use astype")
    if groups < 1 or x.shape[-1] % groups:
        raise ValueError(f"{op}: groups must divide the {x.shape[-1]} channels, got {groups} for {x}")
    if not 0 < eps < math.inf:
        raise ValueError(f"{op}: eps must be a positive number, got {eps}")


def _group_norm_aval(x: ShapedArray, scale: ShapedArray, bias: ShapedArray, *, groups: int, eps: float) -> Avals:
    _check("group_norm", x, scale, bias, groups=groups, eps=eps)
    return (x,)


def _group_norm_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, groups: int, eps: float) -> Sequence[Any]:
    return group_norm_vjp_p.bind(*cts, *ins[:2], groups=groups, eps=eps)


def _split(ndims: Sequence[int]) -> tuple[Split, ...]:
    """Along the examples: each is normalised for itself."""
    return (Split(tuple(0 if n > 1 else None for n in ndims), (0,)),)


def _form(x: ShapedArray) -> Form:
    return form_of(x, x.shape[0])


# --- NumPy ------------------------------------------------------------------------------------------


def _images(x: np.ndarray) -> np.ndarray:
    """[N, rows, C], a view."""
    n, channels = x.shape[0], x.shape[-1]
    return x.reshape(n, x.size // (n * channels), channels)


def _block(x: ShapedArray) -> ShapedArray:
    """Some rows of every image."""
    form = _form(x)
    rows = BLOCK // max(1, form.images * form.channels)
    return ShapedArray((form.images, min(max(1, rows), form.rows), form.channels), x.dtype)


def _blocks(x: np.ndarray, block: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Slices of rows, and the part of the block that they take."""
    for k in range(0, x.shape[1], block.shape[1]):
        rows = slice(k, min(k + block.shape[1], x.shape[1]))
        yield rows, block[:, : rows.stop - rows.start]


def _sum_rows(total: np.ndarray, x: np.ndarray) -> None:
    """Add the sums over rows to `total[N, 1, C]`."""
    total += np.ones((1, x.shape[1]), x.dtype) @ x


def _over_groups(x: np.ndarray, groups: int) -> np.ndarray:
    """The mean of each group's channels in all of them: [N, 1, C] both."""
    n, _, channels = x.shape
    return np.repeat(x.reshape(n, groups, channels // groups).mean(-1), channels // groups, axis=1).reshape(x.shape)


def _moments(x: np.ndarray, block: np.ndarray, groups: int, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and 1/deviation of each group in each of its channels, [N, 1, C] both."""
    means, squares = np.zeros((2, x.shape[0], 1, x.shape[2]), x.dtype)
    for rows, d in _blocks(x, block):
        np.subtract(x[:, rows], x[:, :1], out=d)  # from the first row on: numbers far from zero keep their digits
        _sum_rows(means, d)
    first = np.repeat(x[:, :1, :: x.shape[2] // groups], x.shape[2] // groups, axis=2)
    means /= x.shape[1]
    means += x[:, :1] - first
    mean = first + _over_groups(means, groups)
    for rows, d in _blocks(x, block):
        np.subtract(x[:, rows], mean, out=d)
        np.square(d, out=d)
        _sum_rows(squares, d)
    return mean, 1 / np.sqrt(_over_groups(squares / x.shape[1], groups) + x.dtype.type(eps))


@np.errstate(invalid="ignore", over="ignore")
def _numpy(
    y: np.ndarray, x: np.ndarray, scale: np.ndarray, bias: np.ndarray, block: np.ndarray, *, groups: int, eps: float
) -> None:
    if x.size == 0:
        return
    x, y = _images(x), _images(y)
    mean, inverse = _moments(x, block, groups, eps)
    gain = inverse * scale
    for rows, _ in _blocks(x, block):
        np.subtract(x[:, rows], mean, out=y[:, rows])
        y[:, rows] *= gain
        y[:, rows] += bias


@np.errstate(invalid="ignore", over="ignore")
def _vjp_numpy(
    dx: np.ndarray,
    dscale: np.ndarray,
    dbias: np.ndarray,
    ct: np.ndarray,
    x: np.ndarray,
    scale: np.ndarray,
    block: np.ndarray,
    *,
    groups: int,
    eps: float,
) -> None:
    if x.size == 0:
        dscale[...] = dbias[...] = 0
        return
    dx, ct, x = _images(dx), _images(ct), _images(x)
    mean, inverse = _moments(x, block, groups, eps)
    sums, dots = np.zeros((2, *mean.shape), x.dtype)
    for rows, d in _blocks(x, block):
        np.subtract(x[:, rows], mean, out=d)
        d *= ct[:, rows]
        _sum_rows(dots, d)
        _sum_rows(sums, ct[:, rows])
    dots *= inverse
    np.sum(dots, axis=(0, 1), out=dscale)
    np.sum(sums, axis=(0, 1), out=dbias)
    constant = -_over_groups(scale * sums / x.shape[1], groups) * inverse
    slope = -_over_groups(scale * dots / x.shape[1], groups) * inverse * inverse
    for rows, d in _blocks(x, block):
        np.subtract(x[:, rows], mean, out=d)
        d *= slope
        d += constant
        np.multiply(ct[:, rows], scale * inverse, out=dx[:, rows])
        dx[:, rows] += d


# --- OpenCL -----------------------------------------------------------------------------------------


def _sums_of_groups(form: Form, groups: int) -> tuple[np.int32, ...]:
    """Numbers of the kernels that combine a group's sums."""
    return (*form.sizes, np.int32(form.images), np.int32(form.channels // groups))


def _moment_launches(device: Device, x: Any, scale: Any, scratch: Any, groups: int, eps: float) -> tuple[Launch, ...]:
    form, (means, m2s, mean, inverse, gain) = _form(x.aval), scratch
    args = (mean, inverse, gain, means, m2s, x, scale, *_sums_of_groups(form, groups), np.float32(eps))
    return (
        tiles(device, form, "chunk_moments", (means, m2s, x)),
        each(device, "combine_group_moments", form.images * groups, args),
    )


def _launch(device: Device, outs: Any, ins: Any, scratch: Any, *, groups: int, eps: float) -> tuple[Launch, ...]:
    (y,), (x, scale, bias) = outs, ins
    if x.size == 0:
        return ()
    *_, mean, _, gain = scratch
    apply = applied(device, _form(x.aval), "normalise", (y, x, mean, gain, bias))
    return (*_moment_launches(device, x, scale, scratch, groups, eps), apply)


def _scratch(x: ShapedArray, *others: ShapedArray, groups: int, eps: float) -> Avals:
    form = _form(x)
    partial, channel = form.partials(x.dtype), ShapedArray((form.images, form.channels), x.dtype)
    return partial, partial, channel, channel, channel


def _vjp_launch(device: Device, outs: Any, ins: Any, scratch: Any, *, groups: int, eps: float) -> tuple[Launch, ...]:
    (dx, dscale, dbias), (ct, x, scale) = outs, ins
    form = _form(x.aval)
    if form.channels == 0:
        return ()
    *moments, dscales, dbiases, coefficients = scratch
    sums = np.int32(0 if x.size == 0 else form.images), np.int32(form.channels)
    add = each_column(device, form, "add_images", (dscale, dbias, dscales, dbiases, *sums))
    if x.size == 0:
        return (add,)  # zeros
    partial, other, mean, inverse, _ = moments
    args = (coefficients, dscales, dbiases, partial, other, scale, inverse, *_sums_of_groups(form, groups))
    return (
        *_moment_launches(device, x, scale, moments, groups, eps),
        tiles(device, form, "chunk_products", (partial, other, ct, x, mean)),
        each(device, "combine_group_products", form.images * groups, args),
        add,
        applied(device, form, "normalise_vjp", (dx, ct, x, mean, coefficients)),
    )


def _vjp_scratch(ct: ShapedArray, x: ShapedArray, scale: ShapedArray, *, groups: int, eps: float) -> Avals:
    *moments, channel = _scratch(x, groups=groups, eps=eps)
    images, channels = channel.shape
    return (*moments, channel, channel, channel, ShapedArray((images, 3, channels), x.dtype))


group_norm_p = Primitive(
    "group_norm",
    aval=_group_norm_aval,
    vjp=_group_norm_vjp,
    cost=lambda x, *others, groups, eps: Cost(flops=9 * x.size, nbytes=3 * x.nbytes),  # x is read twice
    numpy=Host(_numpy, lambda x, *others, groups, eps: (_block(x),)),
    opencl=(Variant("group_norm.cl", _launch, scratch=_scratch),),
    alias=lambda x, *others, groups, eps: (Alias(0, 0, "overwrite"),),
    split=lambda x, scale, bias, *, groups, eps: _split((x.ndim, 1, 1)),
)


# --- vjp --------------------------------------------------------------------------------------------
#
# With r = 1/sqrt(var + eps), u = (x - mean) r and g = ct scale, means over a group of an example:
#   dscale = sum ct u,   dbias = sum ct   (over all examples and rows),
#   dx = r (g - mean(g) - u mean(g u)).   In the code dx = a ct + b (x - mean) + d with
#   a = r scale,   b = -r^2 mean(g u),   d = -r mean(g).


def _vjp_aval(ct: ShapedArray, x: ShapedArray, scale: ShapedArray, *, groups: int, eps: float) -> Avals:
    if ct != x:
        raise TypeError(f"group_norm_vjp: ct must match x, got {ct} and {x}")
    _check("group_norm_vjp", x, scale, groups=groups, eps=eps)
    return x, scale, scale


group_norm_vjp_p = Primitive(
    "group_norm_vjp",
    aval=_vjp_aval,
    vjp=None,  # no second derivatives
    cost=lambda ct, x, scale, *, groups, eps: Cost(flops=15 * x.size, nbytes=6 * x.nbytes),  # x three times, ct twice
    numpy=Host(_vjp_numpy, lambda ct, x, scale, *, groups, eps: (_block(x),)),
    opencl=(Variant("group_norm.cl", _vjp_launch, scratch=_vjp_scratch),),
    alias=lambda ct, x, scale, *, groups, eps: (Alias(0, 0, "overwrite"), Alias(0, 1, "overwrite")),
    split=None,  # dscale and dbias are sums over all examples
)
