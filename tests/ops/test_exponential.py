"""Exponentials, logarithms and roots on every processor against NumPy in float64, and their vjp rules."""

import numpy as np
import pytest
from hypothesis import given

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
    "exp": Case(ew.exp_p, np.exp, -86, 88),  # float32 overflows at 88.7; below -87 results are denormal
    "log": Case(ew.log_p, np.log, 1e-30, 1e6),
    "sqrt": Case(ew.sqrt_p, np.sqrt, 0, 1e12),
    "rsqrt": Case(ew.rsqrt_p, lambda x: 1 / np.sqrt(x), 1e-6, 1e6),
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
    x = rng.uniform(0.5, 2, shape)  # away from log's end
    check_vjp(CASES[name].primitive, x, seed=seed)


def test_integers_become_floats():
    assert ew.sqrt(np.array([4, 9])).dtype == np.float32
    assert ew.exp(0).item() == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ew.exp_p.bind(np.ones(2, np.int32)),
            TypeError,
            r"exp: inputs must share one dtype of .*, got int32\[2\]",
        ),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call()
