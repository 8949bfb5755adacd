"""Windows that move over images: strides, padding, dilation, and which tap of which window meets which position."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.lib.stride_tricks import as_strided

from lwps.core import ShapedArray

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
Spots = tuple[slice, slice]  # rows and columns

BLOCK_BYTES = 4 << 20  # of windows that are laid out at a time: they stay in cache for the product


def pair(op: str, name: str, value: Any) -> Pair:
    """Two positive ints from one or two of them; ValueError by the names of the op and of the parameter."""
    both = (value, value) if isinstance(value, int | np.integer) else tuple(value)
    if len(both) != 2 or any(not isinstance(n, int | np.integer) or n < 1 for n in both):
        raise ValueError(f"{op}: {name} must be one or two ints of at least 1, got {value}")
    return int(both[0]), int(both[1])


def canonical_padding(
    padding: Any, in_hw: Sequence[int], span: Sequence[int], strides: Sequence[int], op: str = "conv2d"
) -> Padding:
    """`padding` as ((top, bottom), (left, right)); "SAME" and "VALID" as TensorFlow and JAX define them.

    `span` is how many positions a window covers along each axis, those between its taps included.
    """
    if padding == "VALID":
        return (0, 0), (0, 0)
    if padding == "SAME":
        top_bottom, left_right = map(_same, in_hw, span, strides)
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


def line_sides(op: str, padding: Any) -> Any:
    """`padding` of sequences ("SAME", "VALID" or (before, behind)) as that of images of one line."""
    if isinstance(padding, str) and padding in ("SAME", "VALID"):
        return padding
    try:
        before, behind = map(int, padding)
    except (TypeError, ValueError):
        raise ValueError(
            f'{op}: padding must be "SAME", "VALID" or (before, behind) of ints, got {padding!r}'
        ) from None
    return (0, 0), (before, behind)


def _same(size: int, span: int, stride: int) -> Pair:
    total = max(0, (-(-size // stride) - 1) * stride + span - size)
    return total // 2, total - total // 2


# --- one axis ---------------------------------------------------------------------------------------


@attrs.frozen
class Residue:
    """Positions of an axis at which the same taps of a window end up: `first`, `first + stride`, ... (`count` of them).

    The first of them gets tap `last_tap` from the window numbered `start` (which may lie before the first window), the
    tap `tap_step` before that one from the window numbered `start + window_step`, and so on: `taps` in all. The next
    position gets the same taps from the windows behind those.
    """

    first: int
    count: int
    taps: int
    last_tap: int
    tap_step: int
    start: int
    window_step: int


@attrs.frozen
class Axis:
    """Windows along one axis: `taps` that lie `dilation` apart; the first window begins `low` before the image."""

    taps: int
    stride: int
    low: int
    high: int
    dilation: int

    @property
    def span(self) -> int:
        """Positions from the first tap to the last."""
        return (self.taps - 1) * self.dilation + 1

    @property
    def halo(self) -> int:
        """Windows before the first that the positions of an image may ask for."""
        return -(-self.span // self.stride) - 1

    def windows(self, size: int) -> int:
        """How many windows there are."""
        return (size + self.low + self.high - self.span) // self.stride + 1

    def asked(self, size: int) -> int:
        """How many windows the positions of an image may ask for, those of the halo included."""
        return self.halo + (size - 1 + self.low) // self.stride + 1

    def residues(self, size: int) -> Iterator[Residue]:
        """Position i of the image lies under tap t of window q where i + low = q * stride + t * dilation. For
        positions of equal (i + low) % stride = a these are the t with t * dilation = a modulo the stride: none, or one
        in every stride / gcd(stride, dilation) taps.
        """
        common = math.gcd(self.stride, self.dilation)
        tap_step, window_step = self.stride // common, self.dilation // common
        for a in range(self.stride):
            first = (a - self.low) % self.stride
            count = len(range(first, size, self.stride))
            taps = [t for t in range(self.taps) if t * self.dilation % self.stride == a]
            last = taps[-1] if taps else 0
            start = (first + self.low - last * self.dilation) // self.stride
            if count:
                yield Residue(first, count, len(taps), last, tap_step, start, window_step)

    def meet(self, tap: int, positions: range, windows: range) -> tuple[slice, slice] | None:
        """Of these windows those whose `tap` lies on one of these positions, and where; None if there are none."""
        offset = tap * self.dilation - self.low
        first = max(windows.start, -((offset - positions.start) // self.stride))
        last = min(windows.stop - 1, (positions.stop - 1 - offset) // self.stride)
        if last < first:
            return None
        start = first * self.stride + offset
        return slice(first, last + 1), slice(start, start + (last - first) * self.stride + 1, self.stride)


# --- both axes --------------------------------------------------------------------------------------


@attrs.frozen
class Windows:
    """Windows of `size` taps along H and W."""

    size: tuple[int, ...]
    strides: Pair
    padding: Padding
    dilation: Pair = (1, 1)

    @property
    def axes(self) -> tuple[Axis, Axis]:
        rows, columns = (
            Axis(taps, stride, *sides, dilation)
            for taps, stride, sides, dilation in zip(self.size, self.strides, self.padding, self.dilation, strict=True)
        )
        return rows, columns

    @property
    def taps(self) -> int:
        return math.prod(self.size)

    @property
    def span(self) -> Pair:
        """Positions that a window covers along H and W."""
        rows, columns = self.axes
        return rows.span, columns.span

    def counts(self, hw: Sequence[int]) -> Pair:
        """How many windows there are along H and W of an image."""
        rows, columns = self.axes
        return rows.windows(hw[0]), columns.windows(hw[1])

    def check(self, op: str, hw: Sequence[int]) -> None:
        """Refuse, by name, steps below 1, negative padding, and windows larger than the padded image."""
        for name, steps in (("strides", self.strides), ("dilation", self.dilation)):
            if min(steps) < 1:
                raise ValueError(f"{op}: {name} must be at least 1, got {steps}")
        if min(min(sides) for sides in self.padding) < 0:
            raise ValueError(f"{op}: padding must be at least 0, got {self.padding}; use slice to crop")
        if min(self.size) < 1 or any(a.span > n + a.low + a.high for a, n in zip(self.axes, hw, strict=True)):
            spread = f" with dilation {self.dilation}" if max(self.dilation) > 1 else ""
            got = f"a window of {tuple(self.size)}{spread} on {tuple(hw)} with padding {self.padding}"
            raise TypeError(f"{op}: the window must have taps and fit into the padded input, got {got}")

    def residues(self, hw: Sequence[int]) -> list[tuple[Residue, Residue]]:
        """Residues along H with residues along W: together they hold every position of an image once."""
        along_h, along_w = (list(axis.residues(n)) for axis, n in zip(self.axes, hw, strict=True))
        return [(h, w) for h in along_h for w in along_w]

    def meetings(self, positions: Sequence[range], which: Sequence[range]) -> Iterator[tuple[int, Spots, Spots]]:
        """Each tap's number, those of `which` windows that have it on one of these positions, and where."""
        for tap, at in enumerate(np.ndindex(*self.size)):
            rows, columns = map(Axis.meet, self.axes, at, positions, which)
            if rows and columns:
                yield tap, (rows[0], columns[0]), (rows[1], columns[1])


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
    def of_cotangent(cls, input_hw: Sequence[int], windows: Windows) -> "Frame":
        """For a cotangent of the windows' results: with zeros for the windows that its halo stands for."""
        rows, columns = windows.axes
        return cls(rows.halo, columns.halo, rows.asked(input_hw[0]), columns.asked(input_hw[1]))

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


# --- blocks of windows --------------------------------------------------------------------------------


def windows_of(
    x: np.ndarray, counts: Pair, size: Sequence[int], strides: Pair, dilation: Pair, start: Pair = (0, 0)
) -> np.ndarray:
    """A view [N, *counts, *size, C] of the windows of `x` from `start` on."""
    n, h, w, c = x.strides
    steps = (n, h * strides[0], w * strides[1], h * dilation[0], w * dilation[1], c)
    shape = (x.shape[0], *counts, *size, x.shape[3])
    return as_strided(x[:, start[0] :, start[1] :], shape, steps, writeable=False)


def block_of(counts: Sequence[int], nbytes: int, block_bytes: int | None = None) -> tuple[int, int, int]:
    """Images, lines and columns of the largest block of `block_bytes` (but at least one) of things of `nbytes`: whole
    lines and whole images where they are small.
    """
    images, lines, columns = counts
    most = max(1, (block_bytes or BLOCK_BYTES) // max(1, nbytes))
    if most < columns:
        return 1, 1, most
    if most < lines * columns:
        return 1, most // columns, columns
    return max(1, min(images, most // max(1, lines * columns))), max(1, lines), max(1, columns)


def blocks(counts: Sequence[int], nbytes: int, block_bytes: int | None = None) -> Iterator[tuple[slice, slice, slice]]:
    """(images, lines, columns) of blocks that cover so many, each as `block_of` says."""
    ranges = [
        [slice(k, min(k + step, n)) for k in range(0, n, step)]
        for n, step in zip(counts, block_of(counts, nbytes, block_bytes), strict=True)
    ]
    for images in ranges[0]:
        for lines in ranges[1]:
            for columns in ranges[2]:
                yield images, lines, columns
