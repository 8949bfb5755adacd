"""Plans and profiles of models, as the shell makes them: measured here, or from a profile taken elsewhere."""

from collections.abc import Callable, Mapping, Sequence

import attrs

from lwps.api import memory_of
from lwps.blas import blas
from lwps.core import Program
from lwps.placement import POLICIES, cost_table, place
from lwps.plan import Plan, PlanError, Profile, eqn_key
from lwps.planning import make_plan, predict
from lwps.report.subject import Subject
from lwps.runtime.machine import Machine
from lwps.runtime.profile import profile_program
from lwps.transforms.optimize import optimize

GetMachine = Callable[[], Machine]  # detected only where something must be measured


def profile_of(subject: Subject, machine: Machine, pins: Mapping[str, str]) -> Profile:
    """Measured seconds of every eqn of the training step, cut at `pins`, on every processor of `machine`."""
    traced, arrays = subject.trace()
    return profile_program(optimize(traced, pins=pins), machine, memory_of(machine), arrays)


def plan_of(
    subject: Subject,
    policy: str,
    pins: Mapping[str, str],
    machine: GetMachine,
    profile: Profile | None = None,
) -> Plan:
    """The plan of a model by `profile`, or by what is measured on this machine.

    PlanError where `profile` lacks eqns of the model, as where pins cut chains of them.
    """
    traced, arrays = subject.trace()
    program = optimize(traced, pins=pins)
    threads = None
    if profile is None:
        here = machine()
        profile, threads = profile_program(program, here, memory_of(here), arrays), blas().threads
    _check_measured(profile, program)
    return make_plan(program, profile, policy, pins, subject=subject.to_json(), blas_threads=threads)


def replan(plan: Plan, policy: str | None, machine: GetMachine, profile: Profile | None = None) -> Plan:
    """`plan` solved anew with the pins that it holds now, by its own profile or another one.

    Eqns that its own profile lacks are measured, if this is the machine of the plan.
    """
    subject = Subject.of(plan)
    own = profile is None and _covers(plan, subject)
    if profile is None and not own and machine().describe() != plan.machine:
        raise PlanError(
            f"plan: its pins make eqns that were never measured, which only its machine can mend, {plan.machine},"
            f" got {machine().describe()}; solve it there, or give --profile with a profile taken there"
        )
    again = plan_of(subject, policy or plan.policy, plan.pins, machine, plan.profile if own else profile)
    return attrs.evolve(again, blas_threads=plan.blas_threads) if own else again


def with_pins(plan: Plan, pins: Mapping[str, str]) -> Plan:
    """`plan` with further pins; these come last and so count."""
    kept = {pattern: at for pattern, at in plan.pins.items() if pattern not in pins}
    return attrs.evolve(plan, pins={**kept, **pins})


def _covers(plan: Plan, subject: Subject) -> bool:
    """Whether a plan's own profile has all eqns that there are under the pins that it holds now."""
    return plan.profile is not None and not unmeasured(plan.profile, optimize(subject.trace()[0], pins=plan.pins))


def unmeasured(profile: Profile, program: Program) -> list[str]:
    """Names of the eqns that `profile` knows nothing of."""
    rows = zip(program.names, program.eqns, strict=True)
    return [name for name, eqn in rows if eqn.runs and eqn_key(eqn) not in profile.seconds]


def _check_measured(profile: Profile, program: Program) -> None:
    lacking = unmeasured(profile, program)
    if lacking:
        raise PlanError(
            f"profile: must hold every eqn of the program, got none of {len(lacking)} of {len(program.eqns)}, such as"
            f" {', '.join(lacking[:3])}; profile this model with these sizes and pins: lwps profile"
        )


@attrs.frozen
class PolicyRow:
    """What one policy comes to, in seconds a step; its eqns by processor, and its hand-overs."""

    policy: str
    objective_s: float
    predicted_s: float
    eqns: Mapping[str, int]
    handovers: int


def compare(plan: Plan) -> list[PolicyRow]:
    """The placement of `plan` beside those of every other policy, by the same profile and pins."""
    if plan.profile is None:
        return []
    program = optimize(Subject.of(plan).trace()[0], pins=plan.solved_pins)
    costs = cost_table(program, plan.profile, plan.solved_pins)
    few = len(costs.processors) <= 2
    policies: Sequence[str] = [p for p in (*costs.processors, *POLICIES) if few or p != "mincut"]
    rows = []
    for policy in dict.fromkeys((*policies, plan.policy)):
        placement = place(program, plan.profile, policy, plan.solved_pins)
        simulation = predict(program, placement, plan.profile)
        handed = costs.handovers(placement.processors)
        rows.append(PolicyRow(policy, placement.objective_s or 0.0, simulation.step_s, placement.counts(), handed))
    return rows
