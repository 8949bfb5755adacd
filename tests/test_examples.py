"""Every example runs, on small settings."""

import importlib.util
from pathlib import Path

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
