"""Elementwise functions made of several ops."""

from typing import Any

import numpy as np

from lwps.core import aval_of
from lwps.numpy.creation import asarray
from lwps.numpy.reductions import all
from lwps.ops import elementwise
from lwps.ops.elementwise import absolute, add, equal, isfinite, isnan, less_equal, logical_and, logical_or, where
from lwps.ops.elementwise import mul as multiply
from lwps.ops.elementwise import sub as subtract


def clip(a: Any, min: Any = None, max: Any = None) -> Any:
    """`a` with elements below `min` or above `max` set to those; NaN stays."""
    return elementwise.clip(a, min, max)


def positive(x: Any) -> Any:
    """`x` as it is."""
    return asarray(x)


def deg2rad(x: Any) -> Any:
    """Degrees as radians."""
    return multiply(x, np.pi / 180)


def rad2deg(x: Any) -> Any:
    """Radians as degrees."""
    return multiply(x, 180 / np.pi)


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """`x` with numbers for NaN and infinities, by default 0 and the largest and least finite ones."""
    dtype = aval_of(x).dtype
    if dtype.kind != "f":
        return asarray(x)
    limits = np.finfo(dtype)
    x = where(isnan(x), float(nan), x)
    x = where(equal(x, np.inf), float(limits.max if posinf is None else posinf), x)
    return where(equal(x, -np.inf), float(limits.min if neginf is None else neginf), x)


def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether |a - b| is at most atol + rtol |b|, or both are the same infinity; with `equal_nan` also both NaN."""
    a, b = elementwise.promote_floats("isclose", a, b)
    near = less_equal(absolute(subtract(a, b)), add(multiply(absolute(b), rtol), atol))
    found = logical_or(equal(a, b), logical_and(near, isfinite(b)))
    return logical_or(found, logical_and(isnan(a), isnan(b))) if equal_nan else found


def float_power(x1: Any, x2: Any) -> Any:
    """`x1` to the power `x2`, in floats."""
    return elementwise.power(*elementwise.promote_floats("float_power", x1, x2))


def array_equal(a1: Any, a2: Any) -> Any:
    """Whether two arrays have one shape and equal elements."""
    same = aval_of(a1).shape == aval_of(a2).shape
    return all(equal(a1, a2)) if same else elementwise.full((), False, "bool")


def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether `isclose` holds for all elements."""
    return all(isclose(a, b, rtol, atol, equal_nan))
