"""What one step does, in order and to which bytes: schedule, memory plan, instructions."""

import functools
from collections.abc import Mapping
from typing import ClassVar

import attrs


@attrs.frozen
class Range:
    """Bytes `start` to `stop` of a space (`arena0@shared`, `slot3@cpu`) and the value they hold there."""

    space: str
    start: int
    stop: int
    value: int


@attrs.frozen
class Run:
    """Run eqn number `eqn`: at once on the host, enqueued on an OpenCL processor."""

    eqn: int
    processor: str
    reads: tuple[Range, ...]
    writes: tuple[Range, ...]


@attrs.frozen
class Copy:
    """Enqueue on `processor`'s queue a copy of a value to another space."""

    processor: str
    reads: tuple[Range, ...]
    writes: tuple[Range, ...]


@attrs.frozen
class Map:
    """Enqueue on `processor`'s queue that the host gets hold of a range: to `read`, to `write` anew, or `both`."""

    processor: str
    range: Range
    mode: str = attrs.field(validator=attrs.validators.in_(("read", "write", "both")))

    reads: ClassVar[tuple[Range, ...]] = ()

    @property
    def writes(self) -> tuple[Range, ...]:
        return (self.range,)  # nobody may be at the bytes meanwhile


@attrs.frozen
class Unmap:
    """Enqueue on `processor`'s queue that the devices get a mapped range back."""

    processor: str
    range: Range

    reads: ClassVar[tuple[Range, ...]] = ()

    @property
    def writes(self) -> tuple[Range, ...]:
        return (self.range,)


@attrs.frozen
class Wait:
    """The host waits until instruction number `upto`, and all before it on that queue, has ended."""

    processor: str
    upto: int


@attrs.frozen
class Flush:
    """What was enqueued on `processor` begins without waiting for more."""

    processor: str


Touching = Run | Copy | Map | Unmap  # instructions that touch bytes
Instruction = Touching | Wait | Flush


@attrs.frozen
class Schedule:
    """The order in which eqns are started: positions in the program."""

    order: tuple[int, ...]


@attrs.frozen
class MemoryPlan:
    """Where values live: (value, space family) -> (chunk, offset) in bytes, and the size of each chunk.

    A value is the number of its storage. A space family is `shared`, or a processor's name
    where memory is not shared. Scratch of eqn `k` has the value `-1 - k * 64 - i`.
    """

    places: Mapping[tuple[int, str], tuple[int, int]]
    chunks: Mapping[str, tuple[int, ...]]
    peak_live: Mapping[str, int]

    @functools.cached_property
    def nbytes(self) -> int:
        return sum(sum(sizes) for sizes in self.chunks.values())
