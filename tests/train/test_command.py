"""`lwps train` with checkpoints and logs, as a user has it: killed, stopped, gone on with, refused."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lwps
from lwps import cli
from lwps.checkpoint import Checkpoints
from lwps.models import TEXT_MODELS, gpt, mlp
from lwps.train import Saver, origin_of
from tests.checkpoint.trees import assert_same
from tests.data import files
from tests.train.small import images, run

MAIN = "import sys; from lwps.cli import main; main()"
SHORT = ("mlp", "--steps", 20, "--placement", "cpu", "--processors", "cpu", "--every", 1)
FEW = tuple(6 if x == 20 else x for x in SHORT)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LWPS_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def train(monkeypatch, capsys):
    """Exit status, stdout and stderr of `lwps train` with these arguments, lines joined."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["lwps", "train", *map(str, args)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return exit_.value.code, " ".join(captured.out.split()), " ".join(captured.err.split())

    return run


def started(*args):
    command = [sys.executable, "-c", MAIN, "train", *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": str(Path(lwps.__file__).parents[1])}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_lines(log, count, process):
    deadline = time.monotonic() + 60
    while not log.exists() or log.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def arrays(folder, step):
    return lwps.load(Checkpoints(folder).path(step))


def test_killed_at_any_moment_it_goes_on_to_the_same_bits(tmp_path, train):
    """Killed (-9) twice at random moments, in a save or between: no checkpoint is half, nothing of the past is lost."""
    folder, log = tmp_path / "killed", tmp_path / "log"
    moments = random.Random()  # another moment in every run of this test
    resume = ()
    for _ in range(2):
        done = len(log.read_bytes().splitlines()) if log.exists() else 0
        process = started(*SHORT, "--checkpoint", folder, "--log", log, *resume)
        wait_for_lines(log, done + 3, process)
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        process.communicate()
        resume = ("--resume",)
        for step in Checkpoints(folder).steps():
            arrays(folder, step)  # whole
    code, out, err = train(*SHORT, "--checkpoint", folder, "--log", log, "--resume")
    assert (code, err) == (0, "")
    assert "going on from step" in out
    train(*SHORT[:-1], 100, "--checkpoint", tmp_path / "whole", "--log", tmp_path / "whole-log")
    assert_same(arrays(folder, 20), arrays(tmp_path / "whole", 20))
    losses = [[json.loads(line)["loss"] for line in f.read_text().splitlines()] for f in (log, tmp_path / "whole-log")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 20
    assert sorted(f.name for f in folder.iterdir()) == [f"step-000000{n}.safetensors" for n in (18, 19, 20)]


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path, train):
    folder, log = tmp_path / "c", tmp_path / "log"
    process = started("mlp", "--epochs", 500, "--placement", "cpu", "--checkpoint", folder, "--log", log)
    wait_for_lines(log, 3, process)
    process.send_signal(signal.SIGINT)
    out = " ".join(process.communicate(timeout=60)[0].split())
    assert process.returncode == 130
    (step,) = Checkpoints(folder).steps()
    assert "SIGINT: training ends after this step; once more to stop at once" in out
    assert f"stopped at step {step} of 22000 to go on: lwps train --checkpoint" in out
    assert out.endswith("--resume")
    assert origin_of(Checkpoints(folder).path(step)).step == step == len(log.read_text().splitlines())
    code, _, err = train("--checkpoint", folder, "--resume", "--epochs", 400)
    assert code == 1
    assert "epochs must be 500, got 400" in err


def test_going_on_needs_no_other_option(tmp_path, train):
    """Model, data, settings and processors are the checkpoint's."""
    folder = tmp_path / "c"
    text = ("mlp", "--data", files.pictures(tmp_path / "pets", n=5), "--image-size", 6, "--resize", "stretch")
    _, first, _ = train(*text, *FEW[1:], "--batch", 3, "--optimizer", "adam", "--clip", 1, "--checkpoint", folder)
    assert "(a folder of pictures for each class): 8 training and 2 test images of 6x6x3, 2 classes" in first
    origin = origin_of(Checkpoints(folder).path(4))
    assert origin.data["class_names"] == ["cat", "dog"]
    last = arrays(folder, 6)
    Checkpoints(folder).path(6).unlink()
    Checkpoints(folder).path(5).unlink()
    code, out, err = train("--checkpoint", folder, "--resume")
    assert (code, err) == (0, "")
    assert "machine: cpu: NumPy" in out
    assert ";" not in out.partition("machine: ")[2].partition("going on")[0].replace("; svm-fine", "")
    assert "going on from step 4 of 6" in out
    assert_same(arrays(folder, 6), last)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(tmp_path, train):
    folder = tmp_path / "c"
    train(*FEW, "--checkpoint", folder)
    last, path = arrays(folder, 6), Checkpoints(folder).path(6)
    path.write_bytes(path.read_bytes()[:-100])
    code, out, err = train("--checkpoint", folder, "--resume")
    assert code == 0
    assert "not used: " in err
    assert "the file is truncated" in err
    assert "going on from step 5 of 6" in out
    assert_same(arrays(folder, 6), last)


def test_data_that_moved_may_be_named_anew_and_others_are_refused(tmp_path, train):
    data, folder = files.npz(tmp_path / "a.npz"), tmp_path / "c"
    train("mlp", "--data", data, "--steps", 2, "--batch", 3, "--placement", "cpu", "--checkpoint", folder)
    data.rename(tmp_path / "b.npz")
    code, _, err = train("--checkpoint", folder, "--resume")
    assert code == 1
    assert "a.npz: must be a folder of IDX files" in err
    assert train("--checkpoint", folder, "--resume", "--data", tmp_path / "b.npz")[0] == 0
    other = files.npz(tmp_path / "c.npz", images=np.eye(12, dtype=np.uint8).reshape(12, 3, 4), labels=np.arange(12) % 2)
    code, _, err = train("--checkpoint", folder, "--resume", "--data", other)
    assert code == 1
    assert "got none" not in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--checkpoint", "{none}", "--resume"), "none: must hold a checkpoint that is whole, got none"),
        (("--resume",), "--resume must come with --checkpoint, the folder to go on from"),
        (("--checkpoint", "{empty}", "--resume"), "empty: must hold a checkpoint that is whole, got none"),
        (("--checkpoint", "{used}"), "used: must hold no checkpoints of another training, got one of step 2; go on"),
        (("--checkpoint", "{used}", "--resume", "--lr", "0.5"), "lr must be 0.05, got 0.5; leave it out"),
        (("lenet5", "--checkpoint", "{used}", "--resume"), "model must be 'mlp', got 'lenet5'"),
        (("--checkpoint", "{file}/x"), "must be a folder that can be written, got Not a directory"),
        (("--checkpoint", "{empty}", "--every", "often"), "every: must be steps (500) or a time"),
        (("--optimizer", "lion"), "'optimizer' must be in"),
        (("mlp", "--data", "{text}"), "train: mlp must have images, got t.txt, plain text"),
        (("gpt",), "train: gpt must have a text (--data FILE.txt), got UCI digits, digits of lwps"),
        (("gpt2", "--data", "{text}"), "gpt, got 'gpt2'"),
        (("--log", "{file}/x", "--steps", "1", "mlp", "--placement", "cpu"), "log: "),
        (("--plan", "{file}.json"), "must be a file that can be read"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_what_to_write(tmp_path, train, args, message):
    (tmp_path / "file").write_text("x")
    files.text(tmp_path / "t.txt")
    train("mlp", "--steps", 2, "--placement", "cpu", "--checkpoint", tmp_path / "used")
    places = {name: tmp_path / name for name in ("empty", "none", "used", "file")} | {"text": tmp_path / "t.txt"}
    code, _, err = train(*(arg.format(**places) for arg in args))
    assert code != 0
    assert message in err.replace("│ ", "").replace(" │", "")
    assert "Traceback" not in err
    assert not (tmp_path / "none").exists()


def test_a_checkpoint_of_another_loop_is_gone_on_from_there(tmp_path, train):
    saver = Saver(Checkpoints(tmp_path), about={"mine": 1})
    run(mlp((4, 3)), images(), saver=saver)
    code, _, err = train("--checkpoint", tmp_path, "--resume")
    assert code == 1
    assert "must be a checkpoint of `lwps train`, which keeps model, data, image_size, resize, context, got" in err
    assert "one that keeps mine; go on from it in Python: train(resume=)" in err


def test_a_plan_places_the_training_step(tmp_path, train):
    origin = tmp_path / "c"
    train("mlp", "--steps", 1, "--placement", "cpu", "--processors", "cpu", "--checkpoint", origin)
    plan = origin_of(Checkpoints(origin).path(1)).plan
    lwps.plan.save_plan(plan, tmp_path / "plan.json")
    args = ("mlp", "--steps", 1, "--processors", "cpu", "--json", tmp_path / "result")
    code, out, _ = train(*args, "--plan", tmp_path / "plan.json")
    assert code == 0
    assert "placement, measured" not in out
    assert json.loads((tmp_path / "result").read_text())["test_loss"] > 0


def test_a_text_trains_a_model_of_characters(tmp_path, train, monkeypatch):
    monkeypatch.setattr("lwps.cli.train.SAMPLE", 20)
    monkeypatch.setitem(TEXT_MODELS, "gpt", lambda vocab, length: gpt(vocab, length, width=16, depth=1, heads=2))
    data = files.text(tmp_path / "t.txt")
    args = ("--steps", 4, "--batch", 2, "--context", 8, "--placement", "cpu", "--processors", "cpu", "--every", 2)
    kept = ("--checkpoint", tmp_path / "c", "--json", tmp_path / "result", "--log", tmp_path / "log")
    code, out, err = train("gpt", "--data", data, *args, *kept)
    assert (code, err) == (0, "")
    assert "gpt on t.txt (plain text): 38 windows of 8 characters, 28 different ones" in out
    result = json.loads((tmp_path / "result").read_text())
    assert f"held-out loss {result['test_loss']:.3f}, perplexity {np.exp(result['test_loss']):.2f}" in out
    assert len(result["sample"]) == 20
    assert set(result["sample"]) <= set(files.TEXT)
    assert "characters_per_s" in (tmp_path / "log").read_text()
    origin = origin_of(Checkpoints(tmp_path / "c").path(2))
    assert (origin.settings.optimizer, origin.data["vocabulary"]) == ("adamw", "".join(sorted(set(files.TEXT))))
    last = arrays(tmp_path / "c", 4)
    Checkpoints(tmp_path / "c").path(4).unlink()
    assert train("--checkpoint", tmp_path / "c", "--resume", "--json", tmp_path / "again")[0] == 0
    assert_same(arrays(tmp_path / "c", 4), last)
    again = json.loads((tmp_path / "again").read_text())
    assert (again["sample"], again["test_loss"]) == (result["sample"], result["test_loss"])
