"""Arrays from numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import aval_of, narrow
from lwps.ops.elementwise import astype, broadcast_to
from lwps.ops.elementwise import full as filled

_DTYPES = {bool: "bool", int: "int32", float: "float32"}  # of Python numbers


def sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def zeros(shape: int | Sequence[int], dtype: Any = "float32") -> Any:
    """An array of zeros."""
    return filled(sizes(shape), 0, dtype)


def ones(shape: int | Sequence[int], dtype: Any = "float32") -> Any:
    """An array of ones."""
    return filled(sizes(shape), 1, dtype)


def full(shape: int | Sequence[int], fill_value: Any, dtype: Any = None) -> Any:
    """An array filled with a number, by default as int32, float32 or bool, or with an array that broadcasts to it."""
    if isinstance(fill_value, bool | int | float):
        return filled(sizes(shape), fill_value, dtype or _DTYPES[type(fill_value)])
    return broadcast_to(asarray(fill_value, dtype), sizes(shape))


def zeros_like(a: Any, dtype: Any = None) -> Any:
    """Zeros of the shape of `a`, and of its dtype unless another is given."""
    return full_like(a, 0, dtype)


def ones_like(a: Any, dtype: Any = None) -> Any:
    """Ones of the shape of `a`, and of its dtype unless another is given."""
    return full_like(a, 1, dtype)


def full_like(a: Any, fill_value: float, dtype: Any = None) -> Any:
    """An array of the shape of `a` filled with a number, of its dtype unless another is given."""
    aval = aval_of(asarray(a))
    return filled(aval.shape, fill_value, dtype or aval.dtype)


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None) -> np.ndarray:
    """Evenly spaced known numbers, int32 or float32 by default."""
    first, end = (0, start) if stop is None else (start, stop)
    found = np.arange(first, end, step)
    return found.astype(dtype or ("float32" if found.dtype.kind == "f" else "int32"))


def linspace(start: float, stop: float, num: int = 50, endpoint: bool = True, dtype: Any = "float32") -> np.ndarray:
    """`num` known numbers, evenly spaced from `start` to `stop`; without `endpoint` up to before it."""
    return np.linspace(start, stop, num, endpoint, dtype=dtype)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = "float32") -> np.ndarray:
    """Ones on diagonal `k` of N rows of M (by default N) elements, zeros elsewhere."""
    return np.eye(N, M, k, dtype)


def identity(n: int, dtype: Any = "float32") -> np.ndarray:
    """The identity matrix."""
    return np.eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = "float32") -> np.ndarray:
    """Ones on diagonal `k` and below of N rows of M (by default N) elements, zeros above."""
    return np.tri(N, M, k, dtype)


def asarray(a: Any, dtype: Any = None) -> Any:
    """`a` (an array, a number or nested lists of numbers) as an array."""
    if not hasattr(a, "aval"):
        made = not isinstance(a, np.ndarray | np.generic)
        a = narrow(a, "asarray", floats=made and dtype is None)  # nested lists become float32, as in JAX
    return a if dtype is None else astype(a, dtype)
