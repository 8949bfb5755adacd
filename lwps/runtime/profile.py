"""Measured seconds of every eqn on every processor, from running the real program there."""

import statistics
import time
from collections.abc import Sequence

import attrs
import numpy as np

from lwps.core import Program, ShapedArray
from lwps.plan import Profile, Run, eqn_key
from lwps.runtime.calibrate import calibrate
from lwps.runtime.compile import compile_program, everywhere
from lwps.runtime.interpreter import Executable
from lwps.runtime.machine import HOST, Machine
from lwps.runtime.memory import Memory, Slot

RUNS = 5
BUDGET_S = 20.0  # of one processor: past it no further run begins, but two are always made


def profile_program(
    program: Program, machine: Machine, memory: Memory, args: Sequence[np.ndarray] | None = None
) -> Profile:
    """Run `program` on each processor alone and time every eqn in place, medians of at least 5 runs.

    `args` are the program's inputs (copied); by default made up by dtype. What the profiling itself adds to
    a step is measured against plain runs and taken off again.
    """
    profilers = profilers_of(program, machine, memory, args)
    for profiler in profilers:
        begin = time.perf_counter()
        while len(profiler.rows) < RUNS and (len(profiler.rows) < 2 or time.perf_counter() - begin < BUDGET_S):
            profiler.measure()
    return profile_from(machine, profilers)


def profilers_of(
    program: Program, machine: Machine, memory: Memory, args: Sequence[np.ndarray] | None = None
) -> list["Profiler"]:
    """A profiler for each processor of `machine`, warmed up."""
    profilers = []
    for p in machine.processors:
        executable = compile_program(program, everywhere(program, machine, p.name), machine, memory)
        profilers.append(Profiler(p.name, executable, input_slots(program, memory, args)))
        executable.run(profilers[-1].slots)
        executable.timed_run(profilers[-1].slots)
    return profilers


def profile_from(machine: Machine, profilers: Sequence["Profiler"]) -> Profile:
    """What the profilers have measured so far."""
    host_s, handovers = calibrate(machine)
    seconds: dict[str, dict[str, float]] = {}
    for profiler in profilers:
        for key, value in profiler.seconds().items():
            seconds.setdefault(key, {})[profiler.processor] = value
    return Profile(machine.describe(), machine.memory, machine.names, seconds, host_s, handovers)


@attrs.define(eq=False)
class Profiler:
    """A program on one processor, timed run by run: eqns on profiling queues, whole steps without."""

    processor: str
    executable: Executable
    slots: list[Slot]
    plain: list[float] = attrs.Factory(list)
    timed: list[float] = attrs.Factory(list)
    rows: list[list[float]] = attrs.Factory(list)

    def measure(self) -> None:
        """One run of each kind."""
        start = time.perf_counter()
        self.executable.run(self.slots)
        self.plain.append(time.perf_counter() - start)
        _, seconds, step_s = self.executable.timed_run(self.slots)
        self.rows.append(seconds)
        self.timed.append(step_s)

    def forget(self) -> None:
        """Begin anew."""
        for samples in (self.plain, self.timed, self.rows):
            samples.clear()

    def seconds(self) -> dict[str, float]:
        """Median seconds of what ran on this processor, by eqn key; the mean where several eqns have one key."""
        medians = np.median(np.array(self.rows), axis=0)
        overhead_s = statistics.median(self.timed) - statistics.median(self.plain)
        return _per_key(self.executable, self.processor, medians, overhead_s)


def input_slots(program: Program, memory: Memory, args: Sequence[np.ndarray] | None = None) -> list[Slot]:
    """A slot for each input, filled with `args` or with made-up values."""
    values = [_made_up(v.aval, k) for k, v in enumerate(program.inputs)] if args is None else args
    return [memory.filled(v.aval, x) for v, x in zip(program.inputs, values, strict=True)]


def _made_up(aval: ShapedArray, seed: int) -> np.ndarray:
    """Numbers as they occur in training: small floats around 0, zeros for anything else."""
    if aval.dtype.kind != "f":
        return np.zeros(aval.shape, aval.dtype)
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(aval.shape, np.float32) * 0.05).astype(aval.dtype)


def _per_key(executable: Executable, processor: str, seconds: np.ndarray, overhead_s: float) -> dict[str, float]:
    """Means over the eqns of one key; `overhead_s` is shared by the enqueued ones."""
    program, instructions = executable.lowered.program, executable.lowered.instructions
    runs = [(at, i) for at, i in enumerate(instructions) if isinstance(i, Run)]
    enqueued = sum(i.processor != HOST for _, i in runs)
    each = max(overhead_s, 0.0) / enqueued if enqueued else 0.0
    rows: dict[str, list[float]] = {}
    for at, i in runs:
        if i.processor == processor:
            measured = float(seconds[at])
            own = measured if processor == HOST else max(measured - each, measured / 2)
            rows.setdefault(eqn_key(program.eqns[i.eqn]), []).append(own)
    return {key: statistics.fmean(values) for key, values in rows.items()}
