"""Where ranges are mapped: which side holds bytes that host and devices share, but not at the same time.

At rest the devices hold them. For each stretch in which the host touches a range there is one map, enqueued right
behind what it must come after and not where it is needed (on an in-order queue it would stand behind all that was
enqueued since), and one unmap right behind the host's last touch.
"""

from collections.abc import Iterator, Sequence

import attrs

from lwps.plan import Map, Range, Run, Unmap
from lwps.transforms.memory import HOST, SHARED

START = -1  # stands for the place before the first run


@attrs.frozen
class Touch:
    """An access of run number `at` to one range."""

    at: int
    on_host: bool
    reads: bool
    writes: bool
    queue: str
    range: Range


@attrs.define
class _Stretch:
    """Touches of the host that one mapping serves: `behind` which run it may be enqueued, and where it ends."""

    mode: str
    behind: int
    last: int
    range: Range
    seen_by_device: bool = False  # devices have read the range meanwhile, as they may while it is mapped to be read


def mappings(runs: Sequence[Run], default_queue: str) -> dict[int, list[Map | Unmap]]:
    """The maps and unmaps to enqueue behind each run (START: before the first), unmaps first."""
    touches = list(_touches(runs))
    by_range: dict[tuple[str, int, int], list[Touch]] = {}
    by_space: dict[str, list[Touch]] = {}
    for touch in touches:
        key = touch.range.space, touch.range.start, touch.range.stop
        by_range.setdefault(key, []).append(touch)
        by_space.setdefault(touch.range.space, []).append(touch)
    unmaps: dict[int, list[Unmap]] = {}
    maps: dict[int, list[Map]] = {}
    for row in by_range.values():
        queue = next((t.queue for t in row if not t.on_host), default_queue)
        for stretch in _stretches(row, by_space[row[0].range.space]):
            maps.setdefault(stretch.behind, []).append(Map(queue, stretch.range, stretch.mode))
            unmaps.setdefault(stretch.last, []).append(Unmap(queue, stretch.range))
    return {at: [*unmaps.get(at, ()), *maps.get(at, ())] for at in {*unmaps, *maps}}


def _touches(runs: Sequence[Run]) -> Iterator[Touch]:
    """Accesses to ranges that can be mapped, in order; what an eqn reads and writes is one touch."""
    for at, run in enumerate(runs):
        read = {(r.space, r.start, r.stop): r for r in run.reads}
        written = {(r.space, r.start, r.stop): r for r in run.writes}
        for key in {**read, **written}:
            space, start, stop = key
            if start < stop and space.endswith(f"@{SHARED}"):
                held = written.get(key) or read[key]
                yield Touch(at, run.processor == HOST, key in read, key in written, run.processor, held)


def _stretches(row: Sequence[Touch], space: Sequence[Touch]) -> Iterator[_Stretch]:
    """The stretches of the host among the touches of one range; `space`: all touches of its space."""
    current: _Stretch | None = None
    by_device = written = ended = START  # the last touch by a device, the last write, the end of the last stretch
    for touch in row:
        anew = touch.writes and not touch.reads
        if current is not None and (anew or _ends(current, touch)):
            yield current
            ended, current = current.last, None
        if touch.on_host:
            if current is None:
                mode = "write" if anew else "both" if touch.writes else "read"
                current = _Stretch(mode, max(ended, written), touch.at, touch.range)
                if anew:
                    current.behind = _last_overlapping(touch, space)
            current.last = touch.at
            if touch.writes and not anew:  # no device may read meanwhile
                current.mode = "both" if current.mode == "read" else current.mode
                current.behind = max(current.behind, by_device)
        else:
            by_device = touch.at
            if current is not None:
                current.seen_by_device = True
        if touch.writes:
            written = touch.at
    if current is not None:
        yield current


def _ends(current: _Stretch, touch: Touch) -> bool:
    """Whether a touch that reads the same value cannot be in the stretch: writing excludes the other side's reading."""
    if touch.on_host:
        return touch.writes and current.seen_by_device
    return touch.writes or current.mode != "read"


def _last_overlapping(touch: Touch, space: Sequence[Touch]) -> int:
    """The last run before `touch` that is at any of its bytes."""
    own = touch.range
    return max(
        (t.at for t in space if t.at < touch.at and t.range.start < own.stop and own.start < t.range.stop),
        default=START,
    )
