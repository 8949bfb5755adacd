"""How the windows of convolutions and pools are written: one number for both axes, or one for each."""

from collections.abc import Iterator, Sequence
from typing import Any

Padding = str | int | Sequence[Sequence[int]]
LinePadding = str | int | Sequence[int]


def pair(op: str, name: str, value: int | Sequence[int]) -> tuple[int, int]:
    """(height, width), each at least 1; one number stands for both."""
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2 or not all(isinstance(n, int) and n >= 1 for n in both):
        raise ValueError(f"{op}: {name} must be a number of at least 1 or two of them, got {value!r}")
    return both[0], both[1]


def pairs(op: str, **values: int | Sequence[int]) -> Iterator[tuple[int, int]]:
    """A `pair` of each, by its name."""
    return (pair(op, name, value) for name, value in values.items())


def sides(padding: Padding) -> Any:
    """((top, bottom), (left, right)), or the name of a rule as it is; one number stands for all four."""
    return ((padding, padding), (padding, padding)) if isinstance(padding, int) else padding


def ends(padding: LinePadding) -> Any:
    """(before, behind), or the name of a rule as it is; one number stands for both."""
    return (padding, padding) if isinstance(padding, int) else padding
