"""Step times of a model under several placements, measured in turn in one run."""

import statistics
from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np

from lwps.api import memory_of
from lwps.autoplace import choose, measure
from lwps.core import Program
from lwps.placement import cost_table, place, simulate
from lwps.plan import Placement, Plan, Profile
from lwps.planning import elsewhere, fit
from lwps.report.subject import Subject
from lwps.runtime.compile import compile_program, everywhere
from lwps.runtime.interpreter import Executable
from lwps.runtime.machine import Machine
from lwps.runtime.profile import RUNS, profile_from, profilers_of
from lwps.transforms.optimize import optimize

ROUNDS = 11
PLAN = "plan"  # the name of the row of a plan


@attrs.frozen
class StepTime:
    """Seconds of one step over the rounds."""

    median: float
    min: float
    max: float
    runs: int


@attrs.frozen
class BenchRow:
    """One model, batch and placement. `paired` is the median over rounds of its time by the best single processor's."""

    model: str
    batch: int
    image_size: int  # pixels a side; of a text the characters seen at once
    placement: str
    predicted_s: float
    objective_s: float
    step_s: StepTime
    paired: float
    images_per_s: float
    peak_bytes: int
    handovers: int
    eqns: Mapping[str, int]


@attrs.frozen(eq=False)
class _Contender:
    """One placement in the race; its program is another one where a plan's pins cut chains of eqns."""

    name: str
    executable: Executable

    @property
    def program(self) -> Program:
        return self.executable.lowered.program

    @property
    def placement(self) -> Placement:
        return self.executable.lowered.placement


def bench(
    subject: Subject,
    placements: Sequence[str],
    machine: Machine,
    rounds: int = ROUNDS,
    plan: Plan | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[BenchRow]:
    """A row for every placement, and one for `plan`, measured round-robin at least `rounds` times.

    Placements come from a profile taken before. Predictions come from one taken in the same rounds as the
    measurements, so that a machine whose speed drifts is compared with itself; `objective_s` is that of planning.
    """
    report(f"{subject.model}, batch {subject.batch}: profiling")
    traced, arrays = subject.trace()
    memory = memory_of(machine)
    planned = [(PLAN, *fit(plan, traced, elsewhere(plan, machine.describe(), machine.memory)))] if plan else []
    programs = {p.fingerprint: p for p in (optimize(traced), *(program for _, program, _ in planned))}
    profilers = [x for program in programs.values() for x in profilers_of(program, machine, memory, arrays)]
    for profiler in profilers * RUNS:
        profiler.measure()
    profile = profile_from(machine, profilers)
    program = optimize(traced)
    rows = [(name, program, _placement(name, program, profile, machine, arrays)) for name in placements]
    contenders = _compiled([*rows, *planned], machine)
    distinct = len({id(c.executable) for c in contenders})
    report(f"{subject.model}, batch {subject.batch}: measuring {distinct} distinct placements, {rounds} rounds")
    for profiler in profilers:
        profiler.forget()

    def profile_again() -> None:
        for profiler in profilers:
            profiler.measure()

    samples = measure(
        {c.name: c.executable for c in contenders},
        arrays,
        rounds=max(rounds, ROUNDS),
        budget_s=float("inf"),
        drop=False,
        between=profile_again,
    )
    meanwhile = profile_from(machine, profilers)
    singles = [samples[p] for p in placements if p in machine.names] or list(samples.values())
    best = min(singles, key=statistics.median)
    return [_row(subject, c, samples[c.name], best, profile, meanwhile) for c in contenders]


def _compiled(rows: Sequence[tuple[str, Program, Placement]], machine: Machine) -> list[_Contender]:
    """An executable for each; equal placements of one program share it, and so share their samples."""
    made: dict[tuple[str, tuple[str | None, ...]], Executable] = {}
    contenders = []
    for name, program, placement in rows:
        key = program.fingerprint, placement.processors
        if key not in made:
            made[key] = compile_program(program, placement, machine, memory_of(machine))
        contenders.append(_Contender(name, made[key]))
    return contenders


def _placement(
    policy: str, program: Program, profile: Profile, machine: Machine, arrays: Sequence[np.ndarray]
) -> Placement:
    if policy == "auto":
        executable, _ = choose(program, machine, memory_of(machine), arrays, profile)
        return executable.lowered.placement
    if policy in machine.names:
        return everywhere(program, machine, policy)
    return place(program, profile, policy)


def _row(
    subject: Subject,
    contender: _Contender,
    sample: Sequence[float],
    best: Sequence[float],
    profile: Profile,
    meanwhile: Profile,
) -> BenchRow:
    step = StepTime(statistics.median(sample), min(sample), max(sample), len(sample))
    costs = cost_table(contender.program, profile)
    processors = contender.placement.processors
    return BenchRow(
        model=subject.model,
        batch=subject.batch,
        image_size=subject.context if subject.of_text else subject.image_size,
        placement=contender.name,
        predicted_s=simulate(contender.program, contender.executable.lowered.instructions, meanwhile).step_s,
        objective_s=costs.objective(processors),
        step_s=step,
        paired=statistics.median(a / b for a, b in zip(sample, best, strict=True)),
        images_per_s=subject.batch / step.median,
        peak_bytes=contender.executable.peak_bytes,
        handovers=costs.handovers(processors),
        eqns=contender.placement.counts(),
    )
