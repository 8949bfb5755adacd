"""Which processor runs each eqn."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from lwps.core import Program
from lwps.plan.files import FORMAT, PlanError, check_header, table, text


@attrs.frozen
class Placement:
    """The processor of every eqn of a program, in order; None for eqns that only make views."""

    processors: tuple[str | None, ...]
    policy: str = "by hand"
    objective_s: float | None = None  # seconds a step as the policy's own objective counts them

    @classmethod
    def everywhere(cls, program: Program, processor: str) -> "Placement":
        return cls(tuple(processor if eqn.runs else None for eqn in program.eqns), processor)

    def counts(self) -> dict[str, int]:
        """Eqns on each processor."""
        return dict(Counter(p for p in self.processors if p is not None))

    def to_json(self, program: Program) -> dict[str, Any]:
        rows = {n: p for n, p in zip(program.names, self.processors, strict=True) if p is not None}
        return {
            "kind": "placement",
            "format": FORMAT,
            "program": program.fingerprint,
            "policy": self.policy,
            "placement": rows,
        }


def placement_from_json(data: Mapping[str, Any], program: Program) -> Placement:
    """The placement that `Placement.to_json` wrote; PlanError names what does not fit."""
    check_header(data, "placement", ("placement",), ("program", "policy"))
    rows = table(data["placement"], "placement: placement", text)
    return placement_of(rows, program, text(data.get("policy", "by hand"), "placement: policy"))


def placement_of(rows: Mapping[str, str], program: Program, policy: str = "by hand") -> Placement:
    """A placement from {eqn name: processor}; every eqn that runs must be named."""
    wanted = [n for n, eqn in zip(program.names, program.eqns, strict=True) if eqn.runs]
    missing, extra = sorted(set(wanted) - set(rows)), sorted(set(rows) - set(program.names))
    if missing or extra:
        raise PlanError(
            f"placement: must name every eqn that runs, got no processor for {missing[:3]}"
            f" and unknown names {extra[:3]}"
        )
    return Placement(
        tuple(rows.get(n) if e.runs else None for n, e in zip(program.names, program.eqns, strict=True)), policy
    )


def check_placement(program: Program, placement: Placement, processors: Sequence[str]) -> None:
    """Raise PlanError unless each eqn that runs, and no other, has one of `processors`."""
    if len(placement.processors) != len(program.eqns):
        raise PlanError(
            f"placement: must have a processor for each of {len(program.eqns)} eqns, got {len(placement.processors)}"
        )
    for name, eqn, processor in zip(program.names, program.eqns, placement.processors, strict=True):
        if eqn.runs and processor not in processors:
            raise PlanError(f"placement: {name} must be on one of {', '.join(processors)}, got {processor!r}")
        if not eqn.runs and processor is not None:
            raise PlanError(f"placement: {name} only makes a view and runs nowhere, got {processor!r}; leave it out")
