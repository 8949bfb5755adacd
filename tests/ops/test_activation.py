"""Activations on every processor against NumPy in float64, and their vjp rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import special

import lwps
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


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


CASES = {
    "relu": Case(ew.relu_p, lambda x: np.maximum(x, 0)),
    "tanh": Case(ew.tanh_p, np.tanh, -15, 15),  # 15: float32 has long become 1
    "sigmoid": Case(ew.sigmoid_p, lambda x: 1 / (1 + np.exp(-x)), -85, 85),  # below -87 results are denormal
    "silu": Case(ew.silu_p, lambda x: x / (1 + np.exp(-x)), -80, 80),
    "softplus": Case(ew.softplus_p, lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), -80, 80),
    "erf": Case(ew.erf_p, special.erf, -4, 4),
    "gelu": Case(ew.gelu_p, lambda x: x * special.ndtr(x), rtol=2e-5),  # digits of the far tail, about 1e-22
    "gelu_tanh": Case(ew.gelu_tanh_p, gelu_tanh, atol=2e-6),  # 1 + tanh loses digits below -3
    "leaky_relu": Case(ew.leaky_relu_p, lambda x: np.where(x > 0, x, 0.1 * x), params={"slope": 0.1}),
    "leaky_relu 3": Case(ew.leaky_relu_p, lambda x: np.where(x > 0, x, 3 * x), params={"slope": 3.0}),
    "elu": Case(ew.elu_p, lambda x: np.where(x > 0, x, 1.5 * np.expm1(x)), params={"alpha": 1.5}),
}


@on_each_processor
@given(shape=shapes, seed=seeds)
def test_values_match_the_float64_reference(processor, shape, seed):
    assert_values(CASES, processor, shape, seed)


@on_each_processor
def test_nan_and_infinities_come_out_as_in_numpy(processor):
    assert_special(CASES, processor)


@settings(max_examples=10)
@pytest.mark.parametrize("name", CASES)
@given(shape=shapes, seed=seeds)
def test_vjp_matches_differences(check_vjp, name, shape, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 2, shape)  # away from relu's corner
    check_vjp(CASES[name].primitive, rng.choice((-1, 1), shape) * x, seed=seed, **CASES[name].params)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("relu", "tanh")])
def test_slopes_stay_numbers_far_out(name):
    """Where exp overflows or is 0, slopes are those of the limits."""
    case = CASES[name]
    x = np.array([-300, -90, -40, 0, 40, 90, 300], np.float32)
    with np.errstate(over="ignore", under="ignore"):
        (y,) = case.primitive.bind(x, **case.params)
        (slope,) = case.primitive.vjp((np.ones_like(x),), (x,), (y,), (True,), **case.params)
        step = np.float64(1e-6)
        want = (case.reference(x + step) - case.reference(x - step)) / (2 * step)
    inner = x != 0 if "elu" in name and "gelu" not in name else slice(None)  # there they have a corner
    np.testing.assert_allclose(slope[inner], want[inner], rtol=1e-4, atol=1e-6)


def test_gelu_is_approximate_unless_told_otherwise():
    x = np.linspace(-3, 3, 7)
    np.testing.assert_array_equal(ew.gelu(x), ew.gelu_tanh_p.bind(x)[0])
    np.testing.assert_array_equal(ew.gelu(x, approximate=False), ew.gelu_p.bind(x)[0])
    assert ew.silu(np.array([1, 2])).dtype == ew.elu(3).dtype == np.float32


@pytest.mark.parametrize("op", [ew.leaky_relu, ew.elu])
def test_a_param_must_be_a_number(op):
    for wrong in (np.ones(2), True, "0.1"):
        with pytest.raises(ValueError, match=f"{op.__name__}: .* must be a Python number, got .*; for another one use"):
            op(np.ones(2), wrong)
    with pytest.raises(ValueError, match=r"must be a Python number, got float32\[\]"):
        tracing.trace(op, ShapedArray((3,), "float32"), ShapedArray((), "float32"))


def test_a_traced_function_records_the_same_ops():
    program = tracing.trace(lambda x: ew.relu(ew.add(ew.mul(x, 2), 1)), ShapedArray((3,), "float32"))
    assert [eqn.primitive.name for eqn in program.eqns] == ["full", "mul", "full", "add", "relu"]


def test_relu6_is_relu_up_to_six_and_has_its_gradient():
    x = np.array([-np.inf, -1, 0, 3, 5.9, 6.1, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(ew.relu6(x), np.float32([0, 0, 0, 3, 5.9, 6, 6, np.nan]))
    np.testing.assert_array_equal(lwps.grad(lambda x: ew.relu6(x).sum())(x[:-1]), [0, 0, 0, 1, 1, 0, 0])
