"""Why an eqn or a layer is where it is: its seconds, its hand-overs, its neighbours, and what moving it would cost."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import attrs
import numpy as np

from lwps.core import PHASES, Program, Var
from lwps.placement.costs import HOST, Costs, Flow, origins, targets
from lwps.plan import Placement, PlanError, did_you_mean, matches, members_of, signature

Predict = Callable[[Placement], float]  # simulated seconds of a step
CALLER = "the caller"  # who reads outputs, on the host


@attrs.frozen
class Crossing:
    """A value that is handed over. `seconds` holds the latency only for the first value of its writer and target."""

    writer: str  # the name of an eqn, or `input 3`
    aval: str
    nbytes: int
    source: str
    target: str
    seconds: float
    readers: tuple[str, ...]  # those on `target`


@attrs.frozen
class Move:
    """What the step would take with something moved to `processor`, and how much more that is."""

    processor: str
    objective_s: float
    objective_more_s: float
    predicted_s: float
    predicted_more_s: float


@attrs.frozen
class Value:
    """An input or result of an eqn: who is at its other end, and where each of them runs (None: nowhere)."""

    aval: str
    ends: tuple[str, ...]
    where: tuple[str | None, ...]


@attrs.frozen
class EqnReport:
    """One eqn: `seconds` on each processor that can run it, `processor` where it is (None: only makes a view).

    `made_of` names the members of a fused eqn, by layer, phase and primitive.
    """

    name: str
    signature: str
    made_of: tuple[str, ...]
    processor: str | None
    pinned: bool
    seconds: Mapping[str, float]
    reads: tuple[Value, ...]
    writes: tuple[Value, ...]
    crossings: tuple[Crossing, ...]
    moves: tuple[Move, ...]


@attrs.frozen
class EqnRow:
    """One of several eqns: `objective_more_s` is what the step would take more with it moved, by processor."""

    name: str
    processor: str | None
    pinned: bool
    seconds: Mapping[str, float]
    objective_more_s: Mapping[str, float]


@attrs.frozen
class PhaseReport:
    """The eqns of one phase: `eqns` counts them by processor.

    `placed_s` are their seconds where they are, `seconds` those if all were on one processor (what it cannot run on the
    host); `handover_s` is what `crossings`, their hand-overs, cost.
    """

    phase: str
    eqns: Mapping[str, int]
    placed_s: float
    seconds: Mapping[str, float]
    handover_s: float
    crossings: tuple[Crossing, ...]
    moves: tuple[Move, ...]


@attrs.frozen
class LayerReport:
    """The eqns that a layer or a pattern means, summed up by phase and one by one."""

    pattern: str
    objective_s: float
    predicted_s: float
    phases: tuple[PhaseReport, ...]
    eqns: tuple[EqnRow, ...]


def explain(
    costs: Costs, placement: Placement, pattern: str, predict: Predict, pinned: Collection[int] = ()
) -> EqnReport | LayerReport:
    """What `pattern` means under `placement`: one eqn by its exact name, else those of a layer or a pattern of names.

    `costs` are those without pins, so that every processor shows; `pinned` are numbers of pinned eqns. PlanError for a
    pattern that means nothing, with what comes near it.
    """
    found = select(costs.program, pattern)
    about = _About(costs, placement, predict, pinned)
    if pattern == costs.program.names[found[0]]:
        return about.eqn(found[0])
    return about.layer(pattern, found)


def select(program: Program, pattern: str) -> list[int]:
    """Numbers of the eqns that a name, a layer (and all below it) or a pattern of names means.

    Where no eqn of its own is left of a layer, those that its eqns were fused into.
    """
    rows = [*zip(program.names, program.eqns, strict=True)]
    if pattern in program.names:
        return [program.names.index(pattern)]
    found = [k for k, (name, eqn) in enumerate(rows) if matches(pattern, name, eqn.layer)]
    found = found or [k for k, (_, eqn) in enumerate(rows) if any(matches(pattern, *m) for m in members_of(eqn))]
    if not found:
        near = did_you_mean(pattern, dict.fromkeys((*(eqn.layer for eqn in program.eqns), *program.names)))
        raise PlanError(f"explain: {pattern!r} must be an eqn, a layer or a pattern of their names{near}")
    return found


class _About:
    """One placement, looked at from its eqns."""

    def __init__(self, costs: Costs, placement: Placement, predict: Predict, pinned: Collection[int]) -> None:
        self.costs, self.program, self.names = costs, costs.program, costs.program.names
        self.predict, self.pinned = predict, pinned
        self.where = placement.processors
        self.at = costs.positions(self.where)
        self.objective_s = costs.objective_at(self.at)
        self.predicted_s = predict(placement)
        self.crossings = _crossings(costs, self.at)
        self.origin_of = origins(self.program)
        self.flow_of = {flow.value: flow for flow in costs.flows}
        rows = [*enumerate(self.program.eqns)]
        self.producer = {self.origin_of[v]: k for k, eqn in rows if costs.runs[k] for v in eqn.outs}
        self.readers: dict[Var, list[int]] = {}
        for k, eqn in rows:
            for origin in dict.fromkeys(self.origin_of[v] for v in eqn.ins if costs.runs[k]):
                self.readers.setdefault(origin, []).append(k)

    def eqn(self, k: int) -> EqnReport:
        eqn = self.program.eqns[k]
        return EqnReport(
            name=self.names[k],
            signature=signature(eqn),
            made_of=tuple(name for name, _ in members_of(eqn)),
            processor=self.where[k],
            pinned=k in self.pinned,
            seconds=self._seconds(k),
            reads=tuple(Value(str(v.aval), *self._writer(v, k)) for v in eqn.ins),
            writes=tuple(Value(str(v.aval), *self._readers(v, k)) for v in eqn.outs),
            crossings=self._crossings_of({k}),
            moves=tuple(self._move([k], p) for p in self._elsewhere(k)),
        )

    def layer(self, pattern: str, found: Sequence[int]) -> LayerReport:
        works = [k for k in found if self.costs.runs[k]]
        phases = [[k for k in works if self.program.eqns[k].phase == phase] for phase in PHASES]
        return LayerReport(
            pattern,
            self.objective_s,
            self.predicted_s,
            tuple(self._phase(eqns) for eqns in phases if eqns),
            tuple(self._row(k) for k in works),
        )

    def _phase(self, eqns: Sequence[int]) -> PhaseReport:
        costs = self.costs
        moved = {p: self._moved(eqns, costs.processors.index(p)) for p in costs.processors}
        crossings = self._crossings_of(set(eqns))
        return PhaseReport(
            phase=self.program.eqns[eqns[0]].phase,
            eqns=dict(Counter(costs.processors[self.at[k]] for k in eqns)),
            placed_s=costs.eqns_s(eqns, self.at),
            seconds={p: costs.eqns_s(eqns, at) for p, at in moved.items()},
            handover_s=sum(c.seconds for c in crossings),
            crossings=crossings,
            moves=tuple(self._move(eqns, p) for p, at in moved.items() if at != self.at),
        )

    def _row(self, k: int) -> EqnRow:
        moved = {p: self._moved([k], self.costs.processors.index(p)) for p in self._elsewhere(k)}
        more = {p: self.costs.objective_at(at) - self.objective_s for p, at in moved.items()}
        return EqnRow(self.names[k], self.where[k], k in self.pinned, self._seconds(k), more)

    # --- seconds and moves ---

    def _seconds(self, k: int) -> dict[str, float]:
        """Seconds on each processor that can run eqn `k`."""
        if not self.costs.runs[k]:
            return {}
        rows = zip(self.costs.processors, self.costs.seconds[k].tolist(), strict=True)
        return {p: s for p, s in rows if np.isfinite(s)}

    def _elsewhere(self, k: int) -> list[str]:
        return [p for p in self._seconds(k) if p != self.where[k]]

    def _moved(self, eqns: Sequence[int], processor: int) -> list[int]:
        at = list(self.at)
        for k in eqns:
            at[k] = int(self.costs.asked[k, processor])
        return at

    def _move(self, eqns: Sequence[int], processor: str) -> Move:
        at = self._moved(eqns, self.costs.processors.index(processor))
        objective_s = self.costs.objective_at(at)
        predicted_s = self.predict(Placement(self.costs.names(at), "moved"))
        return Move(processor, objective_s, objective_s - self.objective_s, predicted_s, predicted_s - self.predicted_s)

    # --- neighbours ---

    def _crossings_of(self, eqns: Collection[int]) -> tuple[Crossing, ...]:
        """Hand-overs of what these eqns write, and of what they read."""
        mine = {self.names[k] for k in eqns}
        return tuple(c for c in self.crossings if c.writer in mine or not mine.isdisjoint(c.readers))

    def _writer(self, var: Var, reader: int) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
        origin = self.origin_of[var]
        if origin in self.producer:
            k = self.producer[origin]
            before = " in the step before" if k >= reader else ""
            return (f"{self.names[k]}{before}",), (self.where[k],)
        return (_input_name(self.program, origin),), (HOST,)

    def _readers(self, var: Var, writer: int) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
        origin = self.origin_of[var]
        rows = [
            (self.names[k] + " in the next step" * (k <= writer), self.where[k]) for k in self.readers.get(origin, ())
        ]
        if origin in self.flow_of and self.flow_of[origin].read_by_host:
            rows.append((CALLER, HOST))
        return tuple(name for name, _ in rows), tuple(p for _, p in rows)


def _crossings(costs: Costs, at: Sequence[int]) -> list[Crossing]:
    """Every hand-over of a step, in the order of their writers."""
    rows, paid = [], set()
    for flow in costs.flows:
        source = costs.host if flow.producer is None else at[flow.producer]
        for target in sorted(targets(costs, flow, at)):
            handover = costs.handover[source][target]
            first = (flow.producer, target) not in paid
            paid.add((flow.producer, target))
            readers = [costs.program.names[k] for k in flow.readers if at[k] == target]
            by_caller = [CALLER] if flow.read_by_host and target == costs.host else []
            rows.append(
                Crossing(
                    _writer_name(costs.program, flow),
                    str(flow.value.aval),
                    flow.nbytes,
                    costs.processors[source],
                    costs.processors[target],
                    flow.nbytes * handover.s_per_byte + (handover.latency_s if first else 0.0),
                    (*readers, *by_caller),
                )
            )
    return rows


def _writer_name(program: Program, flow: Flow) -> str:
    return _input_name(program, flow.value) if flow.producer is None else program.names[flow.producer]


def _input_name(program: Program, var: Var) -> str:
    return f"input {program.inputs.index(var)}" if var in program.inputs else "a constant"
