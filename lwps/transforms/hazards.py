"""Proof that an instruction list is free of races, and that every read finds the value it wants.

The model: the host does its instructions one after another; a queue does what is enqueued on it
in order; an enqueued instruction begins after the host enqueued it; a Wait makes all that was
enqueued up to its target happen before what the host does next. Nothing else orders anything.

Where memory is mapped, ranges belong to the devices but between a map and its unmap; whoever touches bytes must hold
them then. A range mapped to be read may be read by devices too.
"""

from collections.abc import Sequence

import numpy as np

from lwps.plan import Copy, Flush, Instruction, Map, Range, Run, Touching, Unmap, Wait
from lwps.transforms.memory import HOST, SHARED


class HazardError(RuntimeError):
    """Two instructions touch the same bytes with a write and no order between them, or a read finds another value."""


def prove(
    instructions: Sequence[Instruction],
    names: Sequence[str],
    before: Sequence[Range] = (),
    after: Sequence[Range] = (),
    *,
    mapped: bool = False,
) -> None:
    """Raise HazardError unless the list, run twice in a row, is free of races and stale reads.

    `names[k]` is the name of eqn `k`; `before` the inputs and constants that are there when the step begins, and
    `after` the outputs that must be there when it has ended. `mapped`: whether bytes have one holder at a time.
    """
    twice = [*instructions, *(_shifted(i, len(instructions)) for i in instructions)]
    _prove_order(twice, names)
    _prove_contents(instructions, names, before, after)
    if mapped:
        _prove_holders(instructions, names)


def _shifted(instruction: Instruction, n: int) -> Instruction:
    return Wait(instruction.processor, instruction.upto + n) if isinstance(instruction, Wait) else instruction


def _prove_order(instructions: Sequence[Instruction], names: Sequence[str]) -> None:
    """Vector clocks over the lanes; every pair of conflicting accesses must be ordered."""
    lanes = {HOST: 0}
    for i in instructions:
        if isinstance(i, Touching):
            lanes.setdefault(i.processor, len(lanes))
    spaces: dict[str, int] = {}
    clocks = {lane: np.zeros(len(lanes), np.int64) for lane in lanes}
    ended: dict[int, np.ndarray] = {}  # instruction -> its clock when it has ended
    log = _AccessLog(len(instructions) * 8)
    for at, instruction in enumerate(instructions):
        if isinstance(instruction, Flush):
            continue
        if isinstance(instruction, Wait):
            if instruction.upto not in ended or instruction.upto >= at:
                raise HazardError(f"hazards: a wait must be for an instruction before it, got {instruction} at {at}")
            clocks[HOST] = np.maximum(clocks[HOST], ended[instruction.upto])
            continue
        lane = instruction.processor
        clock = np.maximum(clocks[lane], clocks[HOST])
        clock[lanes[lane]] += 1
        clocks[lane] = ended[at] = clock
        for r, writes in [*((r, False) for r in instruction.reads), *((r, True) for r in instruction.writes)]:
            space = spaces.setdefault(r.space, len(spaces))
            other = log.unordered(space, r, writes, clock, at)
            if other is not None:
                raise HazardError(
                    f"hazards: {_name(instruction, names)} and {_name(instructions[other], names)} must be ordered,"
                    f" got none between their accesses to bytes {r.start} to {r.stop} of {r.space}"
                )
            log.add(space, r, writes, lanes[lane], int(clock[lanes[lane]]), at)
    for lane, k in lanes.items():
        if clocks[lane][k] > clocks[HOST][k]:
            raise HazardError(f"hazards: the step must end after {lane} has, got no wait for its last instruction")


class _AccessLog:
    """All accesses so far, as columns: space, start, stop, writes, lane, its lane's time, instruction."""

    def __init__(self, size: int) -> None:
        self.rows = np.zeros((7, max(size, 16)), np.int64)
        self.n = 0

    def add(self, space: int, r: Range, writes: bool, lane: int, time: int, at: int) -> None:
        if self.n == self.rows.shape[1]:
            self.rows = np.concatenate([self.rows, np.zeros_like(self.rows)], axis=1)
        self.rows[:, self.n] = space, r.start, r.stop, writes, lane, time, at
        self.n += 1

    def unordered(self, space: int, r: Range, writes: bool, clock: np.ndarray, at: int) -> int | None:
        """An earlier instruction with a conflicting access that `clock` does not cover."""
        s, start, stop, wrote, lane, time, who = self.rows[:, : self.n]
        conflict = (s == space) & (start < r.stop) & (r.start < stop) & (who != at) & ((wrote == 1) | writes)
        races = conflict & (time > clock[lane])
        return int(who[np.flatnonzero(races)[0]]) if races.any() else None


def _prove_contents(
    instructions: Sequence[Instruction], names: Sequence[str], before: Sequence[Range], after: Sequence[Range]
) -> None:
    """In list order, every read must find the whole of its value, written there and not over since."""
    held: dict[str, list[Range]] = {r.space: [r] for r in before}
    for instruction in instructions:
        if isinstance(instruction, Map) and instruction.mode == "write":
            _overwrite(held, instruction.range)
        if not isinstance(instruction, Run | Copy):
            continue
        for r in instruction.reads:
            if r.start == r.stop:
                continue
            if r not in held.get(r.space, ()):
                raise HazardError(
                    f"hazards: {_name(instruction, names)} must find value {r.value} in bytes {r.start} to {r.stop}"
                    f" of {r.space}, got {_found(held.get(r.space, []), r)}"
                )
        for w in instruction.writes:
            _overwrite(held, w)
            held[w.space].append(w)
    for r in after:
        if r.start != r.stop and r not in held.get(r.space, ()):
            raise HazardError(
                f"hazards: the step must end with output value {r.value} in {r.space},"
                f" got {_found(held.get(r.space, []), r)}"
            )


def _overwrite(held: dict[str, list[Range]], w: Range) -> None:
    held[w.space] = [h for h in held.get(w.space, []) if not _overlap(h, w)]


def _overlap(a: Range, b: Range) -> bool:
    return a.space == b.space and a.start < b.stop and b.start < a.stop


def _prove_holders(instructions: Sequence[Instruction], names: Sequence[str]) -> None:
    """In list order, which is that of enqueueing: the host touches what it has mapped, devices what it has not."""
    mapped: list[Map] = []
    for instruction in instructions:
        if isinstance(instruction, Map):
            mapped = _mapped_more(mapped, instruction)
        elif isinstance(instruction, Unmap):
            if not any(m.range == instruction.range for m in mapped):
                raise HazardError(f"hazards: what is unmapped must be mapped, got {instruction}")
            mapped = [m for m in mapped if m.range != instruction.range]
        elif isinstance(instruction, Run):
            touched = [(r, False) for r in instruction.reads] + [(r, True) for r in instruction.writes]
            for r, writes in touched:
                if r.start < r.stop and r.space.endswith(f"@{SHARED}"):
                    _check_holder(mapped, instruction, r, writes, names)
    if mapped:
        raise HazardError(f"hazards: the step must end with nothing mapped, got {mapped[0]}")


def _mapped_more(mapped: Sequence[Map], new: Map) -> list[Map]:
    for m in mapped:
        if _overlap(m.range, new.range):
            raise HazardError(f"hazards: what is mapped must not be mapped already, got {m} and {new}")
    return [*mapped, new]


def _check_holder(mapped: Sequence[Map], run: Run, r: Range, writes: bool, names: Sequence[str]) -> None:
    over = [m for m in mapped if _overlap(m.range, r)]
    if run.processor == HOST:
        enough = [m for m in over if not (writes and m.mode == "read")]
        held = any(m.range.start <= r.start and r.stop <= m.range.stop for m in enough)
        wanted = "mapped to be written" if writes else "mapped"
    else:
        held = not over or (not writes and all(m.mode == "read" for m in over))
        wanted = "not mapped" if writes else "not mapped to be written"
    if not held:
        raise HazardError(
            f"hazards: {_name(run, names)} must find bytes {r.start} to {r.stop} of {r.space} {wanted},"
            f" got {', '.join(m.mode for m in over) or 'no mapping'}"
        )


def _found(held: Sequence[Range], r: Range) -> str:
    over = [f"value {h.value} in {h.start} to {h.stop}" for h in held if h.start < r.stop and r.start < h.stop]
    return ", ".join(over) or "nothing written there"


def _name(instruction: Instruction, names: Sequence[str]) -> str:
    if isinstance(instruction, Run):
        return f"{names[instruction.eqn]} on {instruction.processor}"
    if isinstance(instruction, Copy | Map | Unmap):
        what = type(instruction).__name__.lower()
        return f"the {what} of value {instruction.writes[0].value} on {instruction.processor}"
    return str(instruction)
