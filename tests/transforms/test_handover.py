"""Instruction lists of random programs, spoiled: what the proof accepts runs right in whatever order queues run."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import lwps
from lwps.plan import Copy, Map, Run, Schedule, Unmap, Wait
from lwps.testing.programs import placements, programs
from lwps.transforms.handover import QUEUED_S, ends, insert_handovers
from lwps.transforms.hazards import HazardError, prove
from lwps.transforms.memory import SHARINGS, check_memory_plan, family, in_place_outputs, plan_memory, values_of


@st.composite
def decisions(draw):
    """What hand-overs are made from: scratch, all ways of sharing, up to two queues."""
    program = lwps.optimize(draw(programs()))
    sharing = draw(st.sampled_from(SHARINGS))
    placement = draw(placements(program, ("cpu", "gpu", "gpu1")))
    schedule = Schedule(tuple(k for k, p in enumerate(placement.processors) if p))
    values = values_of(program, placement, schedule, sharing)
    asked = {k: family(placement.processors[k], sharing) for k in schedule.order if k % 3 == 0}
    scratch = {k: (where, [lwps.ShapedArray((64,), "float32")]) for k, where in asked.items()}
    memory = plan_memory(program, values, schedule, scratch)
    check_memory_plan(program, values, schedule, memory)
    in_place = in_place_outputs(program, values, schedule)
    return program, placement, schedule, values, memory, in_place, dict.fromkeys(asked, (256,)), sharing


seconds = st.sampled_from((0.0, 0.05, 0.3, 0.6, 2.0))  # of each run on a queue; 1 s of them may be ahead


@st.composite
def lists(draw):
    """Instructions, names, what is there before and after, whether memory is mapped."""
    made_of, work_s = draw(decisions()), draw(seconds)
    program, _, _, values, memory, in_place, _, sharing = made_of
    made = insert_handovers(*made_of, lambda run: work_s)
    return list(made), program.names, *ends(program, values, memory, in_place), sharing == "mapped"


class StaleError(Exception):
    """A read found bytes of another value or of another step."""


def play(instructions, before, after, mapped, seed):
    """Two steps over tags instead of values; each queue runs what it has as late as it may, or at any time before.

    Mapped memory is two memories, between which maps and unmaps copy; who does not hold a range finds nothing there.
    """
    rng, tags, modes, late = random.Random(seed), {}, {}, seed % 2 == 0
    queues = {i.processor: [] for i in instructions}

    def bytes_of(r, by="device"):
        side = by == "cpu" and mapped and r.space.endswith("@shared")
        return tags.setdefault((r.space, side), np.full(1 << 15, -1))[r.start : r.stop]

    def check(r, step, by="device"):
        if (bytes_of(r, by) != r.value * 2 + step).any():
            raise StaleError(r)

    def change_hands(instruction):
        host, device = bytes_of(instruction.range, "cpu"), bytes_of(instruction.range)
        if isinstance(instruction, Map):
            modes[instruction.range] = instruction.mode
            if instruction.mode != "write":
                host[...] = device
            if instruction.mode != "read":
                device[...] = -1
        elif modes.pop(instruction.range) == "read":
            host[...] = -1
        else:
            device[...], host[...] = host.copy(), -1

    def do(instruction, step):
        if isinstance(instruction, Map | Unmap):
            return change_hands(instruction)
        for r in instruction.reads:
            check(r, step, instruction.processor)
        for r in instruction.writes:
            bytes_of(r, instruction.processor)[...] = r.value * 2 + step
        return None

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
            elif isinstance(instruction, Run | Copy | Map | Unmap):
                queues[instruction.processor].append((place, instruction, step))
            name = rng.choice([*queues])
            if not late and queues[name]:
                run_queue(name, rng.choice(queues[name])[0])
        for r in after:
            check(r, step)


@given(made=lists(), seed=st.integers(0, 9))
def test_what_is_made_is_proven_and_runs_right_in_any_order(made, seed):
    instructions, names, before, after, mapped = made
    prove(instructions, names, before, after, mapped=mapped)
    play(instructions, before, after, mapped, seed)


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
    instructions, names, before, after, mapped = made
    if not instructions:
        return
    worse = spoiled(random.Random(seed), instructions)
    try:
        prove(worse, names, before, after, mapped=mapped)
    except HazardError:
        return
    for order in range(6):
        play(worse, before, after, mapped, order)


@given(made_of=decisions(), work_s=seconds)
def test_no_queue_has_more_than_its_bound_of_work_ahead(made_of, work_s):
    ahead = {}
    for at, i in enumerate(insert_handovers(*made_of, lambda run: work_s)):
        if isinstance(i, Wait):
            ahead[i.processor] = [k for k in ahead[i.processor] if k > i.upto]
        elif isinstance(i, Run) and i.processor != "cpu":
            row = ahead.setdefault(i.processor, [])
            row.append(at)
            assert len(row) == 1 or len(row) * work_s <= QUEUED_S
        elif isinstance(i, Copy | Map | Unmap):
            ahead.setdefault(i.processor, [])
