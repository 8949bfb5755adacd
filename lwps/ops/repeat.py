"""Arrays made longer by repeating them; what is repeated a known number of times moves in one pass, as a broadcast."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import aval_of
from lwps.ops import shape
from lwps.ops.elementwise import broadcast_to, known_array
from lwps.ops.gather import take


def tile(x: Any, reps: int | Sequence[int]) -> Any:
    """`x` beside itself, `reps` times along each of the last axes; more reps than axes make new ones."""
    x, counts = known_array(x, "tile"), (reps,) if isinstance(reps, int | np.integer) else tuple(reps)
    if not all(isinstance(n, int | np.integer) and n >= 0 for n in counts):
        raise ValueError(f"tile: reps must be integers of at least 0, got {reps!r}")
    sizes = (1,) * (len(counts) - aval_of(x).ndim) + aval_of(x).shape
    counts = (1,) * (len(sizes) - len(counts)) + counts
    apart = shape.reshape(x, [size for n in sizes for size in (1, n)])
    repeated = broadcast_to(apart, [size for pair in zip(counts, sizes, strict=True) for size in pair])
    return shape.reshape(repeated, [c * n for c, n in zip(counts, sizes, strict=True)])


def repeat(x: Any, repeats: int | Sequence[int], axis: int | None = None) -> Any:
    """Each element of `x` `repeats` times along `axis` (flat if it is None), or the k-th of them repeats[k] times.

    `repeats` are known numbers, since the shape of the result depends on them.
    """
    x = known_array(x, "repeat")
    if axis is None:
        x, axis = shape.reshape(x, -1), 0
    (axis,) = shape.positions("repeat", (axis,), aval_of(x).ndim)
    sizes = aval_of(x).shape
    if hasattr(repeats, "aval"):
        raise TypeError(f"repeat: repeats must be known while tracing, got {aval_of(repeats)}; use take with indices")
    counts = np.asarray(repeats, None if np.size(repeats) else int)
    if counts.dtype.kind not in "iu" or counts.min(initial=0) < 0 or counts.shape not in ((), (1,), (sizes[axis],)):
        raise ValueError(
            f"repeat: repeats must be an integer of at least 0 or one for each of {sizes[axis]}, got {repeats!r}"
        )
    if counts.size == 1:
        return _each(x, counts.item(), axis)
    return take(x, np.repeat(np.arange(sizes[axis], dtype=np.int32), counts), axis)


def _each(x: Any, count: int, axis: int) -> Any:
    before, after = x.shape[: axis + 1], x.shape[axis + 1 :]
    repeated = broadcast_to(shape.reshape(x, (*before, 1, *after)), (*before, count, *after))
    return shape.reshape(repeated, (*before[:-1], before[-1] * count, *after))
