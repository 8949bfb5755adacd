"""Convolutions along one axis: those along two, of images of one line."""

from typing import Any

import numpy as np

from lwps.core import aval_of
from lwps.ops.conv import conv2d
from lwps.ops.conv_transpose import transposed
from lwps.ops.elementwise import promote
from lwps.ops.shape import reshape
from lwps.ops.windows import line_sides


def conv1d(x: Any, w: Any, stride: int = 1, padding: Any = "SAME", dilation: int = 1, groups: int = 1) -> Any:
    """`x[N, T, C]` convolved with `w[R, C / groups, K]`: `[N, OT, K]`, without flipping the window.

    As `conv2d`; `padding` is "SAME", "VALID", "CAUSAL" (all of it before: the result at t reads nothing behind t times
    the stride) or (before, behind) counts of zeros.
    """
    x, w = _one_line("conv1d", x, w, groups, stride=stride, dilation=dilation)
    if isinstance(padding, str) and padding == "CAUSAL":
        padding = ((w.shape[1] - 1) * dilation, 0)
    sides = line_sides("conv1d", padding)
    if not isinstance(sides, str) and min(sides[1]) < 0:
        raise ValueError(f"conv1d: padding must be at least 0, got {padding}; use slice to crop")
    return _line(conv2d(x, w, (1, stride), sides, (1, dilation), groups))


def conv1d_transpose(x: Any, w: Any, stride: int = 1, padding: Any = "SAME", dilation: int = 1, groups: int = 1) -> Any:
    """`y[n, t * stride + r * dilation - before] += x[n, t, c] * w[r, c, k]`: `[N, OT, K]`.

    As `conv2d_transpose`; `x` is [N, T, C], `w` [R, C / groups, K], `padding` "SAME", "VALID" or (before, behind).
    """
    x, w = _one_line("conv1d_transpose", x, w, groups, stride=stride, dilation=dilation)
    sides = line_sides("conv1d_transpose", padding)
    return _line(transposed("conv1d_transpose", x, w, (1, stride), sides, (1, dilation), groups))


def _one_line(op: str, x: Any, w: Any, groups: int, **steps: Any) -> tuple[Any, Any]:
    """`x` and `w` as images and windows of one line."""
    x, w = promote(op, x, w)
    if x.ndim != 3 or w.ndim != 3 or x.shape[2] != w.shape[1] * groups:
        got = f"{aval_of(x)} and {aval_of(w)} with groups {groups}"
        raise TypeError(f"{op}: x must be [N, T, C] and w [R, C / groups, K], got {got}; use reshape")
    for name, step in steps.items():
        if not isinstance(step, int | np.integer) or step < 1:
            raise ValueError(f"{op}: {name} must be an int of at least 1, got {step!r}")
    return reshape(x, (x.shape[0], 1, *x.shape[1:])), reshape(w, (1, *w.shape))


def _line(y: Any) -> Any:
    return reshape(y, (y.shape[0], *y.shape[2:]))
