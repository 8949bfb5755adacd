"""The simulated step time: lists of one lane add up, queues overlap with the host, waits and copies cost."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps import tracing
from lwps.core import ShapedArray
from lwps.ops import elementwise as ew
from lwps.placement import simulate
from lwps.plan import Copy, Flush, Handover, PlanError, Profile, Range, Run, Wait, eqn_key
from lwps.testing.programs import durations

PROGRAM, _ = tracing.record(lambda x: [ew.exp(ew.tanh(ew.relu(x)))], (ShapedArray((8,), "float32"),))
SECONDS = ({"cpu": 3.0, "cl-cpu": 10.0}, {"cpu": 5.0, "cl-cpu": 20.0}, {"cpu": 7.0})
NBYTES = 32


def profile_of(rows=SECONDS, host_s=0.0, start_s=1.0, latency_s=0.25, s_per_byte=0.125):
    seconds = {eqn_key(eqn): row for eqn, row in zip(PROGRAM.eqns, rows, strict=True)}
    handovers = {pair: Handover(latency_s, s_per_byte) for pair in itertools.permutations(("cpu", "cl-cpu"), 2)}
    starts = {"cpu": host_s, "cl-cpu": start_s}
    return Profile("made up", "copy", ("cpu", "cl-cpu"), seconds, starts, handovers)


def run(k, processor):
    return Run(k, processor, (), ())


def copy(source, target, nbytes=NBYTES):
    return Copy("cl-cpu", (Range(f"arena0@{source}", 64, 64 + nbytes, 7),), (Range(f"slot3@{target}", 0, nbytes, 7),))


orders = st.lists(st.integers(0, 1), max_size=12)
rows = st.lists(st.fixed_dictionaries({"cpu": durations, "cl-cpu": durations}), min_size=3, max_size=3)


@given(orders, rows, durations)
def test_a_list_on_the_host_takes_the_sum_of_its_eqns(order, rows, host_s):
    step = simulate(PROGRAM, [run(k, "cpu") for k in order], profile_of(rows, host_s))
    assert step.step_s == pytest.approx(sum(rows[k]["cpu"] + host_s for k in order))
    assert sum(step.busy_s.values()) == pytest.approx(step.step_s)
    assert step.handover_s == 0


@given(orders, rows)
def test_a_list_on_a_queue_that_costs_nothing_to_start_takes_the_sum_of_its_eqns(order, rows):
    instructions = [*(run(k, "cl-cpu") for k in order), Flush("cl-cpu")]
    step = simulate(PROGRAM, instructions, profile_of(rows, start_s=0.0))
    assert step.step_s == pytest.approx(sum(rows[k]["cl-cpu"] for k in order))


@given(orders, rows, durations)
def test_a_queue_waits_for_the_host_that_fills_it(order, rows, start_s):
    """The j-th eqn begins when the host has started it: the longest of all sums of starts up to j and eqns from j."""
    seconds = [rows[k]["cl-cpu"] for k in order]
    expected = max([(j + 1) * start_s + sum(seconds[j:]) for j in range(len(order))], default=0.0)
    step = simulate(PROGRAM, [run(k, "cl-cpu") for k in order], profile_of(rows, start_s=start_s))
    assert step.step_s == pytest.approx(max(expected, len(order) * start_s))


def test_the_host_works_while_a_queue_does():
    step = simulate(PROGRAM, [run(0, "cl-cpu"), Flush("cl-cpu"), run(1, "cpu")], profile_of())
    assert step.step_s == 1 + 10
    assert step.busy_s == {"cpu": 1 + 5, "cl-cpu": 10}


def test_a_wait_holds_the_host_until_the_instruction_has_ended():
    instructions = [run(0, "cl-cpu"), run(1, "cl-cpu"), Wait("cl-cpu", 0), run(2, "cpu"), Wait("cl-cpu", 1)]
    step = simulate(PROGRAM, instructions, profile_of())
    # both started by 2, the first ended at 11, the host done at 18.25; the second ended at 31
    assert step.step_s == 11 + 20 + 0.25
    assert step.handover_s == 0.5


def test_a_wait_for_what_has_long_ended_costs_its_latency_only():
    instructions = [run(0, "cl-cpu"), *(run(2, "cpu") for _ in range(3)), Wait("cl-cpu", 0)]
    assert simulate(PROGRAM, instructions, profile_of()).step_s == 1 + 21 + 0.25


def test_a_copy_is_queued_and_takes_latency_and_bytes():
    step = simulate(PROGRAM, [copy("cpu", "cl-cpu"), run(0, "cl-cpu"), copy("cl-cpu", "cpu")], profile_of())
    assert step.handover_s == 2 * (0.25 + NBYTES * 0.125)
    assert step.step_s == 1 + 4.25 + 10 + 4.25
    assert step.busy_s == {"cpu": 3, "cl-cpu": 10 + 8.5}


@given(st.lists(st.sampled_from([run(0, "cpu"), run(1, "cl-cpu"), copy("cpu", "cl-cpu"), Flush("cl-cpu")]), max_size=9))
def test_a_step_takes_no_less_than_its_busiest_processor_and_no_more_than_all(instructions):
    step = simulate(PROGRAM, instructions, profile_of())
    assert max(step.busy_s.values(), default=0) <= step.step_s <= sum(step.busy_s.values())


def test_an_eqn_that_was_never_measured_is_refused_by_name():
    profile = profile_of()
    del profile.seconds[eqn_key(PROGRAM.eqns[0])]
    with pytest.raises(PlanError, match=r"profile: has no measurement of relu\(float32\[8\]\)"):
        simulate(PROGRAM, [run(0, "cpu")], profile)


def test_what_a_processor_cannot_run_takes_for_ever():
    assert simulate(PROGRAM, [run(2, "cl-cpu")], profile_of()).step_s == np.inf
