"""Plans: where the eqns of one program run, what led there, and what people want fixed, as one editable JSON file."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from lwps.core import Eqn, Program
from lwps.plan.files import FORMAT, PathLike, PlanError, check_header, count, load, many, save, seconds, table, text
from lwps.plan.near import did_you_mean
from lwps.plan.profile import Profile, eqn_key

REQUIRED = ("machine", "memory", "processors", "program", "placement", "eqns")
OPTIONAL = ("subject", "policy", "pins", "solved_pins", "objective_s", "predicted_s", "blas_threads", "profile")


def signature(eqn: Eqn) -> str:
    """What an eqn computes, as plans list it: its key in profiles, and the avals of its results."""
    return f"{eqn_key(eqn)} -> {' '.join(str(v.aval) for v in eqn.outs)}"


def signatures(program: Program) -> dict[str, str]:
    """Eqn name -> signature of every eqn, in order."""
    return {name: signature(eqn) for name, eqn in zip(program.names, program.eqns, strict=True)}


@attrs.frozen
class Plan:
    """Where the eqns of one program run, and all that led there.

    - `machine`, `memory`, `processors`: what it was made for, as `Machine.describe()`, the mode, and names
    - `program`: the fingerprint of the program as optimized with `solved_pins`
    - `placement`: eqn name -> processor, for each eqn that runs
    - `eqns`: eqn name -> signature, for all of them in the order in which they start
    - `subject`: what was traced; for `lwps plan` the model, its batch and sizes; empty for a function
    - `policy`: who decided; `solved_pins`: the pins that it kept
    - `pins`: eqn, layer or pattern -> processor, kept wherever the plan is used; edited by hand, they may be others
    - `objective_s`, `predicted_s`: seconds a step by the serial objective, and by the simulator
    - `blas_threads`: threads of the host's matrix products; the bits of `cpu` may depend on them
    - `profile`: the seconds it was decided by, of these eqns alone
    """

    machine: str
    memory: str
    processors: tuple[str, ...]
    program: str
    placement: Mapping[str, str]
    eqns: Mapping[str, str]
    subject: Mapping[str, Any] = attrs.field(factory=dict)
    policy: str = "by hand"
    pins: Mapping[str, str] = attrs.field(factory=dict)
    solved_pins: Mapping[str, str] = attrs.field(factory=dict)
    objective_s: float | None = None
    predicted_s: float | None = None
    blas_threads: int | None = None
    profile: Profile | None = None

    def to_json(self) -> dict[str, Any]:
        """What people edit comes first; fields that are None are left out."""
        data: dict[str, Any] = {
            "kind": "plan",
            "format": FORMAT,
            "subject": dict(self.subject),
            "pins": dict(self.pins),
            "policy": self.policy,
            "objective_s": self.objective_s,
            "predicted_s": self.predicted_s,
            "machine": self.machine,
            "memory": self.memory,
            "processors": list(self.processors),
            "blas_threads": self.blas_threads,
            "placement": dict(self.placement),
            "solved_pins": dict(self.solved_pins),
            "program": self.program,
            "eqns": dict(self.eqns),
            "profile": self.profile.to_json() if self.profile else None,
        }
        return {name: value for name, value in data.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Plan":
        """The plan that `to_json` wrote; PlanError names the field that is not as it wrote it."""
        check_header(data, "plan", REQUIRED, OPTIONAL)
        read: dict[str, Callable[[Any, str], Any]] = {
            "machine": text,
            "memory": text,
            "processors": _names,
            "program": text,
            "placement": _texts,
            "eqns": _texts,
            "subject": _subject,
            "policy": text,
            "pins": _texts,
            "solved_pins": _texts,
            "objective_s": seconds,
            "predicted_s": seconds,
            "blas_threads": count,
            "profile": lambda x, where: Profile.from_json(table(x, where, _anything)),
        }
        plan = cls(**{name: check(data[name], f"plan: {name}") for name, check in read.items() if name in data})
        check_plan(plan)
        return plan


def check_plan(plan: Plan) -> None:
    """Raise PlanError where rows or pins of a plan name eqns or processors that it does not list."""
    for name, processor in plan.placement.items():
        if name not in plan.eqns:
            near = did_you_mean(name, plan.eqns)
            raise PlanError(f"plan: its placement must be of the eqns that it lists, got {name!r}{near}")
        _check_listed(plan, f"{name} must be placed on", processor)
    for pattern, processor in (*plan.pins.items(), *plan.solved_pins.items()):
        _check_listed(plan, f"{pattern!r} must be pinned to", processor)


def _check_listed(plan: Plan, what: str, processor: str) -> None:
    if processor not in plan.processors:
        known, near = ", ".join(plan.processors), did_you_mean(processor, plan.processors)
        raise PlanError(f"plan: {what} one of its processors, {known}, got {processor!r}{near}")


def _names(x: Any, where: str) -> tuple[str, ...]:
    return many(x, where, text)


def _texts(x: Any, where: str) -> dict[str, str]:
    return table(x, where, text)


def _subject(x: Any, where: str) -> dict[str, str | int | float]:
    return table(x, where, lambda item, where: item if isinstance(item, str | int) else seconds(item, where))


def _anything(x: Any, where: str) -> Any:
    return x


def save_plan(plan: Plan, path: PathLike) -> None:
    """Write `plan` as JSON; at any time the file is the old one or the whole new one."""
    save(path, plan.to_json())


def load_plan(path: PathLike) -> Plan:
    """The plan in a file that `save_plan` or `lwps plan` wrote; PlanError names the file and what is wrong in it."""
    return load(path, "plan", Plan.from_json)
