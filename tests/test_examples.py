"""Every example runs, on small settings."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from lwps import testing

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_mlp_from_ops_learns(capsys):
    assert example("mlp_from_ops").main(epochs=3) > 0.85
    assert "dense0/backward/matmul#0" in capsys.readouterr().out


@pytest.mark.skipif(len(testing.PROCESSORS) < 2, reason="a placement is a choice between two processors")
def test_own_placement_prints_a_line_for_each_policy(capsys):
    example("own_placement").main(batch=2, image_size=8, rounds=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*testing.PROCESSORS[:2], "backward_on_the_device"]


def test_autoencoder_draws_digits(capsys):
    assert np.isfinite(example("autoencoder").main(steps=2, batch=16, placement="cpu"))
    assert "digits, with noise, and drawn again" in capsys.readouterr().out


def test_gru_adding_runs_a_step_for_each_number(capsys):
    assert np.isfinite(example("gru_adding").main(2, batch=4, length=5, features=3, placement="cpu")).all()
    assert "5 steps of the network are" in capsys.readouterr().out


def test_save_resume_continues_to_the_same_bits():
    through, resumed, same = example("save_resume").main(steps=4)
    assert same
    assert through == resumed


def test_export_digits_gives_the_same_answers_elsewhere(tmp_path, capsys):
    pytest.importorskip("onnx", reason="pip install 'lwps[onnx]'")
    ops, accuracy = example("export_digits").main(epochs=1, path=str(tmp_path / "digits.onnx"), placement="cpu")
    assert ops == ["Transpose", "Conv", "Relu", "MaxPool", "Conv", "Relu", "ReduceMean", "Gemm"]
    shown = re.search(r"test accuracy: (\S+) here, (\S+) in ONNX Runtime", capsys.readouterr().out)
    assert accuracy is None or shown[1] == shown[2]


@pytest.mark.skipif(len(testing.PROCESSORS) < 2, reason="a placement is a choice between two processors")
def test_plan_edit_explain_keeps_the_pin(capsys):
    plan = example("plan_edit_explain").main(batch=2, rounds=2)
    ((layer, processor),) = plan.pins.items()
    assert {p for name, p in plan.placement.items() if name.startswith(f"{layer}/")} == {processor}
    assert "the step would take" in capsys.readouterr().out


def test_examples_are_short_and_in_the_gallery():
    gallery = (EXAMPLES.parent / "docs" / "gallery.md").read_text()
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < 150, path.name
        assert f"../examples/{path.name}" in gallery, f"docs/gallery.md must list {path.name}"
