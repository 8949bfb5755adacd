"""From a placed program to an executable: everything that can be known before the first step is decided here."""

from collections.abc import Mapping, Sequence
from functools import partial

import attrs

from lwps.core import Program, ShapedArray
from lwps.plan import Instruction, MemoryPlan, Placement, Run, Schedule, check_placement
from lwps.runtime.interpreter import Executable
from lwps.runtime.kernels import Recipe, recipe
from lwps.runtime.machine import HOST, Machine
from lwps.runtime.memory import Memory
from lwps.transforms.handover import ends, insert_handovers
from lwps.transforms.hazards import prove
from lwps.transforms.memory import Values, family, in_place_outputs, plan_memory, values_of
from lwps.transforms.simplify import separate_outputs


@attrs.frozen(eq=False)
class Lowered:
    """A program with all decisions made: what runs where, in which bytes, in which order."""

    program: Program
    placement: Placement
    schedule: Schedule
    values: Values
    memory: MemoryPlan
    in_place: Mapping[int, int]
    recipes: Mapping[int, Recipe]
    instructions: tuple[Instruction, ...]


def runnable(program: Program, machine: Machine) -> dict[int, dict[str, Recipe | None]]:
    """For every eqn that runs the processors that can, each with its kernels (None on the host)."""
    table: dict[int, dict[str, Recipe | None]] = {}
    for k, eqn in enumerate(program.eqns):
        if not eqn.runs:
            continue
        table[k] = {HOST: None}
        for p in machine.processors:
            if p.device is not None:
                found = recipe(p.device, eqn.primitive, eqn.in_avals, eqn.params)
                if found is not None:
                    table[k][p.name] = found
    return table


def everywhere(program: Program, machine: Machine, processor: str) -> Placement:
    """All on one processor; eqns that it cannot run on the host."""
    can = runnable(program, machine)
    rows = tuple(None if k not in can else processor if processor in can[k] else HOST for k in range(len(program.eqns)))
    return Placement(rows, processor)


def lower(program: Program, placement: Placement, machine: Machine) -> Lowered:
    """Decide bytes, order and hand-overs, and prove the list free of hazards."""
    check_placement(program, placement, machine.names)
    if len(separate_outputs(program).eqns) != len(program.eqns):
        raise ValueError(
            "compile: every output must have bytes of its own, got one that is an input or given twice;"
            " call lwps.optimize first"
        )
    schedule = Schedule(tuple(k for k, p in enumerate(placement.processors) if p is not None))
    values = values_of(program, placement, schedule, machine.sharing)
    recipes = _recipes(program, placement, machine)
    scratch = {
        k: (family(p, machine.sharing), _scratch(program, k, recipes)) for k, p in enumerate(placement.processors) if p
    }
    memory = plan_memory(
        program,
        values,
        schedule,
        {k: row for k, row in scratch.items() if row[1]},
        alignment=machine.alignment,
        chunk_limit=machine.largest_allocation,
    )
    in_place = in_place_outputs(program, values, schedule)
    nbytes = {k: [a.nbytes for a in avals] for k, (_, avals) in scratch.items()}
    work_s = partial(_at_most_s, program, machine)
    instructions = insert_handovers(
        program, placement, schedule, values, memory, in_place, nbytes, machine.sharing, work_s
    )
    mapped = machine.sharing == "mapped"
    prove(instructions, program.names, *ends(program, values, memory, in_place), mapped=mapped)
    return Lowered(program, placement, schedule, values, memory, in_place, recipes, instructions)


# what a compute unit of the slowest device does; a guess that is too low costs a few waits for what has ended long ago
FLOPS_PER_S, BYTES_PER_S = 1e9, 0.5e9


def _at_most_s(program: Program, machine: Machine, run: Run) -> float:
    """Seconds that an eqn may take on a device, guessed before anything is measured."""
    eqn, device = program.eqns[run.eqn], machine.processor(run.processor).device
    if device is None:
        return 0.0
    cost = eqn.primitive.cost(*eqn.in_avals, **eqn.params)
    return max(cost.flops / FLOPS_PER_S, cost.nbytes / BYTES_PER_S) / device.compute_units


def _recipes(program: Program, placement: Placement, machine: Machine) -> dict[int, Recipe]:
    recipes = {}
    for k, (eqn, name) in enumerate(zip(program.eqns, placement.processors, strict=True)):
        if name is None or name == HOST:
            continue
        found = recipe(machine.processor(name).device, eqn.primitive, eqn.in_avals, eqn.params)  # type: ignore[arg-type]
        if found is None:
            raise ValueError(
                f"compile: {program.names[k]} must have a kernel for {name}, got none for {eqn}; place it on {HOST}"
            )
        recipes[k] = found
    return recipes


def _scratch(program: Program, k: int, recipes: Mapping[int, Recipe]) -> Sequence[ShapedArray]:
    eqn = program.eqns[k]
    return recipes[k].scratch if k in recipes else eqn.primitive.numpy.scratch(*eqn.in_avals, **eqn.params)


def compile_program(program: Program, placement: Placement, machine: Machine, memory: Memory) -> Executable:
    """An executable of `program` as placed; its kernels are built and their arguments set."""
    return Executable(lower(program, placement, machine), machine, memory)
