"""The cut is the optimum: against exhaustive search, at every scale, with pins and donated inputs."""

import itertools
import time

import attrs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lwps import tracing
from lwps.core import ShapedArray, donation_pairs, storage_roots
from lwps.ops import elementwise as ew
from lwps.placement import cost_table, handover_s, independent, mincut, objective
from lwps.placement.costs import NOWHERE
from lwps.plan import Handover, PlanError, Profile, check_placement, eqn_key
from lwps.testing.programs import cost_tables, exhaustive, pins, placements, profiles, programs

MATRIX = ShapedArray((8, 8), "float32")
BOTH = ("cpu", "cl-cpu")


def profile_of(program, processors=BOTH, latency_s=1.0, s_per_byte=0.0):
    pairs = itertools.permutations(processors, 2)
    handovers = {pair: Handover(latency_s, s_per_byte) for pair in pairs}
    seconds = {eqn_key(eqn): dict.fromkeys(processors, 1.0) for eqn in program.eqns}
    return Profile("made up", "svm-fine", processors, seconds, dict.fromkeys(processors, 0.0), handovers)


def with_seconds(program, profile, *rows):
    return attrs.evolve(cost_table(program, profile), seconds=np.array(rows, float))


def recorded(fn, n_inputs, donated=()):
    program, _ = tracing.record(fn, (MATRIX,) * n_inputs)
    return attrs.evolve(program, donated=frozenset(donated))


def plain_objective(costs, processors):
    """The definition, from the program itself: sets of what is handed over."""
    program, roots = costs.program, storage_roots(costs.program)
    replacement = {program.inputs[i]: program.outputs[o] for o, i in donation_pairs(program).items()}
    wrote = {v: k for k, eqn in enumerate(program.eqns) for v in eqn.outs}
    constants = {v for v, _ in program.consts}

    def source(value):
        value = roots[value]
        for _ in program.inputs:  # a chain of donations is no longer than that
            value = roots[replacement.get(value, value)] if value not in wrote else value
        return value

    reads = [(source(v), processors[k]) for k, eqn in enumerate(program.eqns) if eqn.runs for v in eqn.ins]
    kept = donation_pairs(program)
    reads += [(source(v), "cpu") for o, v in enumerate(program.outputs) if o not in kept]
    crossings = set()
    for value, target in reads:
        at = processors[wrote[value]] if value in wrote else "cpu"
        if at != target and value not in constants:
            crossings.add((wrote.get(value), at, target, value))
    total = sum(costs.seconds[k, costs.processors.index(p)] for k, p in enumerate(processors) if p is not None)
    total += sum(costs.profile.handovers[at, to].s_per_byte * v.aval.nbytes for _, at, to, v in crossings)
    return total + sum(costs.profile.handovers[at, to].latency_s for _, at, to in {c[:3] for c in crossings})


def cycles_of_donations(program):
    """Whether donated inputs are outputs in place of each other, so that no step writes them."""
    return any(program.outputs[o] in program.inputs for o in donation_pairs(program))


# --- the objective ------------------------------------------------------------------------------


@given(st.data())
def test_the_objective_is_what_its_definition_says(data):
    costs = data.draw(cost_tables().filter(lambda c: not cycles_of_donations(c.program)))
    placement = data.draw(placements(costs.program, BOTH))
    assert objective(costs, placement.processors) == pytest.approx(
        plain_objective(costs, placement.processors), rel=1e-12
    )


@given(st.data())
def test_the_objective_never_falls_when_anything_becomes_slower(data):
    costs = data.draw(cost_tables())
    placement = data.draw(placements(costs.program, BOTH))
    slower = {pair: Handover(h.latency_s * 2, h.s_per_byte + 1e-9) for pair, h in costs.profile.handovers.items()}
    worse = attrs.evolve(costs, profile=attrs.evolve(costs.profile, handovers=slower), seconds=costs.seconds + 1e-6)
    assert objective(worse, placement.processors) >= objective(costs, placement.processors)


def test_latency_is_paid_once_for_an_eqn_and_bytes_once_for_each_value_and_reader():
    def fn(x):
        from lwps.ops.fused import fused_p

        body, _ = tracing.record(lambda x: [ew.add(x, x), ew.tanh(x)], (MATRIX,))
        y, z = fused_p.bind(x, body=body)
        return [ew.add(y, z), ew.sub(y, z)]

    program = recorded(fn, 1)
    costs = cost_table(program, profile_of(program, latency_s=100.0, s_per_byte=1.0))
    # x arrives on the host and the results are read there: two latencies for two producers
    assert objective(costs, ("cpu", "cl-cpu", "cl-cpu")) == 3 + (100 + 2 * 256) + 2 * (100 + 256)
    assert costs.handovers(("cpu", "cl-cpu", "cl-cpu")) == 3
    assert objective(costs, ("cpu", "cpu", "cpu")) == 3


def test_an_output_that_replaces_a_donated_input_is_handed_to_the_next_step_and_not_to_the_caller():
    def step(w, m):
        y = ew.tanh(w)  # reads what the step before wrote
        return [ew.add(w, y), m]

    program = recorded(step, 2, donated=(0,))
    costs = cost_table(program, profile_of(program))
    assert objective(costs, ("cl-cpu", "cl-cpu")) == 2  # neither arrives from the host nor goes there
    assert objective(costs, ("cpu", "cl-cpu")) == 2 + 2  # w to tanh in the next step, y to add
    undonated = cost_table(attrs.evolve(program, donated=frozenset()), profile_of(program))
    assert objective(undonated, ("cl-cpu", "cl-cpu")) == 2 + 2


def test_a_reader_of_a_view_reads_its_root():
    def fn(x):
        from lwps.ops.shape import reshape

        return [ew.tanh(reshape(ew.tanh(x), (64,)))]

    program = recorded(fn, 1)
    costs = cost_table(program, profile_of(program))
    assert objective(costs, ("cpu", None, "cpu")) == 2
    assert objective(costs, ("cl-cpu", None, "cpu")) == 2 + 2  # x there and the view's bytes back
    assert mincut(costs).processors == ("cpu", None, "cpu")


def test_constants_are_not_handed_over_every_step():
    program = recorded(lambda x: [ew.add(ew.tanh(np.ones((8, 8), np.float32)), x)], 1)
    costs = cost_table(program, profile_of(program))
    assert objective(costs, ("cl-cpu", "cl-cpu")) == 2 + 2  # x and the result


@given(st.data())
def test_eqns_that_are_nowhere_are_left_out(data):
    costs = data.draw(cost_tables())
    assert handover_s(costs, costs.flows, [NOWHERE] * len(costs.program.eqns)) == 0


# --- the cut ------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(cost_tables())
def test_the_cut_is_as_good_as_exhaustive_search(costs):
    placement = mincut(costs)
    check_placement(costs.program, placement, costs.processors)
    _, best_s = exhaustive(costs)
    assert placement.objective_s == objective(costs, placement.processors)
    assert placement.objective_s == pytest.approx(best_s, rel=1e-6, abs=0)


@given(cost_tables(), st.sampled_from((1e-9, 1e-6, 1e3, 1e6)))
def test_the_cut_does_not_depend_on_the_unit_of_time(costs, unit):
    handovers = {k: Handover(h.latency_s * unit, h.s_per_byte * unit) for k, h in costs.profile.handovers.items()}
    profile = attrs.evolve(costs.profile, handovers=handovers)
    scaled = attrs.evolve(costs, profile=profile, seconds=costs.seconds * unit)
    assert mincut(scaled).objective_s == pytest.approx(mincut(costs).objective_s * unit, rel=1e-6)


@given(cost_tables(max_eqns=30))
def test_the_cut_is_never_above_the_better_single_processor_nor_the_naive_choice(costs):
    singles = [objective(costs, costs.names(costs.asked[:, p])) for p in range(2)]
    assert mincut(costs).objective_s <= min(singles)
    assert mincut(costs).objective_s <= independent(costs).objective_s * (1 + 1e-9)


@given(cost_tables(max_eqns=30))
def test_no_single_eqn_of_a_larger_program_is_better_off_elsewhere(costs):
    found = mincut(costs)
    for k in np.flatnonzero(costs.runs):
        for other in BOTH:
            moved = (*found.processors[:k], other, *found.processors[k + 1 :])
            assert objective(costs, moved) >= found.objective_s * (1 - 1e-6)


@example(1e-9, 1e3)
@given(st.sampled_from((1e-9, 1e-6, 1e-3)), st.sampled_from((1.0, 1e3)))
def test_tiny_seconds_beside_huge_ones_are_not_rounded_away(tiny, huge):
    program = recorded(lambda x: [ew.tanh(ew.neg(ew.tanh(x)))], 1, donated=(0,))
    profile = profile_of(program, latency_s=tiny / 4)
    # both single processors take huge seconds, in 29 bits of which tiny ones are 0: only the second cut sees them
    costs = with_seconds(program, profile, [0, huge], [huge, 0], [0, tiny])
    assert mincut(costs).processors == ("cpu", "cl-cpu", "cpu")
    assert mincut(costs).objective_s == pytest.approx(2 * tiny / 4)


def test_costs_of_nothing_and_programs_of_nothing_have_a_cut():
    program = recorded(lambda x: [ew.tanh(x)], 1)
    assert mincut(with_seconds(program, profile_of(program, latency_s=0.0), [0, 0])).objective_s == 0
    empty = recorded(lambda x: [x], 1)
    assert mincut(cost_table(empty, profile_of(empty))).processors == ()


@given(st.data())
def test_pins_hold_in_the_cut(data):
    program = data.draw(programs())
    profile = data.draw(profiles(program))
    pinned = data.draw(pins(program, profile))
    costs = cost_table(program, profile, pinned)
    where = dict(zip(program.names, mincut(costs).processors, strict=True))
    assert {n: where[n] for n in pinned if where[n] is not None}.items() <= pinned.items()


def test_one_processor_needs_no_cut_and_three_are_refused():
    program = recorded(lambda x: [ew.tanh(x)], 1)
    assert mincut(cost_table(program, profile_of(program, ("cpu",)))).processors == ("cpu",)
    three = cost_table(program, profile_of(program, ("cpu", "cl-cpu", "gpu")))
    with pytest.raises(PlanError, match="mincut: places on two processors at a time, got cpu, cl-cpu, gpu; give it"):
        mincut(three)


def test_the_exhaustive_search_refuses_what_would_take_too_long():
    def fn(x):
        for _ in range(14):
            x = ew.tanh(x)
        return [x]

    program = recorded(fn, 1)
    with pytest.raises(ValueError, match=r"exhaustive: must have at most 8192 placements to try, got 1\.64e\+04"):
        exhaustive(cost_table(program, profile_of(program)))


def resnet_sized_step(layers=62):
    """About 560 eqns and 680 values: skip connections, a backward that reads forward's values, donated weights."""

    def step(x, *weights):
        kept, grads, outs = [], [], []
        for k, w in enumerate(weights):
            with tracing.layer(f"layer{k}"):
                y = ew.tanh(ew.add(x, w))
                kept.append((x, y))
                x = ew.maximum(y, x) if k % 2 else ew.relu(y)
        ct = x
        for k, (x0, y) in reversed(list(enumerate(kept))):
            with tracing.scope(phase="backward", layer=f"layer{k}"):
                grads.append((weights[k], ew.add(ew.mul(ct, y), x0)))
                ct = ew.sub(ew.mul(grads[-1][1], ct), y)
        with tracing.scope(phase="update"):
            outs = [ew.sub(w, ew.mul(g, ew.neg(g))) for w, g in reversed(grads)]
        return [*outs, ew.copy(ct)]

    return recorded(step, layers + 1, donated=range(1, layers + 1))


def test_a_program_of_the_size_of_resnet18_is_placed_in_a_fifth_of_a_second():
    program = resnet_sized_step()
    profile = profile_of(program, latency_s=20e-6, s_per_byte=1e-9)
    seconds = np.random.default_rng(0).lognormal(-10, 1, (len(program.eqns), 2))
    best_s = np.inf
    for _ in range(3):  # the best of three: the machine may be busy
        start = time.perf_counter()
        costs = attrs.evolve(cost_table(program, profile), seconds=seconds)
        placement = mincut(costs)
        best_s = min(best_s, time.perf_counter() - start)
    assert len(program.eqns) > 500
    assert len(placement.counts()) == 2
    assert best_s < 0.2
