"""The order in which training examples come: a function of numbers, so that a position is a number too.

Batch `step` of size `size` belongs to epoch `step // per_epoch`; each epoch has an order of its own. The order comes
from the raw bits of PCG64 seeded with (seed, epoch), which NumPy keeps the same from version to version (as it
does not for `Generator.permutation`).
"""

import functools

import numpy as np


@functools.lru_cache(maxsize=2)  # every step of an epoch asks for the same one
def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of 0 to `count` - 1 that depends on nothing but these numbers; read-only."""
    positions = np.argsort(_bits(seed, epoch, count), kind="stable")
    positions.flags.writeable = False
    return positions


def shift(below: int, seed: int, epoch: int) -> int:
    """A number from 0 to `below` - 1 that depends on nothing but these numbers, and not on what `order` draws."""
    return int(_bits(seed, epoch, 1, stream=1)[0] % np.uint64(below))


def _bits(seed: int, epoch: int, count: int, stream: int = 0) -> np.ndarray:
    return np.random.PCG64(np.random.SeedSequence((seed, epoch, stream))).random_raw(count)


def rows(count: int, step: int, size: int, seed: int) -> np.ndarray:
    """The positions of the examples of batch `step`: what is left of an epoch for less than a batch is dropped."""
    if not 1 <= size <= count:
        raise ValueError(f"batch: the size must be from 1 to the {count} training examples, got {size}")
    per_epoch = count // size
    epoch, k = divmod(step, per_epoch)
    return order(count, seed, epoch)[k * size : (k + 1) * size]
