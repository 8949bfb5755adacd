"""What ops are called with: arrays of random numbers, each drawn anew for every case."""

from collections.abc import Callable, Sequence

import numpy as np

Draw = Callable[[np.random.Generator], np.ndarray]
Shape = Sequence[int]

SHAPES = ((), (7,), (5, 130), (2, 3, 4))
PAIRS = (((7,), (7,)), ((6, 130), (6, 130)), ((5, 1, 3), (4, 3)), ((), (2, 3)))


def normal(shape: Shape, size: float = 1.0, centre: float = 0.0) -> Draw:
    return lambda rng: np.asarray(centre + size * rng.standard_normal(shape), np.float32)


def between(low: float, high: float) -> Callable[[Shape], Draw]:
    return lambda shape: lambda rng: np.asarray(rng.uniform(low, high, shape), np.float32)


def positive(shape: Shape) -> Draw:
    """Over many magnitudes."""
    return lambda rng: np.asarray(np.exp(3 * rng.standard_normal(shape)), np.float32)


def wide(shape: Shape) -> Draw:
    """Over many magnitudes, of both signs."""
    return lambda rng: np.asarray(np.exp(2 * rng.standard_normal(shape)) * rng.choice((-1, 1), shape), np.float32)


def away_from_0(shape: Shape) -> Draw:
    return lambda rng: np.asarray(rng.uniform(0.2, 3, shape) * rng.choice((-1, 1), shape), np.float32)


def integers(low: int, high: int, dtype: str = "int32") -> Callable[[Shape], Draw]:
    return lambda shape: lambda rng: np.asarray(rng.integers(low, high, shape), dtype)


def with_ties(shape: Shape) -> Draw:
    """Few different numbers."""
    return lambda rng: np.asarray(rng.integers(-2, 3, shape), np.float32)


def truths(shape: Shape) -> Draw:
    return lambda rng: np.asarray(rng.integers(0, 2, shape), bool)


def with_specials(shape: Shape) -> Draw:
    """Some NaN and some infinities."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        x = np.asarray(rng.standard_normal(shape), np.float32)
        return np.where(rng.random(shape) < 0.3, rng.choice((np.nan, np.inf, -np.inf), shape), x).astype(np.float32)

    return draw


def some_nan(shape: Shape) -> Draw:
    """A NaN here and there, not at the beginning of a row."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        x = np.asarray(rng.standard_normal(shape), np.float32)
        holes = rng.random(shape) < 0.2
        holes[(0,) * len(shape)] = False
        return np.where(holes, np.float32(np.nan), x)

    return draw


def halves(shape: Shape) -> Draw:
    """Multiples of a half: every second one lies between two whole numbers."""
    return lambda rng: np.asarray(rng.integers(-9, 10, shape) / 2, np.float32)


def wide_to_30(shape: Shape) -> Draw:
    """Of many magnitudes up to 30, and of both signs."""
    return lambda rng: np.asarray(rng.uniform(-30, 30, shape) * 10.0 ** rng.integers(-5, 1, shape), np.float32)


def distinct(shape: Shape) -> Draw:
    """No two alike, in any order."""
    return lambda rng: np.asarray(rng.permutation(int(np.prod(shape))).reshape(shape) - 3.5, np.float32)


def rows_of_shares(shape: Shape, least: float = 0.0) -> Draw:
    """Weights of classes along the last axis that add up to 1; some are 0, or the least one."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        w = rng.random(shape) * (rng.random(shape) < 0.8) + least
        w[..., 0] += 0.1
        return (w / w.sum(-1, keepdims=True)).astype(np.float32)

    return draw
