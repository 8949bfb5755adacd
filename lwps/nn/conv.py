"""Convolution layers, over images NHWC and over sequences NTC."""

from collections.abc import Callable, Sequence
from typing import Any

from lwps.core import ShapedArray, aval_of
from lwps.nn import window
from lwps.nn.initial import he_normal
from lwps.nn.layer import Layer, check_floats, layer_of
from lwps.ops import conv, conv_transpose
from lwps.ops import conv1d as lines
from lwps.ops.elementwise import add, astype, full

Ints = int | Sequence[int]
Initial = Callable[[Any, Sequence[int]], Any]


def conv2d(
    features: int,
    kernel_size: Ints,
    strides: Ints = 1,
    padding: window.Padding = "SAME",
    bias: bool = True,
    initial_weights: Initial = he_normal,
    dilation: Ints = 1,
    groups: int = 1,
) -> Layer:
    """x[N, H, W, C] -> y[N, H', W', features].

    `padding`: `"SAME"`, `"VALID"`, one number for all sides, or ((top, bottom), (left, right)). `dilation` is the
    distance between taps of the window. With `groups`, each so-many-th part of the features comes from that part of the
    channels of x. Params: `w[KH, KW, C / groups, features]`, which begins as `initial_weights(key, shape)` gives it,
    and with `bias` `b[features]`, which begins as zeros; both of the dtype of `x`.
    """
    size, strides, dilation = window.pairs("conv2d", kernel_size=kernel_size, strides=strides, dilation=dilation)
    pads = window.sides(padding)
    shape_of = _shape_of("conv2d", size, features, groups)
    product = lambda x, w: conv.conv2d(x, w, strides, pads, dilation, groups)
    return _weighted("conv2d", "images [N, H, W, C]", shape_of, product, bias, initial_weights)


def depthwise_conv2d(
    kernel_size: Ints,
    strides: Ints = 1,
    padding: window.Padding = "SAME",
    bias: bool = True,
    initial_weights: Initial = he_normal,
    dilation: Ints = 1,
    multiplier: int = 1,
) -> Layer:
    """x[N, H, W, C] -> y[N, H', W', C * multiplier]: every channel by `multiplier` windows of its own.

    `conv2d` with as many groups as channels. Params: `w[KH, KW, 1, C * multiplier]`, `b[C * multiplier]`; results
    number c * multiplier, c * multiplier + 1, ... are those of channel c.
    """
    op = "depthwise_conv2d"
    size, strides, dilation = window.pairs(op, kernel_size=kernel_size, strides=strides, dilation=dilation)
    pads = window.sides(padding)
    if multiplier < 1:
        raise ValueError(f"{op}: multiplier must be at least 1, got {multiplier}")
    shape_of = lambda channels: (*size, 1, channels * multiplier)
    product = lambda x, w: conv.conv2d(x, w, strides, pads, dilation, aval_of(x).shape[3])
    return _weighted(op, "images [N, H, W, C]", shape_of, product, bias, initial_weights)


def conv2d_transpose(
    features: int,
    kernel_size: Ints,
    strides: Ints = 1,
    padding: window.Padding = "SAME",
    bias: bool = True,
    initial_weights: Initial = he_normal,
    dilation: Ints = 1,
    groups: int = 1,
) -> Layer:
    """x[N, H, W, C] -> y[N, H', W', features], larger by the strides: every pixel is spread over a window.

    With `"SAME"`, H' = H * stride. `lwps.ops.conv_transpose.conv2d_transpose` says what else `padding` may be, and how
    it and the weights are PyTorch's. Params as of `conv2d`.
    """
    op = "conv2d_transpose"
    size, strides, dilation = window.pairs(op, kernel_size=kernel_size, strides=strides, dilation=dilation)
    pads = window.sides(padding)
    shape_of = _shape_of(op, size, features, groups)
    product = lambda x, w: conv_transpose.conv2d_transpose(x, w, strides, pads, dilation, groups)
    return _weighted(op, "images [N, H, W, C]", shape_of, product, bias, initial_weights)


def conv1d(
    features: int,
    kernel_size: int,
    stride: int = 1,
    padding: window.LinePadding = "SAME",
    bias: bool = True,
    initial_weights: Initial = he_normal,
    dilation: int = 1,
    groups: int = 1,
) -> Layer:
    """x[N, T, C] -> y[N, T', features].

    `padding`: `"SAME"`, `"VALID"`, `"CAUSAL"` (y at t reads nothing behind t), one number for both sides, or (before,
    behind). Params: `w[K, C / groups, features]` and with `bias` `b[features]`, as of `conv2d`.
    """
    shape_of, pads = _shape_of("conv1d", _line("conv1d", kernel_size), features, groups), window.ends(padding)
    product = lambda x, w: lines.conv1d(x, w, stride, pads, dilation, groups)
    return _weighted("conv1d", "sequences [N, T, C]", shape_of, product, bias, initial_weights)


def conv1d_transpose(
    features: int,
    kernel_size: int,
    stride: int = 1,
    padding: window.LinePadding = "SAME",
    bias: bool = True,
    initial_weights: Initial = he_normal,
    dilation: int = 1,
    groups: int = 1,
) -> Layer:
    """x[N, T, C] -> y[N, T', features], longer by the stride: `conv2d_transpose` along one axis."""
    op, pads = "conv1d_transpose", window.ends(padding)
    shape_of = _shape_of(op, _line(op, kernel_size), features, groups)
    product = lambda x, w: lines.conv1d_transpose(x, w, stride, pads, dilation, groups)
    return _weighted(op, "sequences [N, T, C]", shape_of, product, bias, initial_weights)


def _line(op: str, size: int) -> tuple[int]:
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"{op}: kernel_size must be a number of at least 1, got {size!r}")
    return (size,)


def _shape_of(op: str, size: Sequence[int], features: int, groups: int) -> Callable[[int], tuple[int, ...]]:
    """The shape of weights for so many channels."""
    if features < 1:
        raise ValueError(f"{op}: features must be at least 1, got {features}")
    if groups < 1 or features % groups:
        raise ValueError(f"{op}: features must be a multiple of groups, got {features} and {groups}")

    def shape(channels: int) -> tuple[int, ...]:
        if channels % groups:
            raise TypeError(f"{op}: x must have a multiple of groups ({groups}) channels, got {channels}")
        return (*size, channels // groups, features)

    return shape


def _weighted(
    op: str,
    form: str,
    shape_of: Callable[[int], Sequence[int]],
    product: Callable[[Any, Any], Any],
    bias: bool,
    initial_weights: Initial,
) -> Layer:
    """The layer product(x, w) + b; `shape_of` of the channels of x is the shape of w, its last axis the features."""

    def check(x: ShapedArray) -> None:
        if x.ndim != form.count(",") + 1:
            raise TypeError(f"{op}: x must be {form}, got {x}; reshape it")
        check_floats(op, x)

    def initial(key: Any, aval: ShapedArray) -> tuple[Any, Any]:
        check(aval)
        shape = shape_of(aval.shape[-1])
        params = {"w": astype(initial_weights(key, shape), aval.dtype)}
        if bias:
            params["b"] = full(shape[-1:], 0, aval.dtype)
        return params, {}

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        check(aval_of(x))
        y = product(x, params["w"])
        return (add(y, params["b"]) if bias else y), state

    return layer_of(initial, apply)
