"""A checkpoint as a model: applied, and exported by the shell."""

import json
import sys

import numpy as np
import pytest

from lwps import cli
from lwps.checkpoint import CheckpointError, Checkpoints, save
from lwps.data import digits
from lwps.train import Saver, load_trained, train
from tests.train.small import SHORT, drawing, images


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What `lwps train lenet5 --steps 12 --checkpoint FOLDER` leaves: LeNet, on digits enlarged to 28 pixels."""
    return trained_by_the_shell(tmp_path_factory.mktemp("runs") / "lenet", "lenet5", "--steps", 12)


def trained_by_the_shell(folder, *args):
    shell("train", *args, "--placement", "cpu", "--processors", "cpu", "--checkpoint", folder)
    return folder


def shell(*args):
    """The exit status of a command."""
    before, sys.argv = sys.argv, ["lwps", *map(str, args)]
    try:
        with pytest.raises(SystemExit) as exit_:
            cli.main()
    finally:
        sys.argv = before
    return exit_.value.code


def enlarged(pixels):
    """Digits of 8x8 in the middle of 28x28, thrice as large."""
    large = pixels.repeat(3, 1).repeat(3, 2)
    return np.pad(large, ((0, 0), (2, 2), (2, 2), (0, 0)))


def pixels_of(data):
    return np.rint(data.test_images * np.float32(data.deviation) + np.float32(data.mean)).astype(np.uint8)


def session_of(path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime has no wheel for this platform")
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_a_checkpoint_is_a_model(folder):
    trained = load_trained(folder)
    assert trained.origin.about["model"] == "lenet5"
    x = np.zeros(trained.aval(3).shape, np.float32)
    assert trained.aval(3).shape == (3, 28, 28, 1)
    assert trained.logits(x).shape == (3, 10)
    newest = Checkpoints(folder).newest().path
    np.testing.assert_array_equal(load_trained(newest).logits(x), trained.logits(x))


@pytest.mark.parametrize("pixels", [False, True])
def test_the_shell_exports_it(folder, tmp_path, capsys, pixels):
    file = tmp_path / "digits.onnx"
    assert shell("export", folder, "-o", file, *["--pixels"] * pixels) == 0
    printed = " ".join(capsys.readouterr().out.split())
    name = "pixels" if pixels else "images"
    assert "lenet5, trained on UCI digits for 12 steps" in printed
    assert f"{name}[batch, 28, 28, 1] -> logits[batch, 10]" in printed
    assert "opset 18, IR version 8" in printed

    trained, session = load_trained(folder), session_of(file)
    pictures = enlarged(pixels_of(digits())[:20])
    known = trained.origin.data
    images = (pictures.astype(np.float32) - np.float32(known["mean"])) / np.float32(known["deviation"])
    (logits,) = session.run(["logits"], {name: pictures if pixels else images})
    np.testing.assert_allclose(logits, trained.logits(images), rtol=1e-4, atol=1e-4)
    said = session.get_modelmeta().custom_metadata_map
    assert (said["model"], said["name"], json.loads(said["step"])) == ("lenet5", "UCI digits", 12)
    assert json.loads(said["mean"]) == pytest.approx(known["mean"])


def test_models_of_text_are_exported_too(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat, " * 40)
    folder = trained_by_the_shell(tmp_path / "gpt", "gpt", "--data", text, "--context", 8, "--steps", 2, "--batch", 4)
    file = tmp_path / "gpt.onnx"
    assert shell("export", folder, "-o", file) == 0
    assert "tokens[batch, 8] -> logits[batch, 8, " in " ".join(capsys.readouterr().out.split())
    trained, session = load_trained(folder), session_of(file)
    vocabulary = session.get_modelmeta().custom_metadata_map["vocabulary"]
    tokens = np.array([[vocabulary.index(c) for c in row] for row in ("the cat ", "sat on t")], np.int32)
    (logits,) = session.run(None, {"tokens": tokens})
    np.testing.assert_allclose(logits, trained.logits(tokens), rtol=1e-4, atol=1e-4)


def test_a_batch_may_be_of_one_size(folder, tmp_path, capsys):
    file = tmp_path / "digits.onnx"
    assert shell("export", folder, "-o", file, "--batch", 2) == 0
    assert "images[2, 28, 28, 1] -> logits[2, 10]" in " ".join(capsys.readouterr().out.split())
    assert session_of(file).get_inputs()[0].shape == [2, 28, 28, 1]


def test_what_is_no_checkpoint_of_the_shell_is_refused(tmp_path, capsys):
    own = Checkpoints(tmp_path / "own")
    own.prepare()
    train(drawing(), images(), SHORT, saver=Saver(own, about={"mine": 1}))
    with pytest.raises(CheckpointError, match="must be a checkpoint of `lwps train`, got one that does not say its"):
        load_trained(tmp_path / "own")
    save(tmp_path / "arrays.safetensors", {"w": np.zeros(3)})
    with pytest.raises(CheckpointError, match=r"must be a checkpoint of a training, got a file of lwps\.save"):
        load_trained(tmp_path / "arrays.safetensors")
    assert shell("export", tmp_path / "nothing", "-o", tmp_path / "x.onnx") == 1
    assert "nothing: must be" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "x.onnx").exists()


def test_a_place_that_cannot_be_written_is_named(folder, tmp_path, capsys):
    assert shell("export", folder, "-o", tmp_path / "no folder" / "x.onnx") == 1
    assert "no folder/x.onnx: must be a place that can be written, got" in " ".join(capsys.readouterr().err.split())


def test_pixels_are_for_images(folder):
    trained = load_trained(folder)
    del trained.origin.data["mean"]
    with pytest.raises(ValueError, match="to_onnx: pixels are for models of images, got one of "):
        trained.to_onnx(pixels=True)
