"""NumPy rules that need temporaries: a block at a time, so that they stay small and in the cache."""

from collections.abc import Callable
from typing import Any

import numpy as np

BLOCK = 1 << 14  # elements


def in_blocks(rule: Callable[..., None]) -> Callable[..., None]:
    """`rule(out, *ins, **params)` on flat blocks, called as NumPy's ufuncs are: `(*ins, out=out, **params)`."""

    def numpy(*ins: np.ndarray, out: np.ndarray, **params: Any) -> None:
        flat, flat_ins = out.reshape(-1), [np.broadcast_to(x, out.shape).reshape(-1) for x in ins]
        for start in range(0, flat.size, BLOCK):
            rows = slice(start, start + BLOCK)
            rule(flat[rows], *(x[rows] for x in flat_ins), **params)

    return numpy
