"""Arrays from numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import aval_of, narrow
from lwps.ops.elementwise import astype, full


def sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def zeros(shape: int | Sequence[int], dtype: Any = "float32") -> Any:
    """An array of zeros."""
    return full(sizes(shape), 0, dtype)


def ones(shape: int | Sequence[int], dtype: Any = "float32") -> Any:
    """An array of ones."""
    return full(sizes(shape), 1, dtype)


def full_like(a: Any, fill_value: float) -> Any:
    """An array of the shape and dtype of `a`, filled with a number."""
    aval = aval_of(asarray(a))
    return full(aval.shape, fill_value, aval.dtype)


def ones_like(a: Any) -> Any:
    """Ones of the shape and dtype of `a`."""
    return full_like(a, 1)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None) -> np.ndarray:
    """Evenly spaced known numbers, int32 or float32 by default."""
    first, end = (0, start) if stop is None else (start, stop)
    found = np.arange(first, end, step)
    return found.astype(dtype or ("float32" if found.dtype.kind == "f" else "int32"))


def eye(N: int, dtype: Any = "float32") -> np.ndarray:
    """The identity matrix."""
    return np.eye(N, dtype=dtype)


def asarray(a: Any, dtype: Any = None) -> Any:
    """`a` (an array, a number or nested lists of numbers) as an array."""
    if not hasattr(a, "aval"):
        made = not isinstance(a, np.ndarray | np.generic)
        a = narrow(a, "asarray", floats=made and dtype is None)  # nested lists become float32, as in JAX
    return a if dtype is None else astype(a, dtype)
