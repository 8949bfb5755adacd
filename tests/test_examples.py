"""Every example runs, on small settings."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import lwps
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


def test_char_gpt_writes_text(capsys):
    losses, held_out = example("char_gpt").main(2, batch=2, context=8, width=8, depth=1, heads=2, placement="cpu")
    assert np.isfinite([*losses, held_out]).all()
    assert "characters of textwrap.py" in capsys.readouterr().out


def test_unet_shapes_draws_what_it_found(capsys):
    shares = example("unet_shapes").main(2, batch=2, size=16, widths=(4, 8), placement="cpu")
    assert len(shares) == 3
    assert "what is there, and what was found" in capsys.readouterr().out


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


@pytest.mark.parametrize("processor", testing.PROCESSORS)
@pytest.mark.parametrize("shape", [(2,), (7, 130), (2, 3, 10), (0, 4), (3, 0)])
def test_own_primitive_is_the_gate_on_every_processor(processor, shape, check_vjp):
    module = example("own_primitive")
    x = (30 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    x[..., :1] = -100  # exp(100) overflows float32
    (y,) = testing.run_primitive(module.swiglu_p, x, processor=processor)
    a, b = np.split(np.float64(x), 2, -1)
    np.testing.assert_allclose(y, a / (1 + np.exp(-a)) * b, rtol=1e-5, atol=1e-6)
    if x.size:
        check_vjp(module.swiglu_p, x / 30)


def test_own_primitive_refuses_what_has_no_halves():
    module = example("own_primitive")
    for x in (np.zeros((2, 3)), np.zeros(()), np.zeros(2, np.int32)):
        with pytest.raises(TypeError, match="swiglu: x must be floats with an even last axis, got"):
            module.swiglu(x)
    lines = (EXAMPLES / "own_primitive.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) < 60


@pytest.mark.parametrize("processor", testing.PROCESSORS)
def test_own_vjp_bounds_a_cotangent_and_nothing_else(processor):
    x, ct = np.float32([3, -4]), np.float32([6, 8])
    bounded = example("own_vjp").bounded

    def both(x, ct):
        y, pull_back = lwps.vjp(bounded(5.0), x)
        return y, pull_back(ct)[0], pull_back(ct / 4)[0]

    y, large, small = lwps.jit(both, placement=processor)(x, ct)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_allclose(large, [3, 4], rtol=1e-6)
    np.testing.assert_allclose(small, ct / 4, rtol=1e-6)


def test_own_vjp_keeps_gradients_from_exploding(capsys):
    rows = example("own_vjp").main(steps=(1, 100))
    assert not np.isfinite(rows[1][1])
    assert 0.1 < rows[1][2] < 10
    assert "with bounded(1.0)" in capsys.readouterr().out


def test_examples_are_short_and_in_the_gallery():
    gallery = (EXAMPLES.parent / "docs" / "gallery.md").read_text()
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < 150, path.name
        assert f"../examples/{path.name}" in gallery, f"docs/gallery.md must list {path.name}"
