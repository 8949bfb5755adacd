"""Layers that make images larger."""

from collections.abc import Sequence
from typing import Any

from lwps.core import aval_of
from lwps.nn import window
from lwps.nn.layer import Layer, stateless
from lwps.ops.resize import METHODS, resize


def upsample(scale: int | Sequence[int], method: str = "nearest") -> Layer:
    """x[N, H, W, C] -> y[N, scale H, scale W, C]; `scale` is one number or one for each of height and width.

    Methods are those of `lwps.image.resize`: "nearest" repeats pixels, "bilinear" blends the four around each.
    """
    factors = window.pair("upsample", "scale", scale)
    if method not in METHODS:
        raise ValueError(f"upsample: method must be one of {', '.join(METHODS)}, got {method!r}")

    def larger(x: Any) -> Any:
        aval = aval_of(x)
        if aval.ndim != 4:
            raise TypeError(f"upsample: x must be images [N, H, W, C], got {aval}")
        n, height, width, channels = aval.shape
        return resize(x, (n, factors[0] * height, factors[1] * width, channels), method)

    return stateless(larger)
