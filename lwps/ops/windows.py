"""Windows that move over images: strides, padding, which window meets which position; windows as rows of a matrix."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.lib.stride_tricks import as_strided

from lwps.core import ShapedArray

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]

BLOCK_BYTES = 4 << 20  # of windows that are laid out at a time: they stay in cache for the product


def pair(op: str, name: str, value: Any) -> Pair:
    """Two positive ints from one or two of them; ValueError by the names of the op and of the parameter."""
    both = (value, value) if isinstance(value, int | np.integer) else tuple(value)
    if len(both) != 2 or any(not isinstance(n, int | np.integer) or n < 1 for n in both):
        raise ValueError(f"{op}: {name} must be one or two ints of at least 1, got {value}")
    return int(both[0]), int(both[1])


def canonical_padding(
    padding: Any, in_hw: Sequence[int], window: Sequence[int], strides: Sequence[int], op: str = "conv2d"
) -> Padding:
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
        raise ValueError(
            f'{op}: padding must be "SAME", "VALID" or ((top, bottom), (left, right)) of ints >= 0, got {padding!r}'
        )
    return (sides[0], sides[1]), (sides[2], sides[3])


def _same(size: int, window: int, stride: int) -> Pair:
    total = max(0, (-(-size // stride) - 1) * stride + window - size)
    return total // 2, total - total // 2


def out_hw(in_hw: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Padding) -> Pair:
    """How many windows there are along H and W."""
    h, w = ((n + sum(p) - k) // s + 1 for n, k, s, p in zip(in_hw, window, strides, padding, strict=True))
    return h, w


def check_windows(
    op: str, in_hw: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Padding
) -> None:
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


def residue_pairs(hw: Pair, window: Sequence[int], strides: Pair, padding: Padding) -> list[tuple[Residue, Residue]]:
    """Residues along H with residues along W: together they hold every position of an image once."""
    lows = (padding[0][0], padding[1][0])
    along_h, along_w = (list(residues(*axis)) for axis in zip(hw, window, strides, lows, strict=True))
    return [(h, w) for h in along_h for w in along_w]


@attrs.frozen
class Frame:
    """`height` x `width` zeros with an image at (`top`, `left`), cut off where it does not fit."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of_input(cls, hw: Sequence[int], padding: Padding) -> "Frame":
        (top, bottom), (left, right) = padding
        return cls(top, left, hw[0] + top + bottom, hw[1] + left + right)

    @classmethod
    def of_cotangent(cls, input_hw: Pair, window: Sequence[int], strides: Pair, padding: Padding) -> "Frame":
        top, left = map(halo, window, strides)
        lows = (padding[0][0], padding[1][0])
        height, width = map(frame, input_hw, window, strides, lows)
        return cls(top, left, height, width)

    def needed(self, x: Any) -> bool:
        """Whether the framed image differs from the image."""
        return (self.top, self.left, self.height, self.width) != (0, 0, *x.shape[1:3])

    def aval(self, x: ShapedArray) -> ShapedArray:
        """Scratch for the framed images, empty where they are `x` itself."""
        return ShapedArray((x.shape[0], self.height, self.width, x.shape[3]) if self.needed(x) else (0,), x.dtype)

    def fill(self, scratch: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The framed images, in `scratch` where they are not `x` itself."""
        if not self.needed(x):
            return x
        scratch.fill(0)
        inner = scratch[:, self.top : self.top + x.shape[1], self.left : self.left + x.shape[2]]
        np.copyto(inner, x[:, : inner.shape[1], : inner.shape[2]])
        return scratch


# --- windows as rows of a matrix, a block of lines at a time ----------------------------------------


def windows_of(x: np.ndarray, hw: Pair, window: Sequence[int], strides: Pair, start: Pair = (0, 0)) -> np.ndarray:
    """A view [N, *hw, *window, C] of the windows of `x` from `start` on."""
    n, h, w, c = x.strides
    steps = (n, h * strides[0], w * strides[1], h, w, c)
    return as_strided(x[:, start[0] :, start[1] :], (x.shape[0], *hw, *window, x.shape[3]), steps, writeable=False)


def block_lines(lines: int, line_bytes: int) -> int:
    """Lines of windows in a block of at most BLOCK_BYTES, but at least one."""
    return max(1, min(lines, BLOCK_BYTES // max(1, line_bytes)))


def blocks(windows: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """(images, lines) that cover all windows in pieces of about BLOCK_BYTES: whole images where they are small."""
    images, lines = windows.shape[:2]
    most = block_lines(images * lines, math.prod(windows.shape[2:]) * windows.itemsize)
    if most >= lines > 0:
        for n in range(0, images, most // lines):
            yield slice(n, n + most // lines), slice(None)
    else:
        for n in range(images):
            for line in range(0, lines, most):
                yield slice(n, n + 1), slice(line, line + most)


def block_aval(lines: int, line_elements: int, dtype: np.dtype) -> ShapedArray:
    """Scratch for a block of windows, or of their products."""
    return ShapedArray((block_lines(lines, line_elements * dtype.itemsize) * line_elements,), dtype)


def as_rows(block: np.ndarray, scratch: np.ndarray) -> np.ndarray:
    """A block of windows as a matrix with one window a row, in `scratch` unless it lies like that already."""
    rows, row = math.prod(block.shape[:3]), math.prod(block.shape[3:])
    if block.flags.c_contiguous:
        return block.reshape(rows, row)
    laid_out = scratch[: rows * row]
    np.copyto(laid_out.reshape(block.shape), block)
    return laid_out.reshape(rows, row)
