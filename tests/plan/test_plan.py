"""Plans: files that come back as they were, pins that are kept, and what is said where a plan does not fit."""

import contextlib
import itertools
import json

import attrs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import lwps
from lwps import core, tracing
from lwps.ops import elementwise as ew
from lwps.ops.matmul import matmul
from lwps.plan import Handover, Plan, PlanError, Profile, check_placement, difference, eqn_key, load_plan, save_plan
from lwps.planning import fit, make_plan, placed, predict
from lwps.testing.programs import LAYERS, pins, profiles, programs
from lwps.transforms.simplify import separate_outputs, simplify

BOTH = ("cpu", "cl-cpu")


def two_layers(x, w, v):
    with tracing.layer("one"):
        h = ew.tanh(matmul(x, w) + 1.0)
    with tracing.layer("two/a"):
        h = ew.relu(h * 2.0)
    with tracing.layer("two/b"):
        return (matmul(h, v) ** 2).sum()


ARGS = (np.full((4, 6), 0.5, np.float32), np.ones((6, 5), np.float32), np.ones((5, 3), np.float32))
TRACED = tracing.trace(two_layers, *ARGS)


def profile_of(program, **changes):
    """One second an eqn on the host, two elsewhere."""
    seconds = {eqn_key(eqn): {"cpu": 1.0, "cl-cpu": 2.0} for eqn in program.eqns}
    handovers = {pair: Handover(0.25, 1e-9) for pair in itertools.permutations(BOTH, 2)}
    profile = Profile("made up", "svm-fine", BOTH, seconds, dict.fromkeys(BOTH, 0.0), handovers)
    return attrs.evolve(profile, **changes)


def plan_for(traced=TRACED, pins=None, **changes):
    program = lwps.optimize(traced, pins=pins)
    return attrs.evolve(make_plan(program, profile_of(program), "mincut", pins), **changes)


def where(program, placement):
    return dict(zip(program.names, placement.processors, strict=True))


# --- files --------------------------------------------------------------------------------------


@st.composite
def plans(draw):
    program = draw(programs())
    profile = draw(profiles(program))
    subject = draw(st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(1, 99), max_size=3))
    fixed = draw(pins(program, profile))
    return make_plan(
        program, profile, "mincut", fixed, subject=subject, blas_threads=draw(st.none() | st.integers(1, 8))
    )


@given(plans())
def test_a_plan_comes_back_from_json_as_it_was(plan):
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_plan_comes_back_from_a_file_as_it_was(tmp_path):
    plan = plan_for(pins={"two": "cl-cpu"})
    save_plan(plan, tmp_path / "plan.json")
    save_plan(plan, tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


TEXT = json.dumps(plan_for(pins={"two": "cl-cpu"}).to_json(), indent=1).encode()


@given(st.integers(0, len(TEXT) - 1))
@example(0)
def test_a_truncated_file_is_refused_by_name(tmp_path_factory, length):
    file = tmp_path_factory.mktemp("plan") / "cut.json"
    file.write_bytes(TEXT[:length])
    with pytest.raises(PlanError, match=r"cut\.json"):
        load_plan(file)


@given(st.integers(0, len(TEXT) - 1), st.integers(1, 255))
def test_a_file_with_a_flipped_byte_is_a_plan_or_is_refused_by_name(tmp_path_factory, at, flip):
    damaged = bytearray(TEXT)
    damaged[at] ^= flip
    file = tmp_path_factory.mktemp("plan") / "flipped.json"
    file.write_bytes(damaged)
    with contextlib.suppress(PlanError):
        plan = load_plan(file)  # what is left is a plan: of these eqns, or it says of which
        with contextlib.suppress(PlanError):
            check_placement(*fit(plan, TRACED), plan.processors)


def edited(**changes):
    return {**plan_for().to_json(), **changes}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (edited(pin={"one": "cpu"}), r"plan: fields must be among .*, got 'pin'; did you mean 'pins'"),
        (edited(format=2), r"plan: must be a JSON object of format 1, got format 2"),
        (edited(kind="profile"), r"plan: must be a plan file, got one of kind 'profile'"),
        (edited(pins=["one"]), r"plan: pins must be an object, got \['one'\]"),
        (edited(pins={"one": 3}), r"plan: pins\['one'\] must be text, got 3"),
        (
            edited(pins={"one": "cl_cpu"}),
            r"'one' must be pinned to one of its processors, cpu, cl-cpu, got 'cl_cpu'; did",
        ),
        (edited(placement={"one/x#0": "cpu"}), r"placement must be of the eqns that it lists, got 'one/x#0'"),
        (edited(placement={"one/forward/matmul#0": "gpu"}), r"matmul#0 must be placed on one of .*, got 'gpu'"),
        (edited(processors="cpu"), r"plan: processors must be a list, got 'cpu'"),
        (edited(predicted_s=-1), r"plan: predicted_s must be a number of at least 0, got -1"),
        (edited(blas_threads=0), r"plan: blas_threads must be a whole number of at least 1, got 0"),
        ({"format": 1}, r"plan: must have the field 'machine', got only format"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(data, message, tmp_path):
    with pytest.raises(PlanError, match=message):
        Plan.from_json(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", r"must be a JSON object, got list \(in .*odd\.json\)"),
        ('{"pins": {"a": "cpu", "a": "gpu"}}', r"'a' twice in one object"),
        ('{"predicted_s": NaN}', r"got NaN, which is no JSON number"),
        ("[" * 100_000, r"must be a whole JSON file"),
    ],
)
def test_what_is_no_plan_at_all_is_refused_by_name(text, message, tmp_path):
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(PlanError, match=message):
        load_plan(tmp_path / "odd.json")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PlanError, match=r"nothing\.json must be a file that can be read, got No such file"):
        load_plan(tmp_path / "nothing.json")


# --- pins ---------------------------------------------------------------------------------------

PATTERNS = (*filter(None, LAYERS), "*/forward/*", "*backward/*", "*/add#*", "*tanh#*", "*")


def drawn_pins(draw, program):
    """Patterns that match something, each with a processor."""
    pinned = draw(st.dictionaries(st.sampled_from(PATTERNS), st.sampled_from(BOTH), max_size=3))
    rows = [*zip(program.names, program.eqns, strict=True)]
    return {p: at for p, at in pinned.items() if any(lwps.plan.matches(p, name, eqn.layer) for name, eqn in rows)}


def kind(eqn):
    return eqn.layer, eqn.phase, eqn.primitive.name


def members(eqn):
    """What a fused eqn is made of, without the constants filled into it."""
    body = eqn.params.get("body")
    return [e for e in body.eqns if e.primitive.name != "full"] if body else [eqn]


@settings(max_examples=100)  # a chain of two layers of one phase, one of them pinned, is not in every program
@given(st.data())
def test_no_chain_reaches_across_a_pin_and_every_eqn_goes_where_it_is_pinned(data):
    traced = data.draw(programs(12))
    pinned = drawn_pins(data.draw, traced)
    program = lwps.optimize(traced, pins=pinned)
    core.check_program(program)
    before = separate_outputs(simplify(traced))
    want = {}
    for pattern, processor in pinned.items():
        rows = zip(before.names, before.eqns, strict=True)
        want |= {kind(eqn): processor for name, eqn in rows if lwps.plan.matches(pattern, name, eqn.layer)}
    fused_before = {eqn.outs[0] for eqn in before.eqns if "body" in eqn.params}
    with contextlib.suppress(PlanError):  # all that a pin matched may have been simplified away
        found = lwps.plan.pinned(program, BOTH, pinned)
        for k, eqn in enumerate(program.eqns):
            made_of = [eqn] if eqn.outs[0] in fused_before else members(eqn)
            assert {want.get(kind(e)) for e in made_of} <= {found.get(k)}


@given(st.data())
def test_pins_never_change_what_is_computed(data):
    traced = data.draw(programs(12))
    program = lwps.optimize(traced, pins=drawn_pins(data.draw, traced))
    rng = np.random.default_rng(0)
    args = [rng.standard_normal(v.aval.shape, np.float32) for v in traced.inputs]
    for got, want in zip(core.evaluate_program(program, args), core.evaluate_program(traced, args), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_a_layer_means_all_below_it():
    program = lwps.optimize(TRACED, pins={"two": "cl-cpu"})
    found = lwps.plan.pinned(program, BOTH, {"two": "cl-cpu"})
    assert {program.eqns[k].layer for k in found} == {"two/a", "two/b"}


def test_of_several_pins_the_last_counts_and_an_exact_name_means_the_eqn_that_plans_list():
    pins = {"two": "cl-cpu", "two/b/forward/matmul#0": "cpu"}
    plan = plan_for(pins=pins)
    assert plan.placement["two/b/forward/matmul#0"] == "cpu"
    assert plan.placement["two/a/forward/fused#0"] == "cl-cpu"
    assert plan_for(pins=dict(reversed(pins.items()))).placement["two/b/forward/matmul#0"] == "cl-cpu"


def test_pins_edited_by_hand_are_kept_when_the_plan_is_loaded(tmp_path):
    plan = plan_for()
    assert set(plan.placement.values()) == {"cpu"}
    data = {**plan.to_json(), "pins": {"two/*": "cl-cpu"}}
    program, placement = fit(Plan.from_json(data), TRACED)
    at = where(program, placement)
    assert {p for name, p in at.items() if name.startswith("two/")} == {"cl-cpu"}
    assert {p for name, p in at.items() if not name.startswith("two/")} == {"cpu"}


def test_pieces_that_a_new_pin_cuts_off_run_where_what_they_read_was_written():
    plan = attrs.evolve(plan_for(pins={"one": "cl-cpu"}), pins={"one/forward/matmul#0": "cl-cpu"})
    assert "two/a/forward/fused#0" in plan.eqns  # the chain of one and two, in one piece without the pin
    program, placement = fit(plan, TRACED)
    at = where(program, placement)
    assert "one/forward/fused#0" in at
    assert at["one/forward/fused#0"] == "cl-cpu"


def test_a_pin_that_means_nothing_is_refused_with_what_comes_near():
    with pytest.raises(PlanError, match=r"pins: 'twoo/b' must match an eqn's name or be a layer; did you mean 'two/b'"):
        fit(attrs.evolve(plan_for(), pins={"twoo/b": "cpu"}), TRACED)


# --- a plan that does not fit -------------------------------------------------------------------


def test_a_plan_of_other_shapes_says_which_eqns_changed():
    plan = plan_for(subject={"model": "mlp", "batch": 4})
    wider = tracing.trace(two_layers, np.ones((8, 6), np.float32), *ARGS[1:])
    with pytest.raises(PlanError) as caught:
        fit(plan, wider)
    text = str(caught.value)
    assert "(model mlp, batch 4)" in text
    assert "5 changed\n  one/forward/matmul#0: matmul float32[4,6] float32[6,5]" in text
    assert "now matmul float32[8,6] float32[6,5]" in text
    assert "and 2 more" in text


def test_a_plan_of_another_model_says_what_is_missing_and_what_is_new():
    def other(x, w, v):
        with tracing.layer("one"):
            return ew.exp(matmul(x, w)).sum()

    with pytest.raises(PlanError) as caught:
        fit(plan_for(), tracing.trace(other, *ARGS))
    text = str(caught.value)
    assert "missing\n  one/forward/fused#0: fused" in text
    assert "new\n  one/forward/exp#0: exp float32[4,5] -> float32[4,5]" in text


def test_other_constants_or_donations_are_told_from_other_eqns():
    donated = attrs.evolve(TRACED, donated=frozenset({0}))
    with pytest.raises(PlanError, match=r"the same eqns, but other constants, other donated arguments"):
        fit(plan_for(), donated)
    assert difference(plan_for(), lwps.optimize(TRACED)) == []


def test_a_plan_without_a_row_for_an_eqn_is_refused():
    rows = {name: p for name, p in plan_for().placement.items() if name != "one/forward/matmul#0"}
    with pytest.raises(PlanError, match=r"plan: must say where one/forward/matmul#0 runs, got no row"):
        fit(plan_for(placement=rows), TRACED)


# --- a plan that runs ---------------------------------------------------------------------------

MACHINE = lwps.default_machine()


@pytest.fixture(scope="module")
def plan():
    program = lwps.optimize(TRACED, pins={"two/*": MACHINE.names[-1]})
    return make_plan(program, lwps.profile(program, MACHINE), "mincut", {"two/*": MACHINE.names[-1]})


def test_jit_runs_a_plan(plan):
    step = lwps.jit(two_layers, placement=plan)
    np.testing.assert_allclose(np.asarray(step(*ARGS)), two_layers(*ARGS), rtol=1e-5)
    compiled = step.compiled
    assert {p for n, p in where(compiled.program, compiled.placement).items() if n.startswith("two/")} == {
        MACHINE.names[-1]
    }
    assert compiled.plan == attrs.evolve(
        plan, predicted_s=None, profile=None, objective_s=None, blas_threads=compiled.plan.blas_threads
    )
    assert step.lower(*ARGS).fingerprint == plan.program


def test_compile_takes_the_plan_of_its_program_and_no_other(plan):
    step = lwps.compile(lwps.optimize(TRACED, pins=plan.pins), plan, MACHINE)
    np.testing.assert_allclose(np.asarray(step(*ARGS)), two_layers(*ARGS), rtol=1e-5)
    with pytest.raises(PlanError, match="must be of the program that runs"):
        lwps.compile(lwps.optimize(tracing.trace(lambda x: x + 1, ARGS[0])), plan, MACHINE)


def test_a_plan_of_another_machine_runs_with_a_warning(plan):
    other = attrs.evolve(plan, machine="a board", memory="copy", blas_threads=77)
    with pytest.warns(UserWarning, match=r"planned for a board, got .*memory mode: planned for copy.*BLAS threads"):
        lwps.jit(two_layers, placement=other)(*ARGS)


def test_a_plan_that_needs_a_processor_which_is_not_here_is_refused(plan):
    rows = {name: "gpu7" if p != "cpu" else p for name, p in plan.placement.items()}
    other = attrs.evolve(plan, processors=("cpu", "gpu7"), placement=rows, pins={}, solved_pins=plan.pins, profile=None)
    with pytest.raises(PlanError, match=r"must be among those of this machine, cpu.*got gpu7; `lwps devices`"):
        lwps.jit(two_layers, placement=other)(*ARGS)


def test_another_program_on_another_machine_says_both(plan):
    other = attrs.evolve(plan, machine="a board")
    with pytest.raises(PlanError, match=r"(?s)2? ?missing.*machine: planned for a board, got "):
        lwps.jit(lambda x: x + 1, placement=other)(ARGS[0])


def test_the_prediction_without_a_device_is_that_of_the_compiled_step(plan):
    step = lwps.compile(lwps.optimize(TRACED, pins=plan.pins), plan, MACHINE)
    simulated = lwps.placement.simulate(step.program, step.instructions, plan.profile).step_s
    assert predict(step.program, step.placement, plan.profile).step_s == pytest.approx(simulated)
    assert plan.predicted_s == pytest.approx(simulated)
    assert placed(plan, step.program).processors == step.placement.processors


# --- profiles -----------------------------------------------------------------------------------


PROFILE_TEXT = json.dumps(profile_of(TRACED).to_json(), indent=1).encode()


@given(st.integers(0, len(PROFILE_TEXT) - 1), st.integers(0, 255))
def test_a_damaged_profile_is_a_profile_or_is_refused_by_name(tmp_path_factory, at, flip):
    """Flipped at a byte, or cut off there."""
    damaged = bytearray(PROFILE_TEXT if flip else PROFILE_TEXT[:at])
    if flip:
        damaged[at] ^= flip
    file = tmp_path_factory.mktemp("profile") / "damaged.json"
    file.write_bytes(damaged)
    with contextlib.suppress(PlanError):
        assert isinstance(lwps.load_profile(file), Profile)


@given(st.data())
def test_a_profile_comes_back_from_json_as_it_was(data):
    profile = data.draw(profiles(data.draw(programs())))
    assert Profile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


def test_a_profile_comes_back_from_a_file_and_a_damaged_one_is_named(tmp_path):
    file = tmp_path / "profile.json"
    profile = profile_of(TRACED)
    lwps.save_profile(profile, file)
    assert lwps.load_profile(file) == profile
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(PlanError, match=r"profile: .*profile\.json must be a whole JSON file"):
        lwps.load_profile(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seconds": {"a": {"cpu": "1"}}}, r"profile: seconds\['a'\]\['cpu'\] must be a number"),
        ({"handovers": [{"source": "cpu"}]}, r"profile: handovers\[0\] must have source, target"),
        ({"machine": None}, r"profile: machine must be text, got None"),
        ({"kind": "plan"}, r"profile: must be a profile file, got one of kind 'plan'"),
    ],
)
def test_what_is_wrong_in_a_profile_is_named(changes, message):
    with pytest.raises(PlanError, match=message):
        Profile.from_json({**profile_of(TRACED).to_json(), **changes})


def test_some_processors_of_a_profile():
    profile = profile_of(TRACED)
    assert profile.on(["cpu"]).processors == ("cpu",)
    assert profile.on(["cl-cpu", "cpu"]) == profile
    assert not profile.on(["cpu"]).handovers
    with pytest.raises(PlanError, match=r"profile: processors must be among cpu, cl-cpu, got 'clcpu'; did you mean"):
        profile.on(["clcpu"])
