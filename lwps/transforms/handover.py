"""From a placed program to instructions: runs, copies, maps, and the waits that their bytes demand.

A hand-over of a value is a wait where memory is coherent, a map or an unmap where one side holds it at a time, and a
copy right behind its writer where each side has bytes of its own.

What is enqueued ahead of a queue is bounded, since drivers kill what waits too long or hang on it.
A wait is put in wherever bytes are touched that another queue may still be using, be it for a
value or because the arena used them before.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs

from lwps.core import Program, Var
from lwps.plan import Copy, Flush, Instruction, MemoryPlan, Placement, Range, Run, Schedule, Touching, Wait
from lwps.transforms.mapping import START, mappings
from lwps.transforms.memory import HOST, SHARED, Values, family, scratch_value

QUEUED_S = 1.0  # of work at most ahead of a queue


def insert_handovers(
    program: Program,
    placement: Placement,
    schedule: Schedule,
    values: Values,
    memory: MemoryPlan,
    in_place: Mapping[int, int],
    scratch_nbytes: Mapping[int, Sequence[int]],
    sharing: str,
    work_s: Callable[[Run], float] = lambda run: 0.0,
) -> tuple[Instruction, ...]:
    """The instruction list of one step; after its last one every queue has been waited for.

    `work_s` is how long a run on a queue may take: before more than QUEUED_S of it is enqueued, the host waits.
    """
    where = _Where(program, values, memory, in_place)
    runs = list(_runs(program, placement, schedule, values, where, scratch_nbytes, sharing))
    emit = _Emitter()
    if sharing == "apart":
        for k in range(len(program.inputs)):  # constants are brought to where they are read once, before the first step
            _copies(emit, where, values, k)
    devices = [p for p in dict.fromkeys(placement.processors) if p not in (None, HOST)]
    mapped = mappings(runs, devices[0] or "") if sharing == "mapped" and devices else {}
    emit.all(mapped.get(START, ()))
    for at, run in enumerate(runs):
        emit.run(run, work_s(run) if run.processor != HOST else 0.0)
        emit.all(mapped.get(at, ()))
        if sharing == "apart":
            for v in program.eqns[run.eqn].outs:
                _copies(emit, where, values, values.number[v])
    emit.finish()
    return tuple(emit.instructions)


def _runs(
    program: Program,
    placement: Placement,
    schedule: Schedule,
    values: Values,
    where: "_Where",
    scratch_nbytes: Mapping[int, Sequence[int]],
    sharing: str,
) -> Iterator[Run]:
    """The eqns in order, with the bytes that they read and write."""
    for k in schedule.order:
        processor = placement.processors[k]
        if processor is None:
            continue
        home = family(processor, sharing)
        eqn = program.eqns[k]
        reads = tuple(dict.fromkeys(where.range(values.number[v], home) for v in eqn.ins))
        outs = tuple(where.range(values.number[v], home) for v in eqn.outs)
        scratch = tuple(where.scratch(k, j, n, home) for j, n in enumerate(scratch_nbytes.get(k, ())))
        yield Run(k, processor, reads, (*outs, *scratch))


def ends(
    program: Program, values: Values, memory: MemoryPlan, in_place: Mapping[int, int]
) -> tuple[list[Range], list[Range]]:
    """What is there when a step begins (inputs, constants), and what must be when it has ended (outputs)."""
    where = _Where(program, values, memory, in_place)

    def homes(variables: Iterable[Var]) -> list[Range]:
        numbers = (values.number[v] for v in variables)
        return [where.range(n, values.spaces[n][0]) for n in numbers]

    numbers = (values.number[v] for v, _ in program.consts)
    consts = [where.range(n, space) for n in numbers for space in values.spaces[n]]
    return [*homes(program.inputs), *consts], homes(program.outputs)


def _copies(emit: "_Emitter", where: "_Where", values: Values, value: int) -> None:
    """Copies of a value from where it is written to the other families that read it."""
    source, *targets = values.homes[value]
    for target in targets:
        source = source if HOST in (source, target) else HOST  # where the values came to before
        queue = target if source == HOST else source
        emit.run(Copy(queue, (where.range(value, source),), (where.range(value, target),)))


@attrs.frozen(eq=False)
class _Where:
    """The bytes of values."""

    program: Program
    values: Values
    memory: MemoryPlan
    in_place: Mapping[int, int]

    def range(self, value: int, home: str) -> Range:
        """The bytes of a value for those who work in family `home`."""
        if self.values.spaces[value] == (SHARED,):
            home = SHARED
        nbytes = self.values.roots[value].aval.nbytes
        slot = self.values.slots.get(value)
        if slot is None:
            chunk, offset = self.memory.places[value, home]
            return Range(f"arena{chunk}@{home}", offset, offset + nbytes, value)
        if slot.startswith("out") and int(slot[3:]) in self.in_place:
            slot = f"in{self.in_place[int(slot[3:])]}"
        return Range(f"{slot}@{home}", 0, nbytes, value)

    def scratch(self, eqn: int, index: int, nbytes: int, home: str) -> Range:
        value = scratch_value(eqn, index)
        chunk, offset = self.memory.places[value, home]
        return Range(f"arena{chunk}@{home}", offset, offset + nbytes, value)


@attrs.define
class _Pending:
    """An access by a queue that the host does not know to have ended."""

    range: Range
    writes: bool
    queue: str
    instruction: int


@attrs.define
class _Emitter:
    instructions: list[Instruction] = attrs.Factory(list)
    pending: list[_Pending] = attrs.Factory(list)
    unflushed: dict[str, None] = attrs.Factory(dict)
    last: dict[str, int] = attrs.Factory(dict)
    queued: dict[str, list[tuple[int, float]]] = attrs.Factory(dict)  # instructions not waited for, and their seconds

    def all(self, instructions: Iterable[Touching]) -> None:
        for instruction in instructions:
            self.run(instruction)

    def run(self, instruction: Touching, work_s: float = 0.0) -> None:
        """Append `instruction`, which keeps its queue at work for so long, behind the waits it needs."""
        queue = instruction.processor
        waits: dict[str, int] = {}
        for p in self.pending:
            if p.queue != queue and _conflict(p, instruction):
                waits[p.queue] = max(waits.get(p.queue, -1), p.instruction)
        for other, upto in waits.items():
            self._wait(other, upto)
        if queue == HOST:
            self._flush()
            self.instructions.append(instruction)
            return
        self._bound(queue, work_s)
        at = len(self.instructions)
        self.instructions.append(instruction)
        self.queued.setdefault(queue, []).append((at, work_s))
        self.unflushed[queue] = None
        self.last[queue] = at
        self._forget_older(instruction, queue)
        self.pending += [_Pending(r, False, queue, at) for r in instruction.reads]
        self.pending += [_Pending(r, True, queue, at) for r in instruction.writes]

    def _bound(self, queue: str, work_s: float) -> None:
        """Before the queue would have more than QUEUED_S ahead of it: wait until that is half of it."""
        row = self.queued.get(queue, [])
        ahead = sum(s for _, s in row) + work_s
        if ahead <= QUEUED_S or not row:
            return
        for at, seconds in row:
            upto, ahead = at, ahead - seconds
            if ahead <= QUEUED_S / 2:
                break
        self._wait(queue, upto)

    def _forget_older(self, instruction: Touching, queue: str) -> None:
        """Same bytes, same queue, later: waiting for the new access covers the old one."""
        written = {(r.space, r.start, r.stop) for r in instruction.writes}
        self.pending = [
            p for p in self.pending if p.queue != queue or (p.range.space, p.range.start, p.range.stop) not in written
        ]

    def _flush(self) -> None:
        for queue in self.unflushed:
            self.instructions.append(Flush(queue))
        self.unflushed.clear()

    def _wait(self, queue: str, upto: int) -> None:
        self.instructions.append(Wait(queue, upto))
        self.unflushed.pop(queue, None)  # waiting flushes
        self.pending = [p for p in self.pending if p.queue != queue or p.instruction > upto]
        self.queued[queue] = [row for row in self.queued.get(queue, ()) if row[0] > upto]

    def finish(self) -> None:
        """Wait for whatever may still run."""
        busy = {p.queue for p in self.pending}
        for queue, upto in self.last.items():
            if queue in busy or not any(isinstance(i, Wait) and i.upto >= upto for i in self.instructions):
                self._wait(queue, upto)


def _conflict(pending: _Pending, instruction: Touching) -> bool:
    mine = instruction.writes if not pending.writes else (*instruction.reads, *instruction.writes)
    return any(
        r.space == pending.range.space and r.start < pending.range.stop and pending.range.start < r.stop for r in mine
    )
