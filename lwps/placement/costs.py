"""What a placement costs: seconds of each eqn on each processor, and the values that may have to be handed over.

The serial objective of a placement is the seconds of every eqn where it runs, plus its hand-overs: for each eqn
and each other processor that reads any of its results the latency once, and the bytes of every such value once. What
the host spends to start eqns is left out: it overlaps with the work of a queue, and the simulator counts it.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Program, Var, donation_pairs, storage_roots
from lwps.plan import Handover, PlanError, Profile, pinned

HOST = "cpu"  # where inputs arrive and the caller reads outputs
NOWHERE = -1  # stands for the processor of eqns that are left out


@attrs.frozen(eq=False)
class Flow:
    """A value and who reads it: eqns, and the caller on the host.

    `producer` is the number of the eqn that writes it, None for an input, which arrives on the host. A
    donated input and the output that replaces it are one value, so its readers include those in the next step.
    `value` is the var whose bytes they read; the producer itself is not among `readers`.
    """

    producer: int | None
    value: Var
    nbytes: int
    readers: tuple[int, ...]
    read_by_host: bool


@attrs.frozen(eq=False)
class Costs:
    """The costs of placing one program on the processors of one profile.

    `seconds[e, p]` (float64) is infinite where eqn `e` cannot run or is pinned elsewhere, and 0 in the rows of
    eqns that only make views. Indices `p` are positions in `processors`.
    """

    program: Program
    profile: Profile
    processors: tuple[str, ...]
    seconds: np.ndarray
    flows: tuple[Flow, ...]
    runs: np.ndarray  # bool[E]: eqns that do work

    @property
    def host(self) -> int:
        return self.processors.index(HOST)

    @functools.cached_property
    def handover(self) -> list[list[Handover]]:
        """`handover[source][target]`, by position."""
        free, known = Handover(0.0, 0.0), self.profile.handovers
        return [[free if s == t else known[s, t] for t in self.processors] for s in self.processors]

    @functools.cached_property
    def asked(self) -> np.ndarray:
        """int[E, P]: where eqn `e` goes if asked for `p`: there, else to the host, else where it is fastest."""
        fastest = self.seconds.argmin(axis=1)
        instead = np.where(np.isfinite(self.seconds[:, self.host]), self.host, fastest)
        asked = np.where(np.isfinite(self.seconds), np.arange(len(self.processors)), instead[:, None])
        return np.where(self.runs[:, None], asked, NOWHERE)

    def names(self, at: Sequence[int]) -> tuple[str | None, ...]:
        """Processors' names for their positions; None for eqns that only make views."""
        return tuple(self.processors[p] if run else None for p, run in zip(at, self.runs, strict=True))

    def positions(self, processors: Sequence[str | None]) -> list[int]:
        """The inverse of `names`."""
        index = {name: k for k, name in enumerate(self.processors)}
        return [index[p] if p is not None else NOWHERE for p in processors]

    def objective(self, processors: Sequence[str | None]) -> float:
        """Seconds a step of a placement by the serial objective; infinite if an eqn cannot run where it is put."""
        return self.objective_at(self.positions(processors))

    def objective_at(self, at: Sequence[int]) -> float:
        return self.eqns_s(np.flatnonzero(self.runs), at) + handover_s(self, self.flows, at)

    def eqns_s(self, eqns: Any, at: Sequence[int]) -> float:
        """Seconds of these eqns without hand-overs."""
        eqns = np.asarray(eqns, np.intp)
        return float(self.seconds[eqns, np.asarray(at, np.intp)[eqns]].sum())

    def handovers(self, processors: Sequence[str | None]) -> int:
        """How often latency is paid: pairs of an eqn (or the inputs) and another processor that reads from it."""
        at = self.positions(processors)
        return len({(flow.producer, t) for flow in self.flows for t in targets(self, flow, at)})


def objective(costs: Costs, processors: Sequence[str | None]) -> float:
    """Seconds a step of a placement by the serial objective; infinite if an eqn cannot run where it is put."""
    return costs.objective(processors)


def targets(costs: Costs, flow: Flow, at: Sequence[int]) -> set[int]:
    """Processors that `flow` is handed over to; eqns that are NOWHERE neither write nor read."""
    source = costs.host if flow.producer is None else at[flow.producer]
    if source == NOWHERE:
        return set()
    found = {at[r] for r in flow.readers}
    if flow.read_by_host:
        found.add(costs.host)
    return found - {source, NOWHERE}


def handover_s(costs: Costs, flows: Iterable[Flow], at: Sequence[int]) -> float:
    """Seconds of hand-overs: latency once for each producer and target, bytes once for each value and target."""
    total, paid = 0.0, set()
    for flow in flows:
        source = costs.host if flow.producer is None else at[flow.producer]
        for target in sorted(targets(costs, flow, at)):
            handover = costs.handover[source][target]
            total += flow.nbytes * handover.s_per_byte
            if (flow.producer, target) not in paid:
                paid.add((flow.producer, target))
                total += handover.latency_s
    return total


# --- from a program and a profile ---------------------------------------------------------------


def cost_table(program: Program, profile: Profile, pins: Mapping[str, str] | None = None) -> Costs:
    """The costs of `program` as measured in `profile`.

    `pins` maps an eqn's name, a pattern of names (`fnmatch`: `*/backward/*`) or the name of a layer, which means all
    below it too, to a processor; later entries win. PlanError if a name is unknown, the profile lacks a
    measurement, or an eqn is left without a processor.
    """
    _check_profile(profile)
    runs = np.array([eqn.runs for eqn in program.eqns], bool)
    seconds = np.zeros((len(program.eqns), len(profile.processors)))
    for k in np.flatnonzero(runs).tolist():
        seconds[k] = [profile.eqn_s(program.eqns[k], p) for p in profile.processors]
    for k, processor in pinned(program, profile.processors, pins or {}).items():
        if runs[k]:
            seconds[k, [p != processor for p in profile.processors]] = np.inf
    _check_runnable(program, profile, seconds)
    return Costs(program, profile, profile.processors, seconds, _flows(program, runs), runs)


def _check_profile(profile: Profile) -> None:
    if HOST not in profile.processors:
        raise PlanError(f"profile: must hold the host {HOST!r}, got {', '.join(profile.processors) or 'no processors'}")
    for source in profile.processors:
        for target in profile.processors:
            if source != target and (source, target) not in profile.handovers:
                raise PlanError(f"profile: must say what a hand-over from {source} to {target} costs; calibrate again")


def _check_runnable(program: Program, profile: Profile, seconds: np.ndarray) -> None:
    for k in np.flatnonzero(~np.isfinite(seconds).any(axis=1)):
        eqn = program.eqns[k]
        able = [p for p in profile.processors if np.isfinite(profile.eqn_s(eqn, p))]
        name, where = program.names[k], ", ".join(able) or "no processor"
        raise PlanError(f"placement: {name} must be pinned to a processor that can run it ({where}), got {eqn}")


def _flows(program: Program, runs: np.ndarray) -> tuple[Flow, ...]:
    """Every value that somebody other than its producer reads, by producer.

    No constants: they are handed over once, not every step.
    """
    origin_of = origins(program)
    root_of = storage_roots(program)
    producer: dict[Var, int | None] = dict.fromkeys(program.inputs)
    producer.update((v, k) for k, eqn in enumerate(program.eqns) for v in eqn.outs if root_of[v] is v)
    readers: dict[Var, dict[int, None]] = {v: {} for v in producer}
    for k in np.flatnonzero(runs).tolist():
        for v in program.eqns[k].ins:
            readers.setdefault(origin_of[v], {})[k] = None
    replacing = donation_pairs(program)
    returned = {origin_of[v] for o, v in enumerate(program.outputs) if o not in replacing}
    flows = []
    for value, writer in producer.items():
        others = tuple(k for k in readers[value] if k != writer)
        by_host = value in returned and writer is not None
        if others or by_host:
            flows.append(Flow(writer, value, value.aval.nbytes, others, by_host))
    return tuple(flows)


def origins(program: Program) -> dict[Var, Var]:
    """For every var the one that its bytes were written as.

    That of which it is a view; for a donated input the output that replaced it in the step before.
    """
    root_of = storage_roots(program)
    replaced = {program.inputs[i]: root_of[program.outputs[o]] for o, i in donation_pairs(program).items()}
    return {var: _origin(root, replaced) for var, root in root_of.items()}


def _origin(var: Var, replaced: Mapping[Var, Var]) -> Var:
    seen = set()
    while var in replaced and var not in seen:
        seen.add(var)
        var = replaced[var]
    return var
