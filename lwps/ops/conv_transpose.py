"""Transposed convolution: the input gradient of a convolution, as an op of its own (in old texts "deconvolution").

Where `conv2d` with strides makes images smaller, this makes them larger: each pixel of `x` is spread over a window of
the result, and windows that overlap add up.
"""

from typing import Any

from lwps.core import aval_of
from lwps.ops.conv import conv2d_input_vjp_p
from lwps.ops.elementwise import promote
from lwps.ops.shape import reshape, transpose
from lwps.ops.windows import Axis, Pair, Windows, pair


def conv2d_transpose(
    x: Any,
    w: Any,
    strides: int | Pair = (1, 1),
    padding: Any = "SAME",
    dilation: int | Pair = (1, 1),
    groups: int = 1,
) -> Any:
    """`y[n, i * stride + r * dilation - top, ...] += x[n, i, ..., c] * w[r, ..., c, k]`: `[N, OH, OW, K]`.

    `x` is [N, H, W, C], `w` [R, S, C / groups, K]. Sizes by `padding`, with span = (R - 1) * dilation + 1:

    - "SAME": OH = H * stride; "VALID": OH = H * stride + max(span - stride, 0), the whole of it. Both as
      `jax.lax.conv_transpose` and TensorFlow have them.
    - ((top, bottom), (left, right)): so many rows and columns are cut off the whole; OH = (H - 1) * stride + span -
      top - bottom. `bottom` and `right` may be below 0, by less than the stride: so many rows of zeros follow.

    Values are those of PyTorch's `ConvTranspose2d(padding=p, output_padding=o)` with padding ((p, p - o), (p, p - o))
    and its weight[C, K, R, S] as w[R, S, C, K]. `jax.lax.conv_transpose(transpose_kernel=False)` turns the window:
    there w is w[::-1, ::-1].
    """
    x, w = promote("conv2d_transpose", x, w)
    if x.ndim != 4 or w.ndim != 4:
        got = f"{aval_of(x)} and {aval_of(w)}"
        raise TypeError(f"conv2d_transpose: x must be [N, H, W, C] and w [R, S, C / groups, K], got {got}; use reshape")
    return transposed("conv2d_transpose", x, w, strides, padding, dilation, groups)


def transposed(op: str, x: Any, w: Any, strides: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """What `conv2d_transpose` does, with refusals in the name of `op`."""
    strides, dilation = pair(op, "strides", strides), pair(op, "dilation", dilation)
    if groups < 1:
        raise ValueError(f"{op}: groups must be at least 1, got {groups}")
    if x.shape[3] != w.shape[2] * groups or w.shape[3] % groups or 0 in x.shape[1:3]:
        raise TypeError(
            f"{op}: x must have pixels and groups ({groups}) times the channels that w sums over, w a multiple of"
            f" groups channels, got {aval_of(x)} and {aval_of(w)}"
        )
    sides = _sides(op, padding, Windows(w.shape[:2], strides, ((0, 0), (0, 0)), dilation))
    axes = Windows(w.shape[:2], strides, sides, dilation).axes
    input_hw = tuple(_size(op, n, axis) for n, axis in zip(x.shape[1:3], axes, strict=True))
    zeros = tuple((axis.low, max(0, axis.high)) for axis in axes)
    params = {"strides": strides, "padding": zeros, "dilation": dilation, "groups": int(groups)}
    (y,) = conv2d_input_vjp_p.bind(x, _turned(w, groups), input_hw=input_hw, **params)
    return y


def _sides(op: str, padding: Any, windows: Windows) -> Any:
    """What is cut off the whole result: before and behind it along H and W."""
    if padding == "SAME":
        cut = [max(0, axis.span - axis.stride) for axis in windows.axes]
        return tuple((n // 2, axis.span - axis.stride - n // 2) for n, axis in zip(cut, windows.axes, strict=True))
    if padding == "VALID":
        return tuple((0, min(0, axis.span - axis.stride)) for axis in windows.axes)
    try:
        (top, bottom), (left, right) = padding
        sides = (int(top), int(bottom)), (int(left), int(right))
        fits = all(a >= 0 and b > -stride for (a, b), stride in zip(sides, windows.strides, strict=True))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(
            f'{op}: padding must be "SAME", "VALID" or ((top, bottom), (left, right)) of ints, the first >= 0, the'
            f" second > -stride, got {padding!r} for strides {windows.strides}; use pad for more zeros"
        )
    return sides


def _size(op: str, n: int, axis: Axis) -> int:
    size = (n - 1) * axis.stride + axis.span - axis.low - axis.high
    if size < 1:
        raise ValueError(
            f"{op}: padding must leave something of the result, got {(axis.low, axis.high)} for {n} windows of"
            f" {axis.span} by {axis.stride}"
        )
    return size


def _turned(w: Any, groups: int) -> Any:
    """[R, S, C / groups, K] as the weights [R, S, K / groups, C] of the convolution whose gradient this is."""
    r, s, c, k = w.shape
    by_group = transpose(reshape(w, (r, s, c, groups, k // groups)), (0, 1, 4, 3, 2))
    return reshape(by_group, (r, s, k // groups, groups * c))
