"""2-D convolution and its two gradients, all three as matrix products with windows of a zero-haloed copy."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.lib.stride_tricks import as_strided

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split
from lwps.ops.elementwise import FLOATS, promote
from lwps.ops.matmul import Rows, Tile, ints, pack_launch, panel_aval, tile_launch, tile_of, tile_variants, tiles_an_item

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]

BLOCK_BYTES = 4 << 20  # of windows that the NumPy rules lay out at a time: they stay in cache for the product
PARTS_ELEMENTS = 1 << 20  # at most so many in the partial sums of a weight gradient
MAX_CHUNKS = 32


def conv2d(x: Any, w: Any, strides: int | Pair = (1, 1), padding: Any = "SAME") -> Any:
    """`x[N, H, W, C]` convolved with `w[R, S, C, K]`: `[N, OH, OW, K]`, without flipping the window.

    `strides` are those of the window along H and W (one int: both). `padding` is "SAME" (OH = ceil(H / stride), an odd
    zero goes below and right), "VALID" (none), or ((top, bottom), (left, right)) counts of zeros.
    TypeError unless channels agree and the window fits into the padded input; ValueError for strides below 1.
    """
    x, w = promote("conv2d", x, w)
    if x.ndim != 4 or w.ndim != 4:
        raise TypeError(f"conv2d: x must be [N, H, W, C] and w [R, S, C, K], got shapes {x.shape} and {w.shape}; use reshape")
    strides = pair("conv2d", "strides", strides)
    padding = canonical_padding(padding, x.shape[1:3], w.shape[:2], strides)
    (y,) = conv2d_p.bind(x, w, strides=strides, padding=padding)
    return y


# --- windows over an image ------------------------------------------------------------------------


def pair(op: str, name: str, value: Any) -> Pair:
    """Two positive ints from one or two of them; ValueError by the names of the op and of the parameter."""
    both = (value, value) if isinstance(value, int | np.integer) else tuple(value)
    if len(both) != 2 or any(not isinstance(n, int | np.integer) or n < 1 for n in both):
        raise ValueError(f"{op}: {name} must be one or two ints of at least 1, got {value}")
    return int(both[0]), int(both[1])


def canonical_padding(padding: Any, in_hw: Sequence[int], window: Sequence[int], strides: Sequence[int], op: str = "conv2d") -> Padding:
    """`padding` as ((top, bottom), (left, right)); "SAME" and "VALID" as TensorFlow and JAX define them."""
    if padding == "VALID":
        return (0, 0), (0, 0)
    if padding == "SAME":
        top_bottom, left_right = map(_same, in_hw, window, strides)
        return top_bottom, left_right
    try:
        (top, bottom), (left, right) = padding
        sides = [int(n) for n in (top, bottom, left, right)]
    except (TypeError, ValueError):
        sides = [-1]
    if min(sides) < 0:
        raise ValueError(f'{op}: padding must be "SAME", "VALID" or ((top, bottom), (left, right)) of ints >= 0, got {padding!r}')
    return (sides[0], sides[1]), (sides[2], sides[3])


def _same(size: int, window: int, stride: int) -> Pair:
    total = max(0, (-(-size // stride) - 1) * stride + window - size)
    return total // 2, total - total // 2


def out_hw(in_hw: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Padding) -> Pair:
    """How many windows there are along H and W."""
    h, w = ((n + sum(p) - k) // s + 1 for n, k, s, p in zip(in_hw, window, strides, padding, strict=True))
    return h, w


def check_windows(op: str, in_hw: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Padding) -> None:
    """Refuse, by name, strides below 1, negative padding, and windows larger than the padded input."""
    if min(strides) < 1:
        raise ValueError(f"{op}: strides must be at least 1, got {strides}")
    if min(min(p) for p in padding) < 0:
        raise ValueError(f"{op}: padding must be at least 0, got {padding}; use slice to crop")
    if min(window) < 1 or any(k > n + sum(p) for n, k, p in zip(in_hw, window, padding, strict=True)):
        got = f"a window of {tuple(window)} on {tuple(in_hw)} with padding {padding}"
        raise TypeError(f"{op}: the window must have taps and fit into the padded input, got {got}")


@attrs.frozen
class Residue:
    """Positions of an axis at which the same taps of a window end up: `first`, `first + stride`, ... (`count` of them).

    Such a position gets tap `last_tap` from the window numbered `start`, the tap before (by the stride) from the next
    one, and so on: `taps` in all. Windows are numbered in a frame with `halo` zeros before them.
    """

    first: int
    count: int
    taps: int
    last_tap: int
    start: int


def halo(window: int, stride: int) -> int:
    """Zeros before the cotangent, so that a position may ask for windows that began before the first one."""
    return -(-window // stride) - 1


def frame(size: int, window: int, stride: int, low: int) -> int:
    """Length of the cotangent with its halo and as many windows as the positions of an input axis ask for."""
    return halo(window, stride) + (size - 1 + low) // stride + 1


def residues(size: int, window: int, stride: int, low: int) -> Iterator[Residue]:
    """Position i of the input lies under tap t of window q where i + low = q * stride + t. So positions of equal
    (i + low) % stride = a lie under the taps a, a + stride, ... of the windows q, q - 1, ...
    """
    for a in range(stride):
        taps = max(0, -(-(window - a) // stride))
        q_first, q_last = -((a - low) // stride), (size - 1 + low - a) // stride
        if q_last >= q_first:
            start = q_first - (taps - 1) + halo(window, stride) if taps else 0
            yield Residue(q_first * stride + a - low, q_last - q_first + 1, taps, a + (taps - 1) * stride, start)


# --- avals and gradients ---------------------------------------------------------------------------


def _check_floats(op: str, x: ShapedArray, y: ShapedArray, axes: str) -> None:
    if x.ndim != 4 or y.ndim != 4 or x.dtype != y.dtype or x.dtype.name not in FLOATS:
        raise TypeError(f"{op}: inputs must be {axes} of one dtype of {', '.join(FLOATS)}, got {x} and {y}; use astype or reshape")


def _conv2d_aval(x: ShapedArray, w: ShapedArray, *, strides: Pair, padding: Padding) -> tuple[ShapedArray, ...]:
    _check_floats("conv2d", x, w, "[N, H, W, C] and [R, S, C, K]")
    if x.shape[3] != w.shape[2]:
        raise TypeError(f"conv2d: x must have the channels that w sums over, got {x.shape[3]} of {x} and {w.shape[2]} of {w}")
    check_windows("conv2d", x.shape[1:3], w.shape[:2], strides, padding)
    return (ShapedArray((x.shape[0], *out_hw(x.shape[1:3], w.shape[:2], strides, padding), w.shape[3]), x.dtype),)


def _input_vjp_aval(ct: ShapedArray, w: ShapedArray, *, input_hw: Pair, strides: Pair, padding: Padding) -> tuple[ShapedArray, ...]:
    _check_floats("conv2d_input_vjp", ct, w, "[N, OH, OW, K] and [R, S, C, K]")
    check_windows("conv2d_input_vjp", input_hw, w.shape[:2], strides, padding)
    expected = (*out_hw(input_hw, w.shape[:2], strides, padding), w.shape[3])
    if ct.shape[1:] != expected:
        raise TypeError(f"conv2d_input_vjp: ct must have shape [N, {', '.join(map(str, expected))}], got {ct} and {w} for {input_hw}")
    return (ShapedArray((ct.shape[0], *input_hw, w.shape[2]), ct.dtype),)


def _weight_vjp_aval(x: ShapedArray, ct: ShapedArray, *, window: Pair, strides: Pair, padding: Padding) -> tuple[ShapedArray, ...]:
    _check_floats("conv2d_weight_vjp", x, ct, "[N, H, W, C] and [N, OH, OW, K]")
    check_windows("conv2d_weight_vjp", x.shape[1:3], window, strides, padding)
    expected = (x.shape[0], *out_hw(x.shape[1:3], window, strides, padding))
    if ct.shape[:3] != expected:
        raise TypeError(f"conv2d_weight_vjp: ct must have shape [{', '.join(map(str, expected))}, K], got {ct} and {x}")
    return (ShapedArray((*window, x.shape[3], ct.shape[3]), x.dtype),)


# y = conv(x, w) is linear in x and in w, and <ct, conv(x, w)> is trilinear: each of the three primitives is its
# derivative by one of (ct, x, w), so the derivatives of each are the other two.


def _conv2d_vjp(cts: Any, ins: Any, outs: Any, needed: Any, **params: Any) -> Sequence[Any]:
    (ct,), (x, w) = cts, ins
    return _input_vjp(ct, w, x, **params) if needed[0] else None, _weight_vjp(x, ct, w, **params) if needed[1] else None


def _input_vjp_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, input_hw: Pair, **params: Any) -> Sequence[Any]:
    (x,), (ct, w) = cts, ins
    return _conv(x, w, **params) if needed[0] else None, _weight_vjp(x, ct, w, **params) if needed[1] else None


def _weight_vjp_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, window: Pair, **params: Any) -> Sequence[Any]:
    (w,), (x, ct) = cts, ins
    return _input_vjp(ct, w, x, **params) if needed[0] else None, _conv(x, w, **params) if needed[1] else None


def _conv(x: Any, w: Any, **params: Any) -> Any:
    return conv2d_p.bind(x, w, **params)[0]


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
