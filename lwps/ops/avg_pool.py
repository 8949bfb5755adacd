"""Average pooling: a depthwise convolution with equal weights, whose kernels and gradients it has."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.ops.conv import conv2d
from lwps.ops.elementwise import full, mul, promote
from lwps.ops.pool import along_one_axis, check_pool, pool_windows
from lwps.ops.windows import Axis, Pair, Windows


def avg_pool(
    x: Any,
    window: int | Pair,
    strides: int | Pair | None = None,
    padding: Any = "VALID",
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window of `x[N, H, W, C]`: `[N, OH, OW, C]`.

    `window`, `strides` and `padding` as for `max_pool`. `count_include_pad`: whether a window beyond the border is
    divided by all of its taps, as PyTorch and flax do by default, or by those on the image alone.
    """
    windows = pool_windows("avg_pool", x, window, strides, padding)
    check_pool("avg_pool", x.shape[1:3], windows)
    (x,) = promote("avg_pool", x)
    channels, dtype = x.shape[3], x.dtype if x.dtype.kind == "f" else np.dtype("float32")
    alike = count_include_pad or not any(map(sum, windows.padding))
    w = full((*windows.size, min(1, channels), channels), 1 / windows.taps if alike else 1, dtype)
    y = conv2d(x, w, windows.strides, windows.padding, groups=max(1, channels))
    return y if alike else mul(y, _shares(windows, x.shape[1:3]).astype(dtype))


def avg_pool1d(
    x: Any, window: int, stride: int | None = None, padding: Any = "VALID", count_include_pad: bool = True
) -> Any:
    """The mean of each window of `x[N, T, C]`: `[N, OT, C]`; `avg_pool` along one axis."""
    return along_one_axis("avg_pool1d", avg_pool, x, window, stride, padding, count_include_pad=count_include_pad)


def _shares(windows: Windows, hw: Sequence[int]) -> np.ndarray:
    """[OH, OW, 1]: one by the taps on the image of each window."""
    rows, columns = (_taps_on_image(axis, n) for axis, n in zip(windows.axes, hw, strict=True))
    return 1 / (rows[:, None, None] * columns[:, None])


def _taps_on_image(axis: Axis, size: int) -> np.ndarray:
    first = np.arange(axis.windows(size)) * axis.stride - axis.low
    return np.minimum(first + axis.taps, size) - np.maximum(first, 0)
