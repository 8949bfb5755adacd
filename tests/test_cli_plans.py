"""`lwps profile`, `plan`, `explain`, `trace`, and the plans that `train` and `bench` run."""

import json
import sys

import pytest

from lwps import cli
from lwps.api import default_machine
from lwps.plan import load_plan, load_profile

SIZES = ("mlp", "--image-size", 8, "--channels", 1, "--batch", 16)
LAST = default_machine().names[-1]

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LWPS_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def lwps(monkeypatch, capsys):
    """Exit status, stdout and stderr of the command, each on one line."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["lwps", *map(str, args)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return exit_.value.code, " ".join(captured.out.split()), " ".join(captured.err.split())

    return run


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A profile, and a plan by it."""
    folder = tmp_path_factory.mktemp("plans")
    with pytest.MonkeyPatch.context() as patch:
        for args in (
            ("profile", *SIZES, "-o", folder / "profile.json"),
            ("plan", *SIZES, "--profile", folder / "profile.json", "-o", folder / "plan.json"),
        ):
            patch.setattr(sys, "argv", ["lwps", *map(str, args)])
            with pytest.raises(SystemExit) as exit_:
                cli.main()
            assert exit_.value.code == 0
    return folder


def test_a_plan_by_a_profile_is_the_plan_of_the_model(files):
    plan, profile = load_plan(files / "plan.json"), load_profile(files / "profile.json")
    sizes = {"model": "mlp", "batch": 16, "image_size": 8, "channels": 1, "classes": 10}
    assert plan.subject == {**sizes, "optimizer": "sgd"}
    assert (plan.machine, plan.memory, plan.processors) == (profile.machine, profile.memory, profile.processors)
    assert plan.policy == "mincut"
    assert plan.profile == profile
    assert plan.objective_s > 0
    assert plan.predicted_s > 0


def test_plan_shows_every_policy(lwps, files, tmp_path):
    code, out, _ = lwps("plan", *SIZES, "--profile", files / "profile.json", "-o", tmp_path / "again.json")
    assert code == 0
    for policy in ("cpu", "independent", "layerwise", "layerwise-chain", "*mincut"):
        assert f" {policy} " in out
    assert load_plan(tmp_path / "again.json") == load_plan(files / "plan.json")


def test_a_plan_is_solved_anew_with_the_pins_edited_in_its_file(lwps, files, tmp_path):
    file = tmp_path / "plan.json"
    data = json.loads((files / "plan.json").read_text())
    for pins in ({"linear2": "cpu"}, {"linear2": LAST}, {"linear2": LAST, "*/backward/*": "cpu"}):
        file.write_text(json.dumps({**data, "pins": pins}))
        code, _, _ = lwps("plan", "--from", file, "-o", file)
        plan = load_plan(file)
        assert code == 0
        assert plan.pins == plan.solved_pins == pins
        for name, processor in plan.placement.items():
            if name.startswith("linear2/forward"):
                assert processor == pins["linear2"]
            if "/backward/" in name and "*/backward/*" in pins:
                assert processor == "cpu"


def test_pins_from_the_command_line_come_last_and_so_count(lwps, files, tmp_path):
    pins = ("--pin", f"linear1={LAST}", "--pin", "linear1/forward/matmul#0=cpu")
    code, _, _ = lwps("plan", "--from", files / "plan.json", *pins, "-o", tmp_path / "pinned.json")
    plan = load_plan(tmp_path / "pinned.json")
    assert code == 0
    assert plan.placement["linear1/forward/matmul#0"] == "cpu"
    assert plan.placement["linear1/backward/matmul#0"] == LAST


def test_train_runs_a_plan_with_the_pins_edited_in_its_file(lwps, files, tmp_path):
    file, log = tmp_path / "plan.json", tmp_path / "train.json"
    data = json.loads((files / "plan.json").read_text())
    file.write_text(json.dumps({**data, "pins": {"linear2": "cpu"}}))
    code, _, err = lwps("train", "mlp", "--batch", 16, "--steps", 2, "--plan", file, "--json", log)
    assert (code, err) == (0, "")
    assert json.loads(log.read_text())["settings"]["placement"] == str(file)


def test_sizes_of_the_data_are_those_of_its_training(lwps, tmp_path):
    (tmp_path / "text.txt").write_text("she sells sea shells by the sea shore. " * 40)
    for model, data in (("lenet5", "digits"), ("gpt", tmp_path / "text.txt")):
        plan = tmp_path / f"{model}.json"
        options = (model, "--batch", 4, *(("--context", 8) if model == "gpt" else ()))
        code, _, _ = lwps("plan", *options, "--data", data, "--policy", "cpu", "-o", plan)
        assert code == 0
        trained = () if data == "digits" else ("--data", data)
        code, _, err = lwps("train", *options, *trained, "--steps", 1, "--plan", plan)
        assert (code, err) == (0, "")
    subject = load_plan(tmp_path / "gpt.json").subject
    assert subject == {"model": "gpt", "batch": 4, "context": 8, "classes": 12, "optimizer": "adamw"}


@pytest.mark.parametrize("options", [("--optimizer", "adamw", "--weight-decay", 0.1), ("--clip", 0.5)])
def test_a_plan_of_another_optimizer_is_that_of_its_training(lwps, tmp_path, options):
    code, _, _ = lwps("plan", *SIZES, *options, "--policy", "cpu", "-o", tmp_path / "plan.json")
    assert code == 0
    code, _, err = lwps("train", "mlp", "--batch", 16, "--steps", 1, *options, "--plan", tmp_path / "plan.json")
    assert (code, err) == (0, "")
    code, _, err = lwps("train", "mlp", "--batch", 16, "--steps", 1, "--plan", tmp_path / "plan.json")
    assert code == 1
    assert "must be of the program that runs" in err


def test_train_says_how_its_step_is_not_the_planned_one(lwps, files):
    code, _, err = lwps("train", "mlp", "--batch", 8, "--steps", 2, "--plan", files / "plan.json")
    assert code == 1
    assert "got one of" in err
    assert "(model mlp, batch 16, image_size 8, channels 1, classes 10, optimizer sgd)" in err
    assert "changed flatten/forward/reshape#0: reshape float32[16,8,8,1]" in err
    assert "now reshape float32[8,8,8,1]" in err


def test_bench_measures_a_plan_beside_the_others(lwps, files, tmp_path):
    log = tmp_path / "bench.json"
    pinned = tmp_path / "plan.json"
    data = json.loads((files / "plan.json").read_text())
    pinned.write_text(json.dumps({**data, "pins": {"linear1": "cpu"}}))
    code, _, _ = lwps("bench", "--plan", pinned, "--placements", "cpu,mincut", "--json", log)
    assert code == 0
    rows = json.loads(log.read_text())["rows"]
    assert [r["placement"] for r in rows] == ["cpu", "mincut", "plan"]
    assert {r["batch"] for r in rows} == {16}
    assert all(r["objective_s"] > 0 for r in rows)


def test_an_eqn_of_a_plan_is_explained(lwps, files, tmp_path):
    name = "linear1/forward/matmul#0"
    code, out, _ = lwps("explain", files / "plan.json", name, "--json", tmp_path / "eqn.json")
    report = json.loads((tmp_path / "eqn.json").read_text())
    plan = load_plan(files / "plan.json")
    assert code == 0
    assert f"{name} matmul float32[16,64] float32[64,256]" in out
    assert f"runs on {report['processor']}" in out
    assert "writes float32[16,256]: linear1/forward/fused#0 on" in out
    assert report["processor"] == plan.placement[name]
    assert set(report["seconds"]) == set(plan.processors)
    assert all(move["objective_more_s"] >= -1e-9 for move in report["moves"])  # it is the cut


def test_a_layer_of_a_plan_is_explained(lwps, files, tmp_path):
    code, out, _ = lwps("explain", files / "plan.json", "linear2", "--json", tmp_path / "layer.json")
    report = json.loads((tmp_path / "layer.json").read_text())
    assert code == 0
    assert [phase["phase"] for phase in report["phases"]] == ["forward", "backward", "update"]
    assert all(phase["phase"] + ":" in out for phase in report["phases"])
    assert all(row["name"].startswith("linear2/") for row in report["eqns"])


def test_trace_prints_the_op_list_as_it_runs_or_as_it_was_recorded(lwps):
    code, out, err = lwps("trace", *SIZES)
    assert (code, err) == (0, "")
    assert "fused" in out
    code, raw, _ = lwps("trace", *SIZES, "--raw")
    assert code == 0
    assert "fused" not in raw
    assert raw.count("update") > out.count("update")


def test_trace_writes_json_and_drawings(lwps, tmp_path):
    code, out, _ = lwps("trace", *SIZES, "--json", tmp_path / "p.json", "--dot", tmp_path / "p.dot")
    assert (code, out) == (0, "")
    assert json.loads((tmp_path / "p.json").read_text())["eqns"][0]["name"] == "flatten/forward/reshape#0"
    assert (tmp_path / "p.dot").read_text().startswith("digraph program {")
    code, out, _ = lwps("trace", *SIZES, "--json", "-")
    assert out == " ".join((tmp_path / "p.json").read_text().split())


def test_trace_sums_up_layers(lwps):
    code, out, _ = lwps("trace", *SIZES, "--layers")
    assert code == 0
    assert "linear1 forward 2 0.5" in out  # 2 x 16 x 64 x 256 for the product, and the bias
    assert " all " in out


def test_trace_of_a_plan_says_where_eqns_run(lwps, files):
    code, out, _ = lwps("trace", "--plan", files / "plan.json")
    placement = load_plan(files / "plan.json").placement
    assert code == 0
    assert out.count(" @ ") == len(load_plan(files / "plan.json").eqns)
    assert f"linear1/forward @ {placement['linear1/forward/matmul#0']}" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("plan", "--from", "{plan}", "resnet18", "-o", "x.json"), "MODEL must be left out where a plan says"),
        (("plan", "--from", "{plan}", "--image-size", 9, "-o", "x.json"), "--image-size must be left out"),
        (("plan", *SIZES, "--data", "digits", "-o", "x.json"), "--channels must be left out where --data says it"),
        (("plan", "gpt", "--data", "digits", "-o", "x.json"), "gpt must have a text"),
        (("plan", "mlp", "--data", "/nowhere", "-o", "x.json"), "/nowhere"),
        (("plan", "--from", "{plan}", "--data", "digits", "-o", "x.json"), "--data must be left out"),
        (("plan", *SIZES, "--pin", "linear1", "-o", "x.json"), "--pin must be PATTERN=PROCESSOR"),
        (("plan", *SIZES, "--profile", "{profile}", "--pin", "linaer1=cpu", "-o", "x.json"), "did you mean 'linear1"),
        (("plan", *SIZES, "--profile", "{profile}", "--processors", "tpu", "-o", "x.json"), "among cpu"),
        (("plan", *SIZES, "--profile", "{profile}", "--memory", "copy", "-o", "x.json"), "or that of the profile"),
        (("plan", *SIZES, "--profile", "{plan}", "-o", "x.json"), "must be a profile file, got one of kind 'plan'"),
        (("plan", "mlp", "--profile", "{profile}", "-o", "x.json"), "profile: must hold every eqn of the program"),
        (("plan", *SIZES, "--profile", "{profile}", "--policy", "mincutt", "-o", "x.json"), "did you mean 'mincut'"),
        (("plan", *SIZES, "--profile", "{profile}", "-o", "/nowhere/x.json"), "/nowhere/x.json must be a place that"),
        (("plan", "resnet19", "--profile", "{profile}", "-o", "x.json"), "must be one of mlp"),
        (("plan", "--from", "{profile}", "-o", "x.json"), "must be a plan file, got one of kind 'profile'"),
        (("plan", "--from", "/nowhere/x.json", "-o", "x.json"), "/nowhere/x.json must be a file that can be read"),
        (
            ("explain", "{plan}", "linaer2"),
            "'linaer2' must be an eqn, a layer or a pattern",
        ),
        (("trace", "--plan", "{plan}", "--raw"), "--raw must be left out with --plan"),
        (("trace", "mlp", "--plan", "{plan}"), "MODEL must be left out"),
        (("trace", "mlp", "--json", "/nowhere/x.json"), "/nowhere/x.json: No such file or directory"),
        (("explain", "{profile}", "linear2"), "must be a plan file"),
        (("train", "mlp", "--plan", "{profile}"), "must be a plan file"),
        (("bench", "mlp", "--plan", "{plan}"), "MODEL must be left out"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_write(lwps, files, monkeypatch, tmp_path, args, message):
    monkeypatch.chdir(tmp_path)
    if "copy" in args and load_profile(files / "profile.json").memory == "copy":
        pytest.skip("this machine has no other memory mode")
    named = {"plan": files / "plan.json", "profile": files / "profile.json"}
    code, _, err = lwps(*(a.format(**named) if isinstance(a, str) else a for a in args))
    assert code != 0
    assert message in err.replace("│ ", "")
    assert "Traceback" not in err
    assert not (tmp_path / "x.json").exists()


def test_a_plan_of_a_function_is_no_plan_of_a_model(lwps, files, tmp_path):
    data = json.loads((files / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps({**data, "subject": {}}))
    code, _, err = lwps("plan", "--from", tmp_path / "plan.json", "-o", tmp_path / "x.json")
    assert code == 1
    assert "its subject must be of model, batch, image_size" in err
    wrong = {**data["subject"], "batch": "many"}
    (tmp_path / "plan.json").write_text(json.dumps({**data, "subject": wrong}))
    code, _, err = lwps("explain", tmp_path / "plan.json", "linear1")
    assert code == 1
    assert "batch must be a whole number of at least 1, got 'many'" in err


def test_pins_that_cut_chains_need_the_machine_of_the_plan(lwps, files, tmp_path):
    data = json.loads((files / "plan.json").read_text())
    cut = {**data, "machine": "a board", "pins": {"relu1": "cpu"}}
    (tmp_path / "plan.json").write_text(json.dumps(cut))
    code, _, err = lwps("plan", "--from", tmp_path / "plan.json", "-o", tmp_path / "x.json")
    assert code == 1
    assert "which only its machine can mend, a board" in err
    profile = tmp_path / "profile.json"
    assert lwps("profile", *SIZES, "--pin", "relu1=cpu", "-o", profile)[0] == 0
    code, _, _ = lwps("plan", "--from", tmp_path / "plan.json", "--profile", profile, "-o", tmp_path / "x.json")
    assert code == 0
    assert load_plan(tmp_path / "x.json").placement["relu1/forward/relu#0"] == "cpu"
