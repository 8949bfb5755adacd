"""Arrays in parts along one axis: slices side by side."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.ops import shape
from lwps.ops.concatenate import concatenate
from lwps.ops.custom import custom_vjp
from lwps.ops.elementwise import known_array, not_equal, sub
from lwps.ops.indexing import getitem


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Equal parts of `x`, so many, along `axis`; or the parts between these indices."""
    x = known_array(x, "split")
    (axis,) = shape.positions("split", (axis,), x.ndim)
    n = x.shape[axis]
    if isinstance(indices_or_sections, int) and (indices_or_sections < 1 or n % indices_or_sections):
        raise ValueError(
            f"split: {n} elements must be cut into equal parts, got {indices_or_sections}; use array_split"
        )
    return array_split(x, indices_or_sections, axis)


def array_split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """As `split`, but the first parts may be longer by one element."""
    x = known_array(x, "array_split")
    (axis,) = shape.positions("array_split", (axis,), x.ndim)
    n = x.shape[axis]
    if isinstance(indices_or_sections, int | np.integer):
        count = int(indices_or_sections)
        if count < 1:
            raise ValueError(f"array_split: there must be at least one part, got {count}")
        bounds = [k * (n // count) + min(k, n % count) for k in range(count + 1)]
    else:
        bounds = [0, *(int(k) for k in indices_or_sections), n]
    if x.dtype.kind != "f" or bounds != sorted(bounds):
        return _parts(x, bounds, axis)
    # the cotangents put together again: by the slices' own rule each would be padded to the whole, and all added up
    parts = custom_vjp(lambda x: _parts(x, bounds, axis))
    parts.defvjp(lambda x: (_parts(x, bounds, axis), ()), lambda _, cts: (concatenate(cts, axis),))
    return parts(x)


def _parts(x: Any, bounds: Sequence[int], axis: int) -> list[Any]:
    before = (slice(None),) * axis
    return [getitem(x, (*before, slice(a, b))) for a, b in itertools.pairwise(bounds)]


def diff(x: Any, n: int = 1, axis: int = -1) -> Any:
    """Each element less the one before it along `axis`, `n` times over; for bool, whether they differ."""
    x = known_array(x, "diff")
    (axis,) = shape.positions("diff", (axis,), x.ndim)
    if n < 0:
        raise ValueError(f"diff: n must be at least 0, got {n}")
    before, op = (slice(None),) * axis, not_equal if x.dtype.kind == "b" else sub
    for _ in range(n):
        x = op(getitem(x, (*before, slice(1, None))), getitem(x, (*before, slice(None, -1))))
    return x
