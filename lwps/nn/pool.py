"""Layers that make images smaller, and the step from images to vectors."""

import math
from collections.abc import Sequence
from typing import Any

from lwps.core import aval_of
from lwps.nn import window
from lwps.nn.layer import Layer, stateless
from lwps.ops import avg_pool as average
from lwps.ops import pool, shape


def max_pool(
    window_size: int | Sequence[int], strides: int | Sequence[int] | None = None, padding: window.Padding = "VALID"
) -> Layer:
    """x[N, H, W, C] -> y[N, H', W', C]: the largest of each window; `strides` are the window's size by default.

    `padding` as in `conv2d`.
    """
    size = window.pair("max_pool", "window", window_size)
    steps = size if strides is None else window.pair("max_pool", "strides", strides)
    pads = window.sides(padding)
    return stateless(lambda x: pool.max_pool(x, size, steps, pads))


def avg_pool(
    window_size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: window.Padding = "VALID",
    count_include_pad: bool = True,
) -> Layer:
    """x[N, H, W, C] -> y[N, H', W', C]: the mean of each window; `strides` are the window's size by default.

    `padding` as in `conv2d`; with `count_include_pad` its zeros count, else windows beyond the border are divided by
    their taps on the image alone.
    """
    size = window.pair("avg_pool", "window", window_size)
    steps = size if strides is None else window.pair("avg_pool", "strides", strides)
    pads = window.sides(padding)
    return stateless(lambda x: average.avg_pool(x, size, steps, pads, count_include_pad))


def max_pool1d(window_size: int, stride: int | None = None, padding: window.LinePadding = "VALID") -> Layer:
    """x[N, T, C] -> y[N, T', C]: the largest of each window; `stride` is the window's size by default."""
    pads = window.ends(padding)
    return stateless(lambda x: pool.max_pool1d(x, window_size, stride, pads))


def avg_pool1d(
    window_size: int,
    stride: int | None = None,
    padding: window.LinePadding = "VALID",
    count_include_pad: bool = True,
) -> Layer:
    """x[N, T, C] -> y[N, T', C]: the mean of each window, as `avg_pool` has it."""
    pads = window.ends(padding)
    return stateless(lambda x: average.avg_pool1d(x, window_size, stride, pads, count_include_pad))


def global_avg_pool() -> Layer:
    """x[N, H, W, C] -> y[N, C]: the mean of each channel of each image."""
    return stateless(pool.global_avg_pool)


def global_max_pool() -> Layer:
    """x[N, H, W, C] -> y[N, C]: the largest of each channel of each image."""
    return stateless(pool.global_max_pool)


def flatten() -> Layer:
    """x[N, ...] -> y[N, everything else]."""
    return stateless(_flatten)


def _flatten(x: Any) -> Any:
    aval = aval_of(x)
    if aval.ndim == 0:
        raise TypeError(f"flatten: x must have a batch axis, got {aval}")
    return shape.reshape(x, (aval.shape[0], math.prod(aval.shape[1:])))
