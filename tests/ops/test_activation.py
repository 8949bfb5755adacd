"""Activations on every processor against NumPy in float64, and their vjp rules."""

import numpy as np
import pytest
from hypothesis import given

from lwps import tracing
from lwps.core import ShapedArray
from lwps.ops import elementwise as ew
from tests.ops.elements import (
    Case,
    assert_special,
    assert_values,
    seeds,
    shapes,
)
from tests.places import on_each_processor

CASES = {
    "relu": Case(ew.relu_p, lambda x: np.maximum(x, 0)),
    "tanh": Case(ew.tanh_p, np.tanh, -15, 15),  # 15: float32 has long become 1
}


@on_each_processor
@given(shape=shapes, seed=seeds)
def test_values_match_the_float64_reference(processor, shape, seed):
    assert_values(CASES, processor, shape, seed)


@on_each_processor
def test_nan_and_infinities_come_out_as_in_numpy(processor):
    assert_special(CASES, processor)


@pytest.mark.parametrize("name", CASES)
@given(shape=shapes, seed=seeds)
def test_vjp_matches_differences(check_vjp, name, shape, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 2, shape)  # away from relu's corner
    check_vjp(CASES[name].primitive, rng.choice((-1, 1), shape) * x, seed=seed)


def test_a_traced_function_records_the_same_ops():
    program = tracing.trace(lambda x: ew.relu(ew.add(ew.mul(x, 2), 1)), ShapedArray((3,), "float32"))
    assert [eqn.primitive.name for eqn in program.eqns] == ["full", "mul", "full", "add", "relu"]
