"""Explanations add up to the objective, and say what really happens when something is moved."""

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lwps
from lwps import tracing
from lwps.core import ShapedArray
from lwps.ops import elementwise as ew
from lwps.ops.matmul import matmul
from lwps.ops.shape import reshape
from lwps.placement import cost_table
from lwps.placement.explain import explain
from lwps.plan import Handover, Placement, PlanError, Profile, eqn_key
from lwps.planning import explain_plan, make_plan
from lwps.testing.programs import cost_tables, placements

BOTH = ("cpu", "gpu")


def able(costs, placement):
    """The placement with eqns that cannot run, or are pinned, elsewhere put where they can."""
    asked = [costs.names(costs.asked[:, p].tolist()) for p in range(len(costs.processors))]
    rows = enumerate(placement.processors)
    return Placement(tuple(p if p is None else asked[costs.processors.index(p)][k] for k, p in rows))


def made_up_seconds(placement):
    """Stands for the simulator: a number for each placement."""
    return float(sum(len(p or "") * (k + 1) for k, p in enumerate(placement.processors)))


@st.composite
def placed(draw):
    costs = draw(cost_tables())
    return costs, able(costs, draw(placements(costs.program, costs.processors)))


@given(placed())
def test_seconds_of_eqns_and_of_hand_overs_add_up_to_the_objective(case):
    costs, placement = case
    report = explain(costs, placement, "*", made_up_seconds)
    if not any(costs.runs):
        return
    crossings = {id(c): c for phase in report.phases for c in phase.crossings}.values()
    distinct = dict.fromkeys(crossings)
    total = sum(phase.placed_s for phase in report.phases) + sum(c.seconds for c in distinct)
    assert total == pytest.approx(costs.objective(placement.processors))
    assert report.objective_s == costs.objective(placement.processors)


@given(placed(), st.data())
def test_a_move_costs_what_the_moved_placement_costs(case, data):
    costs, placement = case
    k = data.draw(st.integers(0, len(costs.program.eqns) - 1))
    report = explain(costs, placement, costs.program.names[k], made_up_seconds)
    assert report.processor == placement.processors[k]
    assert {m.processor for m in report.moves} == set(report.seconds) - {report.processor}
    for move in report.moves:
        rows = [move.processor if i == k else p for i, p in enumerate(placement.processors)]
        moved = Placement(tuple(rows))
        assert move.objective_s == costs.objective(rows)
        assert move.predicted_s == made_up_seconds(moved)
        assert move.objective_more_s == pytest.approx(costs.objective(rows) - costs.objective(placement.processors))
        assert move.predicted_more_s == made_up_seconds(moved) - made_up_seconds(placement)


# --- a step that can be checked by hand ---------------------------------------------------------


def step(w, x):
    """`w` is donated and updated by its gradient; `a` goes through a view; the loss goes to the caller."""
    with tracing.layer("one"):
        a = ew.tanh(matmul(x, w))
    with tracing.layer("two"):
        b = ew.relu(reshape(a, (16,)))
    with tracing.scope(phase="backward", layer="one"):
        g = matmul(x, ew.exp(a))
    with tracing.scope(phase="update", layer="one/w"):
        new = ew.sub(w, g)
    return [new, b.sum()]


MATRIX = ShapedArray((4, 4), "float32")
TRACED = attrs.evolve(tracing.record(step, (MATRIX, MATRIX))[0], donated=frozenset({0}))
PROGRAM = lwps.optimize(TRACED)
NAMES = PROGRAM.names
HANDOVERS = {("cpu", "gpu"): Handover(0.5, 0.01), ("gpu", "cpu"): Handover(0.25, 0.0)}
SECONDS = {eqn_key(eqn): {"cpu": 3.0, "gpu": 2.0} for eqn in PROGRAM.eqns}
PROFILE = Profile("made up", "svm-fine", BOTH, SECONDS, dict.fromkeys(BOTH, 0.0), HANDOVERS)
FORWARD_ON_GPU = Placement(
    tuple(("gpu" if eqn.phase == "forward" else "cpu") if eqn.runs else None for eqn in PROGRAM.eqns)
)


def about(pattern, placement=FORWARD_ON_GPU, **options):
    return explain(cost_table(PROGRAM, PROFILE), placement, pattern, made_up_seconds, **options)


def test_the_program_of_these_tests_is_the_one_meant():
    assert NAMES == (
        "one/forward/matmul#0",
        "one/forward/tanh#0",
        "two/forward/reshape#0",
        "two/forward/relu#0",
        "one/backward/exp#0",
        "one/backward/matmul#0",
        "one/w/update/sub#0",
        "forward/reduce_sum#0",
    )


def test_an_eqn_says_who_is_around_it_and_what_it_hands_over():
    report = about("one/forward/tanh#0", pinned=[1])
    assert (report.processor, report.pinned) == ("gpu", True)
    assert report.signature == "tanh float32[4,4] -> float32[4,4]"
    assert report.seconds == {"cpu": 3.0, "gpu": 2.0}
    assert [(v.ends, v.where) for v in report.reads] == [(("one/forward/matmul#0",), ("gpu",))]
    assert [(v.ends, v.where) for v in report.writes] == [
        (("two/forward/relu#0", "one/backward/exp#0"), ("gpu", "cpu"))  # the one through the view
    ]
    (crossing,) = report.crossings
    assert (crossing.writer, crossing.source, crossing.target, crossing.nbytes) == (NAMES[1], "gpu", "cpu", 64)
    assert crossing.readers == ("one/backward/exp#0",)
    assert crossing.seconds == 0.25
    (move,) = report.moves
    # one second more here, the value of matmul comes over instead of its own, which goes back to relu
    assert move.objective_more_s == pytest.approx(1.0 + 0.25 + 0.5 + 0.64 - 0.25)


def test_a_donated_input_is_followed_around_the_step():
    first, update = about("one/forward/matmul#0"), about("one/w/update/sub#0")
    assert [v.ends for v in first.reads] == [("input 1",), ("one/w/update/sub#0 in the step before",)]
    assert [v.where for v in first.reads] == [("cpu",), ("cpu",)]
    assert update.reads[0].ends == ("one/w/update/sub#0 in the step before",)
    assert [v.ends for v in update.writes] == [
        ("one/forward/matmul#0 in the next step", "one/w/update/sub#0 in the next step")
    ]
    assert {(c.writer, c.target) for c in first.crossings} == {("input 1", "gpu"), ("one/w/update/sub#0", "gpu")}


def test_what_the_caller_reads_is_handed_over_to_the_host():
    report = about("forward/reduce_sum#0")
    assert [v.ends for v in report.writes] == [("the caller",)]
    assert [(c.target, c.readers) for c in report.crossings] == [("cpu", ("the caller",))]


def test_an_eqn_that_only_makes_a_view_runs_nowhere():
    report = about("two/forward/reshape#0")
    assert (report.processor, report.seconds, report.moves, report.crossings) == (None, {}, (), ())


def test_a_layer_is_summed_up_by_phase():
    report = about("one")
    assert [p.phase for p in report.phases] == ["forward", "backward", "update"]
    forward = report.phases[0]
    assert forward.eqns == {"gpu": 2}
    assert (forward.placed_s, forward.seconds) == (4.0, {"cpu": 6.0, "gpu": 4.0})
    # w and x come over, tanh's result goes back
    assert forward.handover_s == pytest.approx(2 * (0.5 + 0.64) + 0.25)
    (move,) = forward.moves
    assert move.objective_more_s == pytest.approx(2.0 - 2 * (0.5 + 0.64) - 0.25 + 0.5 + 0.64)
    assert [row.name for row in report.eqns] == [n for n in NAMES if n.startswith("one/")]
    row = report.eqns[1]
    assert row.objective_more_s == {"cpu": about("one/forward/tanh#0").moves[0].objective_more_s}


def test_patterns_mean_what_they_mean_in_pins():
    assert [row.name for row in about("*/backward/*").eqns] == ["one/backward/exp#0", "one/backward/matmul#0"]
    assert [row.name for row in about("two").eqns] == ["two/forward/relu#0"]


def test_a_layer_that_was_fused_away_is_found_where_its_eqns_went():
    def chain(x):
        with tracing.layer("one"):
            x = ew.tanh(x)
        with tracing.layer("two"):
            return ew.exp(x)

    program = lwps.optimize(tracing.trace(chain, np.ones(3, np.float32)))
    seconds = {eqn_key(eqn): {"cpu": 1.0, "gpu": 1.0} for eqn in program.eqns}
    costs = cost_table(program, attrs.evolve(PROFILE, seconds=seconds))
    report = explain(costs, Placement(("cpu",)), "two", made_up_seconds)
    assert [row.name for row in report.eqns] == ["one/forward/fused#0"]
    made_of = explain(costs, Placement(("cpu",)), "one/forward/fused#0", made_up_seconds).made_of
    assert made_of == ("one/forward/tanh#0", "two/forward/exp#0")


def test_what_means_nothing_is_refused_with_what_comes_near():
    with pytest.raises(PlanError, match=r"explain: 'one/forward/tahn#0' must be an eqn, .*mean 'one/forward/tanh#0'"):
        about("one/forward/tahn#0")
    with pytest.raises(PlanError, match=r"explain: '\*/nothing/\*' must be an eqn, a layer or a pattern"):
        about("*/nothing/*")


# --- plans --------------------------------------------------------------------------------------


def test_a_plan_is_explained_by_its_own_seconds_and_pins():
    plan = make_plan(lwps.optimize(TRACED, pins={"two": "gpu"}), PROFILE, "cpu", {"two": "gpu"})
    report = explain_plan(plan, TRACED, "two/forward/relu#0")
    assert (report.processor, report.pinned) == ("gpu", True)
    assert report.moves[0].objective_more_s == pytest.approx(1.0 - 0.5 - 0.64 - 0.25)
    assert explain_plan(plan, TRACED, "one").predicted_s == plan.predicted_s
    with pytest.raises(PlanError, match="plan: must hold a profile to be explained"):
        explain_plan(attrs.evolve(plan, profile=None), TRACED, "one")
