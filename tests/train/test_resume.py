"""Going on from a checkpoint: to the bits of a training without a break, or a refusal that names what differs."""

import os
import shutil

import attrs
import numpy as np
import pytest

import lwps
from lwps import CheckpointError, nn
from lwps.checkpoint import Checkpoints
from lwps.models import mlp
from lwps.testing import PROCESSORS
from lwps.train import Every, Saver, Settings, origin_of, train
from tests.checkpoint.trees import assert_same
from tests.train.small import SHORT, characters, drawing, images, run, text

DATA = images()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LWPS_CACHE_DIR", str(tmp_path / "cache"))


def saver(folder, every=1, keep=9, **about):
    checkpoints = Checkpoints(folder, keep)
    checkpoints.prepare()
    return Saver(checkpoints, Every(steps=every), about)


def contents(folder, step):
    return lwps.load(Checkpoints(folder).path(step))


def assert_same_end(a, b, step=SHORT.steps):
    x, y = contents(a, step), contents(b, step)
    assert np.isfinite(x["losses"]).all()
    assert_same(x, y)


OPTIMIZERS = [Settings(optimizer="sgd"), Settings(optimizer="adam", clip=0.5), Settings(optimizer="adamw")]


@pytest.mark.parametrize("how", OPTIMIZERS, ids=lambda s: s.optimizer)
@pytest.mark.parametrize("processor", PROCESSORS)
def test_going_on_comes_to_the_bits_of_training_without_a_break(tmp_path, processor, how):
    """Params, running statistics, moments, dropout, the order of the data over two epochs and the learning rate."""
    settings = attrs.evolve(how, batch=8, steps=7, placement=processor)
    whole = run(drawing(), DATA, settings, saver=saver(tmp_path / "whole"))
    for step in (1, 5):
        folder = tmp_path / f"from {step}"
        end = run(drawing(), DATA, settings, saver=saver(folder), resume=Checkpoints(tmp_path / "whole").path(step))
        assert_same_end(tmp_path / "whole", folder)
        assert end.losses == whole.losses
        assert end.test == whole.test


def test_text_goes_on_likewise(tmp_path):
    data = text()
    settings = attrs.evolve(SHORT, optimizer="adamw")
    run(characters(5), data, settings, saver=saver(tmp_path / "whole"))
    run(characters(5), data, settings, saver=saver(tmp_path / "b"), resume=Checkpoints(tmp_path / "whole").path(4))
    assert_same_end(tmp_path / "whole", tmp_path / "b")


def test_the_plan_is_the_checkpoints_even_without_any_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("lwps.train.loop.evaluate", lambda *args: None)  # it would be measured, too
    settings = attrs.evolve(SHORT, placement="auto")
    first = run(mlp((4, 3)), DATA, settings, saver=saver(tmp_path / "whole"))
    assert first.receipt is not None
    shutil.rmtree(tmp_path / "cache")

    def measured(*args):
        raise AssertionError("placed anew")

    monkeypatch.setattr("lwps.api.choose", measured)
    end = run(mlp((4, 3)), DATA, settings, saver=saver(tmp_path / "b"), resume=Checkpoints(tmp_path / "whole").path(3))
    assert_same_end(tmp_path / "whole", tmp_path / "b")
    assert end.step.compiled.plan == attrs.evolve(first.step.compiled.plan, objective_s=None)
    assert end.receipt is None


def test_a_mixed_plan_is_kept(tmp_path):
    """Eqns alternate between processors: rounding shows where a plan is not kept."""
    if len(PROCESSORS) < 2:
        pytest.skip("one processor")
    probe = run(drawing(), DATA, attrs.evolve(SHORT, steps=1))
    plan = probe.step.compiled.plan
    mixed = attrs.evolve(
        plan, placement={name: PROCESSORS[k % 2] for k, name in enumerate(plan.placement)}, policy="in turn"
    )
    run(drawing(), DATA, SHORT, saver=saver(tmp_path / "mixed"), plan=mixed)
    run(drawing(), DATA, SHORT, saver=saver(tmp_path / "cpu"))
    run(drawing(), DATA, SHORT, saver=saver(tmp_path / "b"), resume=Checkpoints(tmp_path / "mixed").path(2))
    assert_same_end(tmp_path / "mixed", tmp_path / "b")
    assert origin_of(Checkpoints(tmp_path / "b").path(7)).plan.policy == "in turn"
    mixed_w, cpu_w = (contents(tmp_path / d, 7)["params"]["5"]["w"] for d in ("mixed", "cpu"))
    np.testing.assert_allclose(mixed_w, cpu_w, rtol=1e-3, atol=1e-5)


def test_the_end_is_saved_and_may_be_gone_on_from(tmp_path):
    whole = run(mlp((4, 3)), DATA, SHORT, saver=saver(tmp_path, every=100))
    assert Checkpoints(tmp_path).steps() == [7]
    assert whole.checkpoint == Checkpoints(tmp_path).path(7)
    again = run(mlp((4, 3)), DATA, SHORT, saver=saver(tmp_path), resume=whole.checkpoint)
    assert (again.test, again.losses) == (whole.test, whole.losses)


def test_a_step_is_saved_once(tmp_path, monkeypatch):
    """The last step is due, and it is the end."""
    saved = []
    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda self, *a, **k: saved.append(a[0]) or save(self, *a, **k))
    run(mlp((4, 3)), DATA, saver=saver(tmp_path, every=7))
    assert saved == [7]


def test_a_training_that_is_stopped_is_saved_at_that_step(tmp_path):
    steps = []
    stopped = run(
        mlp((4, 3)),
        DATA,
        report=lambda p: steps.append(p.step),
        saver=saver(tmp_path / "a", every=100),
        stop=lambda: len(steps) == 3,
    )
    assert (stopped.done, stopped.steps, stopped.test) == (3, 7, None)
    run(mlp((4, 3)), DATA, saver=saver(tmp_path / "a", every=100), resume=stopped.checkpoint)
    run(mlp((4, 3)), DATA, saver=saver(tmp_path / "b", every=100))
    assert_same_end(tmp_path / "a", tmp_path / "b")


# --- refused ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    run(mlp((4, 3)), DATA, attrs.evolve(SHORT, steps=2), saver=saver(folder, model="mlp"))
    return Checkpoints(folder).path(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.1}, r"lr must be 0\.05, got 0\.1; leave it out, or begin anew"),
        ({"batch": 4}, "batch must be 8, got 4"),
        ({"seed": 5}, "seed must be 0, got 5"),
        (
            {"optimizer": "adam", "lr": 0.05, "weight_decay": 5e-4},
            "optimizer must be 'sgd', got 'adam'; leave",
        ),
        ({"clip": 1.0, "steps": 9}, r"steps must be 2, got 9; clip must be None, got 1\.0"),
    ],
)
def test_settings_that_differ_are_refused_with_both_values(tmp_path, checkpoint, change, message):
    settings = attrs.evolve(SHORT, **{"steps": 2, **change})
    with pytest.raises(CheckpointError, match=rf"step-00000002\.safetensors: to go on, .*{message}"):
        run(mlp((4, 3)), DATA, settings, saver=saver(tmp_path, model="mlp"), resume=checkpoint)


def test_another_model_is_refused_by_name_or_by_its_shapes(tmp_path, checkpoint):
    settings = attrs.evolve(SHORT, steps=2)
    with pytest.raises(CheckpointError, match="model must be 'mlp', got 'lenet5'"):
        run(mlp((4, 3)), DATA, settings, saver=saver(tmp_path, model="lenet5"), resume=checkpoint)
    with pytest.raises(CheckpointError, match=r"got opt_state/1/momentum/linear1/b: float32\[4\], not float32\[5\]"):
        run(mlp((5, 3)), DATA, settings, saver=saver(tmp_path, model="mlp"), resume=checkpoint)


def test_other_data_are_refused_and_the_same_elsewhere_are_not(tmp_path, checkpoint):
    settings, other = attrs.evolve(SHORT, steps=2), images(seed=1, name="other")
    with pytest.raises(CheckpointError, match=r"data must be small \(arrays, fingerprint \w+\), got other \(arrays, "):
        run(mlp((4, 3)), other, settings, saver=saver(tmp_path, model="mlp"), resume=checkpoint)
    run(mlp((4, 3)), images(name="moved"), settings, saver=saver(tmp_path, model="mlp"), resume=checkpoint)


def test_a_file_of_save_is_no_checkpoint_of_a_training(tmp_path):
    lwps.save(tmp_path / "file", {"x": np.ones(1)})
    with pytest.raises(
        CheckpointError, match=r"must be a checkpoint of a training, got a file of lwps.save; use lwps.load"
    ):
        run(mlp((4, 3)), DATA, resume=tmp_path / "file")


def test_a_checkpoint_of_another_version_is_named(tmp_path, checkpoint):
    saved = lwps.checkpoint.read(checkpoint)
    settings = {**saved.metadata["settings"], "hyper": 1}
    lwps.save(tmp_path / "file", saved.tree, **{**saved.metadata, "settings": settings})
    with pytest.raises(CheckpointError, match=r"must be a checkpoint of this lwps, got one of another version .*hyper"):
        origin_of(tmp_path / "file")


# --- said ------------------------------------------------------------------------------------------


def notes_of(model, tmp_path, settings=SHORT, **how):
    notes = []
    end = run(model, DATA, settings, saver=saver(tmp_path / "b"), note=notes.append, **how)
    return notes, end


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    folder = tmp_path_factory.mktemp("half")
    run(mlp((4, 3)), DATA, saver=saver(folder))
    return Checkpoints(folder).path(3)


def test_another_machine_is_said_and_placed_anew(tmp_path, half):
    machine = lwps.Machine.detect(["cpu"])
    if lwps.default_machine().describe() == machine.describe():
        pytest.skip("one processor")
    notes, end = notes_of(mlp((4, 3)), tmp_path, resume=half, machine=machine)
    assert len(notes) == 1
    assert notes[0].startswith("this is another machine (machine: planned for cpu: NumPy")
    assert notes[0].endswith("placed anew by cpu")
    assert end.done == 7


def test_another_placement_is_said_and_taken(tmp_path, half):
    notes, end = notes_of(mlp((4, 3)), tmp_path, attrs.evolve(SHORT, placement=PROCESSORS[-1]), resume=half)
    assert notes == [f"placed anew by {PROCESSORS[-1]}, no longer as cpu was"] or PROCESSORS[-1] == "cpu"
    assert set(end.step.compiled.plan.placement.values()) == {PROCESSORS[-1]}


def test_another_program_is_said_and_placed_anew(tmp_path, half):
    """As when lwps itself has changed: the same parameters, other eqns."""
    other = nn.serial(flatten=nn.flatten(), linear1=nn.linear(4), relu1=nn.tanh(), linear2=nn.linear(3))
    notes, end = notes_of(other, tmp_path, resume=half)
    assert len(notes) == 1
    assert notes[0].startswith("the program is another than in the checkpoint (plan: must be of the program")
    assert end.done == 7


def test_other_software_is_said(tmp_path, half):
    saved = lwps.checkpoint.read(half)
    then = {**saved.metadata["software"], "numpy": "1.0"}
    lwps.save(tmp_path / "file", saved.tree, **{**saved.metadata, "software": then})
    notes, _ = notes_of(mlp((4, 3)), tmp_path, resume=tmp_path / "file")
    assert notes == [f"rounding may differ from before: numpy {np.__version__}, was 1.0"]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_training_goes_on_where_a_checkpoint_cannot_be_written(tmp_path, monkeypatch, processor):
    """Nothing that was saved is lost, and no view is left that would keep params from being donated."""
    fsync, failing = os.fsync, [False]

    def full(handle):
        if failing[0]:
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    notes, settings = [], attrs.evolve(SHORT, placement=processor)
    end = run(
        mlp((4, 3)),
        DATA,
        settings,
        report=lambda p: failing.__setitem__(0, p.step in (3, 4)),
        saver=saver(tmp_path / "a"),
        note=notes.append,
    )
    assert [n.partition(":")[0] for n in notes] == ["step 3 is not saved", "step 4 is not saved"]
    assert "No space left on device; the last checkpoint is step-00000002.safetensors" in notes[0].replace("\n", " ")
    assert Checkpoints(tmp_path / "a").steps() == [1, 2, 5, 6, 7]
    run(mlp((4, 3)), DATA, settings, saver=saver(tmp_path / "b"))
    assert_same_end(tmp_path / "a", tmp_path / "b")
    assert end.test is not None


def test_what_goes_wrong_is_warned_of_where_nobody_listens(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    kept = saver(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"train: step 1 is not saved: .* the last checkpoint is none"):
        end = train(mlp((4, 3)), DATA, attrs.evolve(SHORT, steps=1), saver=kept)
    assert (end.checkpoint, end.done) == (None, 1)


# --- how often -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "every"),
    [("500", Every(steps=500)), ("30s", Every(seconds=30)), ("10m", Every(seconds=600)), ("2h", Every(seconds=7200))],
)
def test_how_often_is_steps_or_a_time(text, every):
    assert Every.of(text) == every


@pytest.mark.parametrize("text", ["0", "0s", "-3", "5 m", "often", "1.5", ""])
def test_other_words_for_how_often_are_refused(text):
    with pytest.raises(ValueError, match=r"every: must be steps \(500\) or a time \(30s, 10m, 2h\), at least 1, got"):
        Every.of(text)


def test_time_passes_between_saves(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("lwps.train.saver.time.monotonic", lambda: now[0])
    kept = Saver(Checkpoints(tmp_path), Every(seconds=10))
    assert not kept.due(1)
    now[0] += 10
    assert kept.due(2)
