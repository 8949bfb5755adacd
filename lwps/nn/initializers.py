"""How weights begin, by JAX's names: each function gives an `Initializer`.

The last axis of a weight is its outputs, the last but one its inputs; the axes before are a window.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lwps.core import aval_of
from lwps.ops import random
from lwps.ops.elementwise import astype, full, mul
from lwps.tracing import Tracer

Initializer = Callable[..., Any]  # (key, shape, dtype="float32") -> the first weights

_TRUNCATED = 0.87962566103423978  # the standard deviation of normals truncated at 2


def zeros(key: Any, shape: Sequence[int], dtype: Any = "float32") -> Any:
    """Zeros: itself an initializer, not a function that gives one."""
    return full(shape, 0, dtype)


def ones(key: Any, shape: Sequence[int], dtype: Any = "float32") -> Any:
    """Ones: itself an initializer, not a function that gives one."""
    return full(shape, 1, dtype)


def constant(value: float) -> Initializer:
    """`value` everywhere."""
    return lambda key, shape, dtype="float32": full(shape, value, dtype)


def normal(stddev: float = 1e-2) -> Initializer:
    """Normals of mean 0."""
    return lambda key, shape, dtype="float32": astype(mul(random.normal(key, shape), stddev), dtype)


def truncated_normal(stddev: float = 1e-2, lower: float = -2.0, upper: float = 2.0) -> Initializer:
    """`stddev` times normals from `lower` to `upper`; by default their own standard deviation is 0.88 stddev."""

    def initializer(key: Any, shape: Sequence[int], dtype: Any = "float32") -> Any:
        return astype(mul(random.truncated_normal(key, lower, upper, shape), stddev), dtype)

    return initializer


def uniform(scale: float = 1e-2) -> Initializer:
    """Uniform numbers from 0 to `scale`."""
    return lambda key, shape, dtype="float32": astype(mul(random.uniform(key, shape), scale), dtype)


def variance_scaling(
    scale: float,
    mode: str,
    distribution: str,
    in_axis: int | Sequence[int] = -2,
    out_axis: int | Sequence[int] = -1,
) -> Initializer:
    """Numbers of mean 0 and variance scale / n, which keeps the variance of what flows through a layer.

    `mode` says what n is: "fan_in", how many numbers a result is a sum of (keeps it forward); "fan_out", how many
    results a number goes into, strides aside (keeps it backward); "fan_avg", the mean of both. `distribution`:
    "normal", "truncated_normal" (at two standard deviations) or "uniform". Axes that are neither in nor out are a
    window.
    """
    if mode not in ("fan_in", "fan_out", "fan_avg"):
        raise ValueError(f"variance_scaling: mode must be fan_in, fan_out or fan_avg, got {mode!r}")
    if distribution not in ("normal", "truncated_normal", "uniform"):
        raise ValueError(
            f"variance_scaling: distribution must be normal, truncated_normal or uniform, got {distribution!r}"
        )
    if not scale >= 0:
        raise ValueError(f"variance_scaling: scale must be at least 0, got {scale}")

    def initializer(key: Any, shape: Sequence[int], dtype: Any = "float32") -> Any:
        fan_in, fan_out = _fans(shape, in_axis, out_axis)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
        stddev = math.sqrt(scale / max(1, n))
        if distribution == "normal":
            return normal(stddev)(key, shape, dtype)
        if distribution == "truncated_normal":
            return truncated_normal(stddev / _TRUNCATED)(key, shape, dtype)
        bound = math.sqrt(3) * stddev
        return astype(random.uniform(key, shape, -bound, bound), dtype)

    return initializer


def _fans(shape: Sequence[int], in_axis: int | Sequence[int], out_axis: int | Sequence[int]) -> tuple[float, float]:
    if len(shape) < 2:
        raise ValueError(
            f"variance_scaling: shape must have axes for inputs and outputs, got {tuple(shape)}; use zeros or normal"
        )
    ins, outs = (
        math.prod(shape[axis] for axis in ((axes,) if isinstance(axes, int) else axes)) for axes in (in_axis, out_axis)
    )
    window = math.prod(shape) / max(1, ins * outs)
    return ins * window, outs * window


def lecun_normal(in_axis: int | Sequence[int] = -2, out_axis: int | Sequence[int] = -1) -> Initializer:
    """Truncated normals of variance 1 / fan_in (LeCun et al., "Efficient BackProp", 1998, section 4.6)."""
    return variance_scaling(1.0, "fan_in", "truncated_normal", in_axis, out_axis)


def lecun_uniform(in_axis: int | Sequence[int] = -2, out_axis: int | Sequence[int] = -1) -> Initializer:
    """Uniform numbers of variance 1 / fan_in."""
    return variance_scaling(1.0, "fan_in", "uniform", in_axis, out_axis)


def glorot_normal(in_axis: int | Sequence[int] = -2, out_axis: int | Sequence[int] = -1) -> Initializer:
    """Truncated normals of variance 2 / (fan_in + fan_out) (Glorot, Bengio, AISTATS 2010)."""
    return variance_scaling(1.0, "fan_avg", "truncated_normal", in_axis, out_axis)


def glorot_uniform(in_axis: int | Sequence[int] = -2, out_axis: int | Sequence[int] = -1) -> Initializer:
    """Uniform numbers of variance 2 / (fan_in + fan_out)."""
    return variance_scaling(1.0, "fan_avg", "uniform", in_axis, out_axis)


def he_normal(in_axis: int | Sequence[int] = -2, out_axis: int | Sequence[int] = -1) -> Initializer:
    """Truncated normals of variance 2 / fan_in: keeps the variance through relu (He et al. 2015, section 2.2)."""
    return variance_scaling(2.0, "fan_in", "truncated_normal", in_axis, out_axis)


def he_uniform(in_axis: int | Sequence[int] = -2, out_axis: int | Sequence[int] = -1) -> Initializer:
    """Uniform numbers of variance 2 / fan_in."""
    return variance_scaling(2.0, "fan_in", "uniform", in_axis, out_axis)


def orthogonal(scale: float = 1.0, column_axis: int = -1) -> Initializer:
    """`scale` times a random matrix with orthonormal columns, or rows where those are fewer (Saxe et al., ICLR 2014).

    `column_axis` is its columns, all other axes together its rows. Computed by NumPy: the key must be known.
    """

    def initializer(key: Any, shape: Sequence[int], dtype: Any = "float32") -> Any:
        if isinstance(key, Tracer) or len(shape) < 2:
            raise ValueError(
                f"orthogonal: the key must be known and the shape have at least two axes, got {aval_of(key)} and"
                f" {tuple(shape)}; call init outside of jit"
            )
        columns = shape[column_axis]
        rest = [n for axis, n in enumerate(shape) if axis != column_axis % len(shape)]
        rows = math.prod(rest)
        tall = np.asarray(random.normal(key, (max(rows, columns), min(rows, columns))), np.float64)
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diag(r) < 0, -1, 1)  # else the distribution would not be uniform
        matrix = q if rows >= columns else q.T
        weights = np.moveaxis(matrix.reshape(*rest, columns), -1, column_axis)
        return np.ascontiguousarray(scale * weights, dtype)

    return initializer
