"""Instruction lists of random programs, spoiled: what the proof accepts runs right in whatever order queues run."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import lwps
from lwps.plan import Copy, Run, Schedule, Wait
from lwps.testing.programs import placements, programs
from lwps.transforms.handover import ends, insert_handovers
from lwps.transforms.hazards import HazardError, prove
from lwps.transforms.memory import check_memory_plan, in_place_outputs, plan_memory, values_of


@st.composite
def lists(draw):
    """Instructions, names, and what is there before and after; scratch, both memory modes, up to two queues."""
    program = lwps.optimize(draw(programs()))
    unified = draw(st.booleans())
    placement = draw(placements(program, ("cpu", "gpu", "gpu1") if unified else ("cpu", "gpu")))
    schedule = Schedule(tuple(k for k, p in enumerate(placement.processors) if p))
    values = values_of(program, placement, schedule, unified)
    asked = {k: "shared" if unified else placement.processors[k] for k in schedule.order if k % 3 == 0}
    scratch = {k: (where, [lwps.ShapedArray((64,), "float32")]) for k, where in asked.items()}
    memory = plan_memory(program, values, schedule, scratch)
    check_memory_plan(program, values, schedule, memory)
    in_place = in_place_outputs(program, values, schedule)
    nbytes = dict.fromkeys(asked, (256,))
    made = insert_handovers(program, placement, schedule, values, memory, in_place, nbytes, unified)
    return list(made), program.names, *ends(program, values, memory, in_place)


class StaleError(Exception):
    """A read found bytes of another value or of another step."""


def play(instructions, before, after, seed):
    """Two steps over tags instead of values; each queue runs what it has as late as it may, or at any time before."""
    rng, tags, late = random.Random(seed), {}, seed % 2 == 0
    queues = {i.processor: [] for i in instructions}

    def bytes_of(r):
        return tags.setdefault(r.space, np.full(1 << 15, -1))[r.start : r.stop]

    def check(r, step):
        if (bytes_of(r) != r.value * 2 + step).any():
            raise StaleError(r)

    def do(instruction, step):
        for r in instruction.reads:
            check(r, step)
        for r in instruction.writes:
            bytes_of(r)[...] = r.value * 2 + step

    def run_queue(name, upto):
        while queues[name] and queues[name][0][0] <= upto:
            do(*queues[name].pop(0)[1:])

    for step in (0, 1):
        for r in before:
            bytes_of(r)[...] = r.value * 2 + step
        for at, instruction in enumerate(instructions):
            place = step * len(instructions) + at
            if isinstance(instruction, Wait):
                run_queue(instruction.processor, step * len(instructions) + instruction.upto)
            elif isinstance(instruction, Run | Copy) and instruction.processor == "cpu":
                do(instruction, step)
            elif isinstance(instruction, Run | Copy):
                queues[instruction.processor].append((place, instruction, step))
            name = rng.choice([*queues])
            if not late and queues[name]:
                run_queue(name, rng.choice(queues[name])[0])
        for r in after:
            check(r, step)


@given(made=lists(), seed=st.integers(0, 9))
def test_what_is_made_is_proven_and_runs_right_in_any_order(made, seed):
    instructions, names, before, after = made
    prove(instructions, names, before, after)
    play(instructions, before, after, seed)


def spoiled(draw_from, instructions):
    """The list without one instruction, with two swapped, or with one wait for something earlier."""
    kind, k = draw_from.choice(("drop", "drop", "swap", "early")), draw_from.randrange(len(instructions))
    at = [*range(len(instructions))]
    if kind == "drop":
        del at[k]
    elif kind == "swap":
        j = draw_from.randrange(len(instructions))
        at[k], at[j] = at[j], at[k]
    now = {old: new for new, old in enumerate(at)}
    left = []
    for old in at:
        i = instructions[old]
        if isinstance(i, Wait):
            upto = i.upto if kind != "early" or old != k else draw_from.randrange(i.upto + 1)
            while (
                upto not in now or instructions[upto].processor != i.processor or isinstance(instructions[upto], Wait)
            ):
                upto -= 1
                if upto < 0:
                    return left
            i = Wait(i.processor, now[upto])
        left.append(i)
    return left


@given(made=lists(), seed=st.integers(0, 2**32 - 1))
def test_a_spoiled_list_that_is_accepted_still_runs_right(made, seed):
    """Some spoils are harmless, such as a wait dropped before another one; none of the others may pass."""
    instructions, names, before, after = made
    if not instructions:
        return
    worse = spoiled(random.Random(seed), instructions)
    try:
        prove(worse, names, before, after)
    except HazardError:
        return
    for order in range(6):
        play(worse, before, after, order)
