"""2-D convolution and its two gradients, in groups and dilated; each of the three is a product of matrices."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from lwps.core import Cost, Host, Primitive, ShapedArray, Split
from lwps.ops import conv_device, conv_host, depthwise
from lwps.ops.elementwise import FLOATS, broadcast_to, promote
from lwps.ops.shape import reshape
from lwps.ops.windows import Pair, Windows, canonical_padding, pair

Avals = tuple[ShapedArray, ...]

MOST_REPEATS = 8  # of the channels of a depthwise convolution: more results a channel fill a tile by themselves


def conv2d(
    x: Any,
    w: Any,
    strides: int | Pair = (1, 1),
    padding: Any = "SAME",
    dilation: int | Pair = (1, 1),
    groups: int = 1,
) -> Any:
    """`x[N, H, W, C]` convolved with `w[R, S, C / groups, K]`: `[N, OH, OW, K]`, without flipping the window.

    `strides` are those of the window along H and W (one int: both), `dilation` the distances between its taps.
    `padding` is "SAME" (OH = ceil(H / stride), an odd zero goes below and right), "VALID" (none), or ((top, bottom),
    (left, right)) counts of zeros. `groups` (`feature_group_count` in JAX) cuts the channels of `x` and those of the
    result into so many parts; each part of the result comes from one part of `x`.
    TypeError unless channels agree and the window fits into the padded input; ValueError for strides, dilation or
    groups below 1.
    """
    x, w = promote("conv2d", x, w)
    if x.ndim != 4 or w.ndim != 4:
        raise TypeError(f"conv2d: x must be [N, H, W, C] and w [R, S, C, K], got {x.shape} and {w.shape}; use reshape")
    strides, dilation = pair("conv2d", "strides", strides), pair("conv2d", "dilation", dilation)
    span = Windows(w.shape[:2], strides, ((0, 0), (0, 0)), dilation).span
    padding = canonical_padding(padding, x.shape[1:3], span, strides)
    groups, times = int(groups), w.shape[3] // max(1, x.shape[3])
    if groups == x.shape[3] > 1 and times * groups == w.shape[3] and 1 < times <= MOST_REPEATS:
        x, groups = _repeat_channels(x, times), w.shape[3]
    (y,) = conv2d_p.bind(x, w, strides=strides, padding=padding, dilation=dilation, groups=groups)
    return y


def _repeat_channels(x: Any, times: int) -> Any:
    """Each channel so many times: then each result of a depthwise convolution has a channel of its own."""
    each = broadcast_to(reshape(x, (*x.shape, 1)), (*x.shape, times))
    return reshape(each, (*x.shape[:3], x.shape[3] * times))


# --- avals and gradients ---------------------------------------------------------------------------


def _check(op: str, x: ShapedArray, y: ShapedArray, axes: str, groups: int) -> None:
    if x.ndim != 4 or y.ndim != 4 or x.dtype != y.dtype or x.dtype.name not in FLOATS:
        raise TypeError(
            f"{op}: inputs must be {axes} of one dtype of {', '.join(FLOATS)}, got {x} and {y}; use astype or reshape"
        )
    if groups < 1:
        raise ValueError(f"{op}: groups must be at least 1, got {groups}")


def _check_groups(op: str, name: str, channels: int, groups: int, got: Sequence[ShapedArray]) -> None:
    if channels % groups:
        raise TypeError(
            f"{op}: {name} must have a multiple of groups ({groups}) channels, got {' and '.join(map(str, got))}"
        )


def _conv2d_aval(x: ShapedArray, w: ShapedArray, *, groups: int, **geometry: Any) -> Avals:
    _check("conv2d", x, w, "[N, H, W, C] and [R, S, C / groups, K]", groups)
    if x.shape[3] != w.shape[2] * groups:
        times = f"groups ({groups}) times " if groups > 1 else ""
        raise TypeError(f"conv2d: x must have {times}the channels that w sums over ({w.shape[2]}), got {x} and {w}")
    _check_groups("conv2d", "w", w.shape[3], groups, (x, w))
    windows = Windows(w.shape[:2], **geometry)
    windows.check("conv2d", x.shape[1:3])
    return (ShapedArray((x.shape[0], *windows.counts(x.shape[1:3]), w.shape[3]), x.dtype),)


def _input_vjp_aval(ct: ShapedArray, w: ShapedArray, *, input_hw: Pair, groups: int, **geometry: Any) -> Avals:
    _check("conv2d_input_vjp", ct, w, "[N, OH, OW, K] and [R, S, C / groups, K]", groups)
    windows = Windows(w.shape[:2], **geometry)
    windows.check("conv2d_input_vjp", input_hw)
    expected = (*windows.counts(input_hw), w.shape[3])
    if ct.shape[1:] != expected:
        raise TypeError(
            f"conv2d_input_vjp: ct must have shape [N, {', '.join(map(str, expected))}], got {ct}, {w}, {input_hw}"
        )
    _check_groups("conv2d_input_vjp", "w", w.shape[3], groups, (ct, w))
    return (ShapedArray((ct.shape[0], *input_hw, w.shape[2] * groups), ct.dtype),)


def _weight_vjp_aval(x: ShapedArray, ct: ShapedArray, *, window: Pair, groups: int, **geometry: Any) -> Avals:
    _check("conv2d_weight_vjp", x, ct, "[N, H, W, C] and [N, OH, OW, K]", groups)
    windows = Windows(window, **geometry)
    windows.check("conv2d_weight_vjp", x.shape[1:3])
    expected = (x.shape[0], *windows.counts(x.shape[1:3]))
    if ct.shape[:3] != expected:
        raise TypeError(f"conv2d_weight_vjp: ct must have shape [{', '.join(map(str, expected))}, K], got {ct} and {x}")
    for name, channels in (("x", x.shape[3]), ("ct", ct.shape[3])):
        _check_groups("conv2d_weight_vjp", name, channels, groups, (x, ct))
    return (ShapedArray((*window, x.shape[3] // groups, ct.shape[3]), x.dtype),)


# y = conv(x, w) is linear in x and in w, and <ct, conv(x, w)> is trilinear: each of the three primitives is its
# derivative by one of (ct, x, w), so the derivatives of each are the other two.


def _conv2d_vjp(cts: Any, ins: Any, outs: Any, needed: Any, **params: Any) -> Sequence[Any]:
    (ct,), (x, w) = cts, ins
    return _input_vjp(ct, w, x, **params) if needed[0] else None, _weight_vjp(x, ct, w, **params) if needed[1] else None


def _input_vjp_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, input_hw: Pair, **params: Any) -> Sequence[Any]:
    (x,), (ct, w) = cts, ins
    d_ct = conv2d_p.bind(x, w, **params)[0] if needed[0] else None
    return d_ct, _weight_vjp(x, ct, w, **params) if needed[1] else None


def _weight_vjp_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, window: Pair, **params: Any) -> Sequence[Any]:
    (w,), (x, ct) = cts, ins
    d_ct = conv2d_p.bind(x, w, **params)[0] if needed[1] else None
    return _input_vjp(ct, w, x, **params) if needed[0] else None, d_ct


def _input_vjp(ct: Any, w: Any, x: Any, **params: Any) -> Any:
    return conv2d_input_vjp_p.bind(ct, w, input_hw=tuple(x.shape[1:3]), **params)[0]


def _weight_vjp(x: Any, ct: Any, w: Any, **params: Any) -> Any:
    return conv2d_weight_vjp_p.bind(x, ct, window=tuple(w.shape[:2]), **params)[0]


def _cost(y: ShapedArray, w: ShapedArray, *others: ShapedArray) -> Cost:
    """Of a convolution with result `y`; its gradients have as many multiply-adds."""
    return Cost(flops=2 * y.size * math.prod(w.shape[:3]), nbytes=sum(a.nbytes for a in (y, w, *others)))


def _conv2d_cost(x: ShapedArray, w: ShapedArray, **params: Any) -> Cost:
    return _cost(*_conv2d_aval(x, w, **params), w, x)


def _input_vjp_cost(ct: ShapedArray, w: ShapedArray, **params: Any) -> Cost:
    return _cost(ct, w, *_input_vjp_aval(ct, w, **params))


def _weight_vjp_cost(x: ShapedArray, ct: ShapedArray, **params: Any) -> Cost:
    return _cost(ct, *_weight_vjp_aval(x, ct, **params), x)


def _either(dense: Host, depthwise: Host, is_depthwise: Callable[..., bool]) -> Host:
    """The NumPy rule of all convolutions from those of the two kinds."""

    def rule(x: Any, y: Any, groups: int) -> Host:
        return depthwise if is_depthwise(x, y, groups) else dense

    def run(out: Any, x: Any, y: Any, *scratch: Any, **params: Any) -> None:
        rule(x, y, params["groups"]).run(out, x, y, *scratch, **params)

    def scratch(x: ShapedArray, y: ShapedArray, **params: Any) -> Avals:
        return rule(x, y, params["groups"]).scratch(x, y, **params)

    return Host(run, scratch)


def _split(*always: Split, channels: tuple[Split, ...]) -> Any:
    """The split rule: parts of the channels belong to the same groups only where there is one group."""
    return lambda *ins, groups, **params: (*always, *(channels if groups == 1 else ()))


conv2d_p = Primitive(
    "conv2d",
    aval=_conv2d_aval,
    vjp=_conv2d_vjp,
    cost=_conv2d_cost,
    numpy=_either(conv_host.conv2d_host, depthwise.conv2d_host, depthwise.has_depthwise_weights),
    opencl=(depthwise.conv2d_variant, *conv_device.conv2d_variants),
    alias=None,
    split=_split(Split((0, None), (0,)), channels=(Split((None, 3), (3,)),)),
)

conv2d_input_vjp_p = Primitive(
    "conv2d_input_vjp",
    aval=_input_vjp_aval,
    vjp=_input_vjp_vjp,
    cost=_input_vjp_cost,
    numpy=_either(conv_host.input_vjp_host, depthwise.input_vjp_host, depthwise.has_depthwise_weights),
    opencl=(depthwise.input_vjp_variant, *conv_device.input_vjp_variants),
    alias=None,
    split=_split(Split((0, None), (0,)), channels=(Split((None, 2), (3,)),)),
)

conv2d_weight_vjp_p = Primitive(
    "conv2d_weight_vjp",
    aval=_weight_vjp_aval,
    vjp=_weight_vjp_vjp,
    cost=_weight_vjp_cost,
    numpy=_either(conv_host.weight_vjp_host, depthwise.weight_vjp_host, depthwise.has_depthwise_channels),
    opencl=(depthwise.weight_vjp_variant, *conv_device.weight_vjp_variants),
    alias=None,
    split=_split(channels=(Split((3, None), (2,)), Split((None, 3), (3,)))),
)
