"""Plans from start to end, without a device: solved from a profile, predicted, and fitted to the program that runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from lwps.core import Program, Var
from lwps.placement import Simulation, cost_table, place, simulate
from lwps.placement.costs import HOST
from lwps.placement.explain import EqnReport, LayerReport, explain
from lwps.placement.policies import UserPolicy
from lwps.plan import Placement, Plan, PlanError, Profile, Schedule, difference, pinned, signatures
from lwps.transforms.handover import insert_handovers
from lwps.transforms.memory import in_place_outputs, plan_memory, sharing_of, values_of
from lwps.transforms.optimize import optimize


def predict(program: Program, placement: Placement, profile: Profile) -> Simulation:
    """The simulated step of a placement, by the seconds in `profile`.

    Instructions are made as for a machine of the profile's memory mode, but without the scratch that kernels ask for:
    no device is needed.
    """
    sharing = sharing_of(profile.memory)
    schedule = Schedule(tuple(k for k, p in enumerate(placement.processors) if p is not None))
    values = values_of(program, placement, schedule, sharing)
    memory = plan_memory(program, values, schedule, {})
    in_place = in_place_outputs(program, values, schedule)
    instructions = insert_handovers(program, placement, schedule, values, memory, in_place, {}, sharing)
    return simulate(program, instructions, profile)


# --- made ---------------------------------------------------------------------------------------


def make_plan(
    program: Program,
    profile: Profile,
    policy: str | UserPolicy = "mincut",
    pins: Mapping[str, str] | None = None,
    *,
    subject: Mapping[str, Any] | None = None,
    blas_threads: int | None = None,
) -> Plan:
    """The plan of `program` (from `lwps.optimize` with the same `pins`) by the seconds in `profile`.

    `policy` and `pins` as `place` takes them. PlanError for an eqn that was never measured, and as `place` raises it.
    """
    placement = place(program, profile, policy, pins)
    return attrs.evolve(
        plan_of(program, placement, profile.machine, profile.memory, profile.processors, pins),
        subject=dict(subject or {}),
        predicted_s=predict(program, placement, profile).step_s,
        blas_threads=blas_threads,
        profile=profile.of(program),
    )


def plan_of(
    program: Program,
    placement: Placement,
    machine: str,
    memory: str,
    processors: Sequence[str],
    pins: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of a placement that is known; `pins` are those that `program` was optimized with."""
    rows = zip(program.names, placement.processors, strict=True)
    return Plan(
        machine=machine,
        memory=memory,
        processors=tuple(processors),
        program=program.fingerprint,
        placement={name: p for name, p in rows if p is not None},
        eqns=signatures(program),
        policy=placement.policy,
        pins=dict(pins or {}),
        solved_pins=dict(pins or {}),
        objective_s=placement.objective_s,
    )


# --- used ---------------------------------------------------------------------------------------


def fit(plan: Plan, traced: Program, elsewhere: Sequence[str] = ()) -> tuple[Program, Placement]:
    """The program that runs under `plan`, made of what was traced, and where its eqns run.

    Pins that were edited since the plan was solved are kept. If they cut a chain of eqns in two, the pieces that are
    not pinned run where what they read was written. PlanError if the plan is of another program: it says which eqns
    are missing, new or changed, and adds the lines of `elsewhere`.
    """
    program = optimize(traced, pins=plan.pins)
    if program.fingerprint != plan.program:
        solved = optimize(traced, pins=plan.solved_pins)
        if solved.fingerprint != plan.program:
            raise _of_another_program(plan, solved, elsewhere)
    return program, placed(plan, program)


def check_is_of(plan: Plan, program: Program) -> None:
    """Raise PlanError unless `plan` is of the optimized `program`."""
    if program.fingerprint != plan.program:
        raise _of_another_program(plan, program, ())


def _of_another_program(plan: Plan, program: Program, elsewhere: Sequence[str]) -> PlanError:
    of = ", ".join(f"{name} {value}" for name, value in plan.subject.items())
    lines = [*difference(plan, program), *elsewhere]
    return PlanError(
        f"plan: must be of the program that runs, {program.fingerprint}, got one of {plan.program}"
        f"{f' ({of})' if of else ''}; make a plan of this program, or run the one that was planned. Its eqns differ:\n"
        + "\n".join(lines)
    )


def placed(plan: Plan, program: Program) -> Placement:
    """Where the eqns of `program` run under `plan`, with its pins kept."""
    pins = pinned(program, plan.processors, plan.pins)
    now = signatures(program)
    wrote: dict[Var, str] = {}
    rows: list[str | None] = []
    for k, (name, eqn) in enumerate(zip(program.names, program.eqns, strict=True)):
        known = plan.eqns.get(name) == now[name]
        if known and eqn.runs and name not in plan.placement:
            raise PlanError(f"plan: must say where {name} runs, got no row for it in its placement")
        beside = next((wrote[v] for v in eqn.ins if v in wrote), HOST)
        at = pins.get(k) or (plan.placement[name] if known and eqn.runs else beside)
        rows.append(at if eqn.runs else None)
        wrote.update(dict.fromkeys(eqn.outs, at if eqn.runs else beside))
    return Placement(tuple(rows), plan.policy)


def explain_plan(plan: Plan, traced: Program, pattern: str) -> EqnReport | LayerReport:
    """Why an eqn, a layer or what a pattern of names means is where `plan` puts it; `traced` is its program.

    By the seconds that the plan holds; PlanError if it holds none, does not fit, or the pattern means nothing.
    """
    if plan.profile is None:
        raise PlanError("plan: must hold a profile to be explained, got none; make it by lwps.make_plan or `lwps plan`")
    program, placement = fit(plan, traced)
    costs = cost_table(program, plan.profile)
    pins = pinned(program, plan.processors, plan.pins)

    def predicted_s(placement: Placement) -> float:
        return predict(program, placement, plan.profile).step_s  # type: ignore[arg-type]

    return explain(costs, placement, pattern, predicted_s, pins)


def elsewhere(plan: Plan, machine: str, memory: str, blas_threads: int | None = None) -> list[str]:
    """Lines that say how this machine is not the one that `plan` was made for; none if it is."""
    rows = (
        ("machine", plan.machine, machine),
        ("memory mode", plan.memory, memory),
        ("BLAS threads", plan.blas_threads, blas_threads),
    )
    return [
        f"{what}: planned for {then}, got {now}" for what, then, now in rows if None not in (then, now) and then != now
    ]


def check_processors(placement: Placement, names: Sequence[str]) -> None:
    """Raise PlanError if the placement of a plan needs a processor that is not among `names`."""
    lacking = [p for p in placement.counts() if p not in names]
    if lacking:
        raise PlanError(
            f"plan: processors that it uses must be among those of this machine, {', '.join(names)},"
            f" got {', '.join(lacking)}; `lwps devices` lists them, `lwps doctor` says why one may be missing"
        )
