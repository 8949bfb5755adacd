"""placement="auto": measure each single processor and the plans, keep the fastest, hand over the receipt."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Program
from lwps.placement import place, simulate
from lwps.plan import Placement, Profile, digest, placement_from_json
from lwps.runtime import cache
from lwps.runtime.compile import compile_program, everywhere
from lwps.runtime.interpreter import Executable
from lwps.runtime.machine import Machine
from lwps.runtime.memory import Memory
from lwps.runtime.profile import input_slots, profile_program

POLICIES = ("layerwise", "mincut")
ROUNDS = 11
BUDGET_S = 15.0  # for the rounds; at least 3 are made
HOPELESS = 2.0  # a candidate this many times slower than the best is not measured after the first rounds
TIE = 0.02  # a plan must beat the better single processor by this much


@attrs.frozen
class ReceiptRow:
    """One candidate: what was predicted and what was measured, in seconds a step."""

    placement: str
    predicted_s: float
    objective_s: float
    measured_s: float
    runs: int
    eqns: Mapping[str, int]


@attrs.frozen
class Receipt:
    """Why a placement was chosen: every candidate with its measured step time."""

    machine: str
    rows: tuple[ReceiptRow, ...]
    chosen: str
    from_cache: bool = False

    @property
    def better_single(self) -> ReceiptRow:
        """The faster of the single processors."""
        return min((r for r in self.rows if r.placement not in POLICIES), key=lambda r: r.measured_s)

    @property
    def reason(self) -> str:
        chosen, single = next(r for r in self.rows if r.placement == self.chosen), self.better_single
        if chosen is single:
            return f"{single.placement} alone: no plan was more than {TIE:.0%} faster"
        return f"{self.chosen}: {single.measured_s / chosen.measured_s:.2f} x as fast as {single.placement} alone"

    def __str__(self) -> str:
        lines = [f"{'placement':12} {'measured':>10} {'predicted':>10} {'runs':>5}  eqns"]
        for r in self.rows:
            mark = "*" if r.placement == self.chosen else " "
            where = ", ".join(f"{n} on {p}" for p, n in r.eqns.items())
            lines.append(
                f"{mark}{r.placement:11} {r.measured_s * 1e3:8.2f}ms {r.predicted_s * 1e3:8.2f}ms {r.runs:5}  {where}"
            )
        return "\n".join([*lines, f"chosen: {self.reason}"])


def choose(
    program: Program,
    machine: Machine,
    memory: Memory,
    arrays: Sequence[np.ndarray],
    profile: Profile | None = None,
) -> tuple[Executable, Receipt]:
    """The fastest of the candidates as an executable, and the receipt; from the cache where it is known.

    A `profile` that is given is used, and then nothing comes from the cache.
    """
    key = "receipt-" + digest([program.fingerprint, machine.describe()])
    known = _from_cache(key, program, machine, memory) if profile is None else None
    if known is not None:
        return known
    profile = profile or profile_program(program, machine, memory, arrays)
    candidates = {p: everywhere(program, machine, p) for p in machine.names}
    if len(machine.names) == 2:
        candidates.update((name, place(program, profile, name)) for name in POLICIES)
    executables = _distinct(program, candidates, machine, memory)
    samples = measure(executables, arrays)
    receipt = _receipt(machine, program, profile, candidates, executables, samples)
    chosen = candidates[receipt.chosen]
    cache.store(key, {"receipt": attrs.asdict(receipt), "placement": chosen.to_json(program)})
    return executables[receipt.chosen], receipt


def _distinct(
    program: Program, candidates: Mapping[str, Placement], machine: Machine, memory: Memory
) -> dict[str, Executable]:
    """An executable for each candidate; equal placements share one, and so share their samples."""
    made: dict[tuple[str | None, ...], Executable] = {}
    for placement in candidates.values():
        if placement.processors not in made:
            made[placement.processors] = compile_program(program, placement, machine, memory)
    return {name: made[p.processors] for name, p in candidates.items()}


def measure(
    executables: Mapping[str, Executable],
    arrays: Sequence[np.ndarray],
    *,
    rounds: int = ROUNDS,
    budget_s: float = BUDGET_S,
    drop: bool = True,
    between: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds of steps, round-robin over the executables, on copies of the arguments.

    With `drop`, one that is hopelessly slower than the best is left out after two rounds. `between` is called
    after each round.
    """
    distinct = {id(e): e for e in executables.values()}
    slots = {k: input_slots(e.lowered.program, e.memory, arrays) for k, e in distinct.items()}
    samples: dict[int, list[float]] = {k: [] for k in distinct}
    for k, e in distinct.items():
        e.run(slots[k])
    begin = time.perf_counter()
    for n in range(rounds):
        if n >= 3 and time.perf_counter() - begin > budget_s:
            break
        best = min((statistics.median(s) for s in samples.values() if s), default=0.0)
        for k, e in distinct.items():
            if drop and n >= 2 and statistics.median(samples[k]) > HOPELESS * best:
                continue
            start = time.perf_counter()
            e.run(slots[k])
            samples[k].append(time.perf_counter() - start)
        between()
    return {name: samples[id(e)] for name, e in executables.items()}


def _receipt(
    machine: Machine,
    program: Program,
    profile: Profile,
    candidates: Mapping[str, Placement],
    executables: Mapping[str, Executable],
    samples: Mapping[str, Sequence[float]],
) -> Receipt:
    rows = tuple(
        ReceiptRow(
            name,
            simulate(program, executables[name].lowered.instructions, profile).step_s,
            place(program, profile, lambda *_, p=p: p).objective_s or 0.0,  # type: ignore[misc]
            statistics.median(samples[name]),
            len(samples[name]),
            p.counts(),
        )
        for name, p in candidates.items()
    )
    single = min((r for r in rows if r.placement in machine.names), key=lambda r: r.measured_s)
    best = min(rows, key=lambda r: r.measured_s)
    chosen = best if best.measured_s < single.measured_s * (1 - TIE) else single
    return Receipt(machine.describe(), rows, chosen.placement)


def _from_cache(key: str, program: Program, machine: Machine, memory: Memory) -> tuple[Executable, Receipt] | None:
    stored: Any = cache.load(key)
    if stored is None:
        return None
    try:
        rows = tuple(ReceiptRow(**row) for row in stored["receipt"]["rows"])
        receipt = Receipt(stored["receipt"]["machine"], rows, stored["receipt"]["chosen"], from_cache=True)
        placement = placement_from_json(stored["placement"], program)
        str(receipt)  # what a damaged one cannot say
        return compile_program(program, placement, machine, memory), receipt
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError, StopIteration):
        return None  # damaged or of another version: measured again
