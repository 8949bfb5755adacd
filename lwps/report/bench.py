"""Step times of a model under several placements, measured in turn in one run."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from lwps import optim, random, tracing
from lwps.api import memory_of
from lwps.autoplace import choose, measure
from lwps.core import Program, ShapedArray
from lwps.nn import Layer
from lwps.placement import cost_table, place, simulate
from lwps.plan import Placement, Profile
from lwps.runtime.compile import compile_program, everywhere
from lwps.runtime.machine import Machine
from lwps.runtime.profile import RUNS, Profiler, profile_from, profilers_of
from lwps.train import train_step_of
from lwps.transforms.optimize import optimize

ROUNDS = 11


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
    image_size: int
    placement: str
    predicted_s: float
    objective_s: float
    step_s: StepTime
    paired: float
    images_per_s: float
    peak_bytes: int
    handovers: int
    eqns: dict[str, int]


def training_program(model: Layer, shape: tuple[int, int, int, int], seed: int = 0) -> tuple[Program, list[np.ndarray]]:
    """The optimized program of a training step on images of `shape` (N, H, W, C), and made-up inputs for it."""
    params, state, logits = model.init(random.key(seed), ShapedArray(shape, "float32"))

    def optimizer(lr: Any) -> Any:
        return optim.sgd(lr, 0.9, 5e-4)

    rng = np.random.default_rng(seed)
    images = rng.standard_normal(shape, np.float32)
    labels = rng.integers(0, logits.shape[-1], shape[0], np.int32)
    args = (params, state, optimizer(0.01).init(params), images, labels, np.float32(1e-4))
    program = optimize(tracing.trace(train_step_of(model, optimizer), *args, donate_argnums=(0, 1, 2)))
    return program, [np.asarray(x) for x in tracing.flatten(args)[0]]


def bench(
    name: str,
    model: Layer,
    batches: Sequence[int],
    image_size: int,
    channels: int,
    placements: Sequence[str],
    machine: Machine,
    rounds: int = ROUNDS,
    report: Callable[[str], None] = lambda line: None,
) -> list[BenchRow]:
    """A row for every batch size and placement, measured round-robin at least `rounds` times.

    Placements come from a profile taken before. Predictions come from one taken in the same rounds as the
    measurements, so that a machine whose speed drifts is compared with itself; `objective_s` is that of planning.
    """
    rows = []
    for batch in batches:
        report(f"{name}, batch {batch}: profiling")
        program, arrays = training_program(model, (batch, image_size, image_size, channels))
        memory = memory_of(machine)
        profilers = profilers_of(program, machine, memory, arrays)
        for profiler in profilers * RUNS:
            profiler.measure()
        profile = profile_from(machine, profilers)
        chosen = {p: _placement(p, program, profile, machine, arrays) for p in placements}
        executables, shared = {}, {}
        for p, placement in chosen.items():
            if placement.processors not in shared:
                shared[placement.processors] = compile_program(program, placement, machine, memory)
            executables[p] = shared[placement.processors]
        report(f"{name}, batch {batch}: measuring {len(shared)} distinct placements, {rounds} rounds")
        for profiler in profilers:
            profiler.forget()

        def profile_again(profilers: Sequence[Profiler] = profilers) -> None:
            for profiler in profilers:
                profiler.measure()

        samples = measure(
            executables,
            arrays,
            rounds=max(rounds, ROUNDS),
            budget_s=float("inf"),
            drop=False,
            between=profile_again,
        )
        meanwhile = profile_from(machine, profilers)
        singles = [samples[p] for p in placements if p in machine.names] or list(samples.values())
        for p, placement in chosen.items():
            rows.append(
                _row(name, batch, image_size, p, placement, executables[p], samples[p], singles, profile, meanwhile)
            )
    return rows


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
    name: str,
    batch: int,
    image_size: int,
    policy: str,
    placement: Placement,
    executable: Any,
    sample: Sequence[float],
    singles: Sequence[Sequence[float]],
    profile: Profile,
    meanwhile: Profile,
) -> BenchRow:
    program = executable.lowered.program
    best = min(singles, key=statistics.median)
    step = StepTime(statistics.median(sample), min(sample), max(sample), len(sample))
    costs = cost_table(program, profile)
    return BenchRow(
        name,
        batch,
        image_size,
        policy,
        simulate(program, executable.lowered.instructions, meanwhile).step_s,
        costs.objective(placement.processors),
        step,
        statistics.median(a / b for a, b in zip(sample, best, strict=True)),
        batch / step.median,
        executable.peak_bytes,
        costs.handovers(placement.processors),
        placement.counts(),
    )
