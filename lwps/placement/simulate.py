"""The predicted step time: an event simulator that walks an instruction list as host and queues would.

The host takes instructions in order. What it runs itself moves its clock; what it enqueues costs it the start and
begins when host and queue have both come that far; a wait moves its clock to the end of what it waits for. Of mapped
memory the bytes are charged when a value changes hands (the map to read it, the unmap after writing it), the latency
with the wait.
"""

from collections.abc import Mapping, Sequence

import attrs

from lwps.core import Program
from lwps.placement.costs import HOST
from lwps.plan import Copy, Instruction, Map, Profile, Range, Run, Unmap, Wait


@attrs.frozen
class Simulation:
    """Seconds of one step; how long each processor is at work in it; and what copies and waits take."""

    step_s: float
    busy_s: Mapping[str, float]
    handover_s: float


@attrs.define
class _Clocks:
    host_s: float = 0.0
    queue_s: dict[str, float] = attrs.Factory(dict)  # when a queue will have done all it was given
    end_s: dict[int, float] = attrs.Factory(dict)  # of each enqueued instruction
    busy_s: dict[str, float] = attrs.Factory(dict)
    handover_s: float = 0.0

    def run_on_host(self, seconds: float) -> None:
        self.host_s += seconds
        self.busy_s[HOST] = self.busy_s.get(HOST, 0.0) + seconds

    def enqueue(self, number: int, queue: str, start_s: float, seconds: float) -> None:
        self.run_on_host(start_s)
        begin = max(self.host_s, self.queue_s.get(queue, 0.0))
        self.end_s[number] = self.queue_s[queue] = begin + seconds
        self.busy_s[queue] = self.busy_s.get(queue, 0.0) + seconds

    def wait(self, upto: int, latency_s: float) -> None:
        self.host_s = max(self.host_s, self.end_s[upto]) + latency_s
        self.handover_s += latency_s


def simulate(program: Program, instructions: Sequence[Instruction], profile: Profile) -> Simulation:
    """What one step through `instructions` is predicted to take, by the seconds in `profile`."""
    clocks = _Clocks()
    for number, instruction in enumerate(instructions):
        if isinstance(instruction, Run):
            _run(clocks, number, instruction, program, profile)
        elif isinstance(instruction, Copy):
            seconds = _copy_s(instruction, profile)
            clocks.enqueue(number, instruction.processor, _start_s(instruction.processor, profile), seconds)
            clocks.handover_s += seconds
        elif isinstance(instruction, Map | Unmap):
            seconds = _mapping_s(instruction, instructions[:number], profile)
            clocks.enqueue(number, instruction.processor, _start_s(instruction.processor, profile), seconds)
            clocks.handover_s += seconds
        elif isinstance(instruction, Wait):
            clocks.wait(instruction.upto, profile.handovers[instruction.processor, HOST].latency_s)
    return Simulation(max([clocks.host_s, *clocks.queue_s.values()]), dict(clocks.busy_s), clocks.handover_s)


def _run(clocks: _Clocks, number: int, run: Run, program: Program, profile: Profile) -> None:
    seconds = profile.eqn_s(program.eqns[run.eqn], run.processor)
    start_s = _start_s(run.processor, profile)
    if run.processor == HOST:
        clocks.run_on_host(start_s + seconds)
    else:
        clocks.enqueue(number, run.processor, start_s, seconds)


def _start_s(processor: str, profile: Profile) -> float:
    return profile.host_s.get(processor, 0.0)


def _copy_s(copy: Copy, profile: Profile) -> float:
    """Seconds of a copy, by the spaces it goes between and its bytes."""
    nbytes = sum(r.stop - r.start for r in copy.reads)
    return profile.handover_s(_memory(copy.reads[0]), _memory(copy.writes[0]), nbytes)


def _mapping_s(instruction: Map | Unmap, before: Sequence[Instruction], profile: Profile) -> float:
    """Seconds for the bytes that change hands with a map or an unmap."""
    nbytes = instruction.range.stop - instruction.range.start
    queue = instruction.processor
    if isinstance(instruction, Map):
        return 0.0 if instruction.mode == "write" else nbytes * profile.handovers[queue, HOST].s_per_byte
    own = next(i for i in reversed(before) if isinstance(i, Map) and i.range == instruction.range)
    return 0.0 if own.mode == "read" else nbytes * profile.handovers[HOST, queue].s_per_byte


def _memory(place: Range) -> str:
    """The processor whose memory a range lies in: `cpu` of `arena0@cpu`."""
    return place.space.rpartition("@")[2]
