"""What each policy promises, what `place` accepts, and what it refuses."""

import itertools

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps import placement as placing
from lwps import tracing
from lwps.core import ShapedArray
from lwps.ops import elementwise as ew
from lwps.ops.shape import reshape
from lwps.placement import POLICIES, cost_table, independent, layerwise, layerwise_chain, mincut, objective, place
from lwps.placement.policies import layers_of
from lwps.plan import Handover, Placement, PlanError, Profile, check_placement, eqn_key
from lwps.testing.programs import cost_tables, pins, placements, profiles, programs

MATRIX = ShapedArray((8, 8), "float32")
BOTH = ("cpu", "cl-cpu")


def profile_of(program, processors=BOTH, latency_s=1.0):
    handovers = {pair: Handover(latency_s, 0.0) for pair in itertools.permutations(processors, 2)}
    seconds = {eqn_key(eqn): dict.fromkeys(processors, 1.0) for eqn in program.eqns}
    return Profile("made up", "svm-fine", processors, seconds, dict.fromkeys(processors, 0.0), handovers)


def small_step(w, x):
    """Two layers forward and backward, updates that name a parameter, a view, and a loss for the caller."""
    with tracing.layer("one"):
        a = ew.tanh(ew.mul(x, w))
    with tracing.layer("two"):
        b = ew.exp(reshape(a, (64,)))
    with tracing.scope(phase="backward", layer="two"):
        ct = ew.mul(b, b)
    with tracing.scope(phase="backward", layer="one"):
        g = ew.mul(reshape(ct, (8, 8)), a)
    with tracing.scope(phase="update", layer="w"):
        new = ew.sub(w, ew.neg(g))
    return [new, ew.relu(b)]


SMALL = attrs.evolve(tracing.record(small_step, (MATRIX, MATRIX))[0], donated=frozenset({0}))
PROFILE = profile_of(SMALL)
NAMES = tuple(n for n, eqn in zip(SMALL.names, SMALL.eqns, strict=True) if eqn.runs)


# --- every policy -------------------------------------------------------------------------------


@given(st.data(), st.sampled_from([*POLICIES, *BOTH]))
def test_every_policy_gives_a_placement_that_fits_and_keeps_pins(data, policy):
    program = data.draw(programs())
    profile = data.draw(profiles(program))
    pinned = data.draw(pins(program, profile))
    placement = place(program, profile, policy, pinned)
    check_placement(program, placement, profile.processors)
    where = dict(zip(program.names, placement.processors, strict=True))
    assert all(where[name] in (None, p) for name, p in pinned.items())
    costs = cost_table(program, profile, pinned)
    assert placement.objective_s == objective(costs, placement.processors) < np.inf
    assert placement.policy == policy


@given(cost_tables(max_eqns=12))
def test_no_policy_beats_the_cut(costs):
    least = mincut(costs).objective_s
    for policy in (independent, layerwise, layerwise_chain):
        assert policy(costs).objective_s >= least * (1 - 1e-9)


@given(cost_tables(processors=("cpu", "cl-cpu", "gpu")))
def test_all_but_the_cut_take_three_processors(costs):
    for policy in (independent, layerwise, layerwise_chain):
        check_placement(costs.program, policy(costs), costs.processors)


@given(cost_tables(processors=("cpu",)))
def test_on_one_processor_all_policies_agree(costs):
    assert len({policy(costs).processors for policy in POLICIES.values()}) == 1


# --- one by one ---------------------------------------------------------------------------------


@given(cost_tables())
def test_independent_puts_each_eqn_where_it_is_fastest(costs):
    for k, p in enumerate(costs.positions(independent(costs).processors)):
        assert not costs.runs[k] or costs.seconds[k, p] == costs.seconds[k].min()


@given(st.data(), st.sampled_from(BOTH))
def test_a_processors_name_takes_all_that_it_can_run_and_the_host_the_rest(data, processor):
    program = data.draw(programs())
    profile = data.draw(profiles(program))
    placement = place(program, profile, processor)
    for eqn, p in zip(program.eqns, placement.processors, strict=True):
        able = np.isfinite(profile.eqn_s(eqn, processor)) if eqn.runs else False
        assert p == ((processor if able else "cpu") if eqn.runs else None)


def test_layers_hold_their_forward_and_their_backward_with_the_updates_that_follow_it():
    one, two, rest = layers_of(SMALL)
    names = [[SMALL.names[k] for k in eqns] for x in (one, two, rest) for eqns in (x.forward, x.backward)]
    assert (one.layer, two.layer, rest.layer) == ("one", "two", "")
    assert names == [
        ["one/forward/mul#0", "one/forward/tanh#0"],
        ["one/backward/mul#0", "w/update/neg#0", "w/update/sub#0"],
        ["two/forward/exp#0"],
        ["two/backward/mul#0"],
        ["forward/relu#0"],
        [],
    ]


def test_layerwise_weighs_the_hand_over_to_backward_against_its_gain():
    """Backward of layer `one` gains 2 s elsewhere and reads `a` from forward, which must stay."""
    seconds = np.ones((len(SMALL.eqns), 2))
    seconds[0, 1] = 9
    backward = [k for k, eqn in enumerate(SMALL.eqns) if eqn.layer == "one" and eqn.phase == "backward" and eqn.runs]
    seconds[backward, 0] = 3
    for latency_s, processor in ((1.9, "cl-cpu"), (2.1, "cpu")):
        costs = cost_table(SMALL, profile_of(SMALL, latency_s=latency_s))
        found = layerwise(attrs.evolve(costs, seconds=seconds * costs.runs[:, None]))
        assert found.processors[backward[0]] == processor
        assert found.processors[0] == "cpu"


def test_layerwise_chain_weighs_the_hand_overs_between_layers_too():
    """Layer `two` alone would gain 1 s elsewhere; its two hand-overs, which layerwise ignores, cost 2 s."""
    seconds = np.ones((len(SMALL.eqns), 2))
    seconds[[k for k, eqn in enumerate(SMALL.eqns) if eqn.layer == "two"], 1] = 0.5
    costs = cost_table(SMALL, PROFILE)
    costs = attrs.evolve(costs, seconds=seconds * costs.runs[:, None])
    assert set(layerwise(costs).processors) == {"cpu", "cl-cpu", None}
    assert layerwise(costs).objective_s > layerwise_chain(costs).objective_s
    assert set(layerwise_chain(costs).processors) == {"cpu", None}


def chain_step(x, *weights):
    """Three layers; each value is read in its own layer and one neighbour, each weight by its own layer only."""
    kept, outs = [], []
    for k, w in enumerate(weights):
        with tracing.layer(f"layer{k}"):
            x = ew.tanh(ew.mul(x, w))
            kept.append(x)
    with tracing.scope(phase="backward", layer=f"layer{len(weights) - 1}"):
        ct = ew.neg(x)
    for k, w in reversed(list(enumerate(weights))):
        with tracing.scope(phase="backward", layer=f"layer{k}"):
            ct = ew.mul(ct, kept[k])
        with tracing.scope(phase="update"):
            outs.append(ew.sub(w, ct))
    return outs[::-1]  # in the order of the weights that they replace


CHAIN = attrs.evolve(tracing.record(chain_step, (MATRIX,) * 4)[0], donated=frozenset({1, 2, 3}))


@given(st.integers(0, 2**32 - 1), st.sampled_from((0.01, 0.3, 3.0)))
def test_layerwise_chain_finds_the_best_pairs_of_a_chain(seed, latency_s):
    rng = np.random.default_rng(seed)
    costs = cost_table(CHAIN, profile_of(CHAIN, latency_s=latency_s))
    costs = attrs.evolve(costs, seconds=rng.uniform(0, 1, costs.seconds.shape))
    layers, best_s = layers_of(CHAIN), np.inf
    for states in itertools.product(itertools.product((0, 1), repeat=2), repeat=3):
        at = [0] * len(CHAIN.eqns)
        for layer, (p, q) in zip(layers, states, strict=True):
            for k in layer.forward:
                at[k] = p
            for k in layer.backward:
                at[k] = q
        best_s = min(best_s, costs.objective_at(at))
    assert layerwise_chain(costs).objective_s == pytest.approx(best_s)


# --- a user's function ---------------------------------------------------------------------------


@given(st.data())
def test_a_function_may_return_a_placement_a_mapping_or_a_sequence(data):
    program = data.draw(programs())
    profile = profile_of(program)
    placement = data.draw(placements(program, BOTH))
    rows = {n: p for n, p in zip(program.names, placement.processors, strict=True) if p is not None}
    for result in (placement, rows, placement.processors, list(placement.processors)):
        found = place(program, profile, lambda *_, result=result: result)
        assert found.processors == placement.processors
        assert found.objective_s == objective(cost_table(program, profile), placement.processors)


def test_a_function_gives_its_name_to_the_plan():
    def mine(program, profile):
        return dict.fromkeys(NAMES, "cl-cpu")

    assert place(SMALL, PROFILE, mine).policy == "mine"


everywhere = Placement.everywhere(SMALL, "cpu").processors


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("cl-cpu", "place: policy mine must return a Placement, a mapping .* got 'cl-cpu'"),
        (None, "place: policy mine must return a Placement, a mapping .* got None"),
        (dict.fromkeys(NAMES[1:], "cpu"), r"placement: must name every eqn that runs, .* \['one/forward/mul#0'\]"),
        ({**dict.fromkeys(NAMES, "cpu"), "mul": "cpu"}, r"unknown names \['mul'\]"),
        (dict.fromkeys(NAMES, "gpu"), "one/forward/mul#0 must be on one of cpu, cl-cpu, got 'gpu'"),
        (("gpu", *everywhere[1:]), "one/forward/mul#0 must be on one of cpu, cl-cpu, got 'gpu'"),
        (everywhere[1:], f"must have a processor for each of {len(everywhere)} eqns, got {len(everywhere) - 1}"),
        (["cpu"] * len(everywhere), "two/forward/reshape#0 only makes a view and runs nowhere, got 'cpu'"),
    ],
)
def test_what_a_function_returns_is_checked(result, message):
    def mine(program, profile):
        return result

    with pytest.raises(PlanError, match=message):
        place(SMALL, PROFILE, mine)


def test_a_function_cannot_put_an_eqn_where_it_cannot_run_or_is_not_pinned():
    def mine(program, profile):
        return dict.fromkeys(NAMES, "cl-cpu")

    message = r"placement: two/forward/exp#0 must be where it can run and is pinned \(cpu\), got 'cl-cpu'"
    with pytest.raises(PlanError, match=message):
        place(SMALL, PROFILE, mine, {"two/forward/exp#0": "cpu"})
    seconds = {k: {"cpu": 1.0} if k.startswith("exp") else row for k, row in PROFILE.seconds.items()}
    with pytest.raises(PlanError, match=message):
        place(SMALL, attrs.evolve(PROFILE, seconds=seconds), mine)


# --- names, pins and profiles ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("min-cut", "place: policy must be one of cpu, cl-cpu, independent, .* got 'min-cut'; did you mean 'mincut'"),
        ("gpu", "place: policy must be one of cpu, cl-cpu, independent, .* or a function, got 'gpu'"),
    ],
)
def test_an_unknown_policy_is_refused_with_those_that_are_known(policy, message):
    with pytest.raises(PlanError, match=message):
        place(SMALL, PROFILE, policy)


def placed(pinned):
    return {n: p for n, p in zip(SMALL.names, place(SMALL, PROFILE, "cpu", pinned).processors, strict=True) if p}


def test_pins_name_eqns_patterns_or_layers_and_later_ones_win():
    assert {n for n, p in placed({"two": "cl-cpu"}).items() if p != "cpu"} == {
        "two/forward/exp#0",
        "two/backward/mul#0",
    }
    assert {n for n, p in placed({"*/mul#?": "cl-cpu"}).items() if p != "cpu"} == {n for n in NAMES if "/mul#" in n}
    assert {n for n, p in placed({"*": "cl-cpu", "one": "cpu"}).items() if p == "cpu"} == {
        n for n in NAMES if n.startswith("one/")
    }


@pytest.mark.parametrize(
    ("pinned", "message"),
    [
        ({"two/forward/esp#0": "cpu"}, r"pins: 'two/forward/esp#0' must match an eqn's .* mean 'two/forward/exp#0'"),
        ({"too": "cpu"}, "pins: 'too' must match an eqn's name or be a layer; did you mean 'two'"),
        ({"nothing*": "cpu"}, r"pins: 'nothing\*' must match an eqn's name or be a layer$"),
        ({"two": "cl-cpu1"}, "pins: 'two' must be pinned to one of cpu, cl-cpu, got 'cl-cpu1'; did you mean 'cl-cpu'"),
    ],
)
def test_unknown_pins_are_refused_with_what_comes_nearest(pinned, message):
    with pytest.raises(PlanError, match=message):
        place(SMALL, PROFILE, "cpu", pinned)


def test_a_pin_to_a_processor_that_cannot_run_the_eqn_is_refused():
    seconds = {k: {"cpu": 1.0} if k.startswith("exp") else row for k, row in PROFILE.seconds.items()}
    message = r"two/forward/exp#0 must be pinned to a processor that can run it \(cpu\), got exp\("
    with pytest.raises(PlanError, match=message):
        place(SMALL, attrs.evolve(PROFILE, seconds=seconds), "mincut", {"two": "cl-cpu"})


def test_a_profile_without_host_hand_over_or_measurement_is_refused():
    with pytest.raises(PlanError, match="profile: must hold the host 'cpu', got cl-cpu"):
        place(SMALL, attrs.evolve(PROFILE, processors=("cl-cpu",)))
    with pytest.raises(PlanError, match="profile: must say what a hand-over from cpu to cl-cpu costs; calibrate again"):
        place(SMALL, attrs.evolve(PROFILE, handovers={}))
    with pytest.raises(PlanError, match=r"profile: has no measurement of mul\(.*\) in one, forward"):
        place(SMALL, attrs.evolve(PROFILE, seconds={}))


def test_the_package_offers_its_verbs_and_not_its_modules():
    assert placing.simulate is not None
    assert callable(placing.simulate)
    assert callable(placing.mincut)
    assert set(placing.POLICIES) == {"independent", "layerwise", "layerwise-chain", "mincut"}
