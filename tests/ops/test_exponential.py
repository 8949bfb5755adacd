"""Exponentials, logarithms and roots on every processor against NumPy in float64, and their vjp rules."""

import numpy as np
import pytest
from hypothesis import given, settings

from lwps.ops import elementwise as ew
from tests.ops.elements import (
    Case,
    assert_slopes,
    assert_special,
    assert_values,
    pairs,
    seeds,
    shapes,
)
from tests.places import on_each_processor, run

CASES = {
    "exp": Case(ew.exp_p, np.exp, -86, 88),  # float32 overflows at 88.7; below -87 results are denormal
    "expm1": Case(ew.expm1_p, np.expm1, -30, 88),
    "log": Case(ew.log_p, np.log, 1e-30, 1e6),
    "log2": Case(ew.log2_p, np.log2, 1e-30, 1e6),
    "log1p": Case(ew.log1p_p, np.log1p, -1, 1e6),
    "sqrt": Case(ew.sqrt_p, np.sqrt, 0, 1e12),
    "rsqrt": Case(ew.rsqrt_p, lambda x: 1 / np.sqrt(x), 1e-6, 1e6),
    "logaddexp": Case(ew.logaddexp_p, np.logaddexp, -100, 100, n=2, atol=1e-6),  # digits are lost where it is near 0
    "hypot": Case(ew.hypot_p, np.hypot, -10, 10, n=2),
}


@on_each_processor
@given(shape=shapes, seed=seeds)
def test_values_match_the_float64_reference(processor, shape, seed):
    assert_values(CASES, processor, shape, seed)


@on_each_processor
def test_nan_and_infinities_come_out_as_in_numpy(processor):
    assert_special(CASES, processor)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=8)
@given(shapes=pairs, seed=seeds)
def test_vjp_matches_differences(check_vjp, name, shapes, seed):
    assert_slopes(check_vjp, CASES[name], shapes[: CASES[name].n], seed)


@on_each_processor
@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log2", "log1p"])
def test_every_size_of_float_keeps_its_digits(processor, name):
    """Results near 0 included: expm1 and log1p of tiny numbers, logarithms close to 1."""
    bits = np.arange(0, 2**32, 1_000_003, dtype=np.uint64).astype(np.uint32)
    near_1 = 1 + np.arange(-500, 500, dtype=np.float32) * np.float32(2**-23)
    x = np.concatenate([np.float32([88.5]), bits.view(np.float32), near_1])  # exp(88.5) is close below infinity
    with np.errstate(all="ignore"):
        want = CASES[name].reference(x.astype(np.float64)).astype(np.float32)
        (y,) = run(CASES[name].primitive, x, place=processor)
    # 1e-37: devices may flush denormal numbers to zero
    np.testing.assert_allclose(y, want, rtol=4e-7, atol=1e-37)


def test_the_cotangent_of_logaddexp_goes_to_an_infinite_one_and_to_equal_ones_by_halves():
    x, y = np.array([np.inf, -np.inf, 3.0, -np.inf, 2, 500]), np.array([0.0, 1.0, -np.inf, -np.inf, 2, -500])
    with np.errstate(invalid="ignore", over="ignore"):
        to_x, to_y = ew.logaddexp_p.vjp((np.ones(6),), (x, y), (np.logaddexp(x, y),), (True, True))
    np.testing.assert_array_equal(to_x, [1, 0, 1, 0.5, 0.5, 1])
    np.testing.assert_array_equal(to_y, [0, 1, 0, 0.5, 0.5, 0])


@on_each_processor
def test_hypot_of_large_and_small_numbers(processor):
    x, y = np.array([3e30, 3e-30, 0, 1e38], np.float32), np.array([4e30, 4e-30, 0, 0], np.float32)
    (z,) = run(ew.hypot_p, x, y, place=processor)
    np.testing.assert_allclose(z, [5e30, 5e-30, 0, 1e38], rtol=1e-6)
    zero = np.zeros(1)
    np.testing.assert_array_equal(ew.hypot_p.vjp((zero + 1,), (zero, zero), (zero,), (True, True)), [zero, zero])


def test_logaddexp2_counts_in_powers_of_two():
    np.testing.assert_allclose(ew.logaddexp2(np.array([3.0, 2000]), np.array([3.0, 2000])), [4, 2001])


def test_integers_become_floats():
    assert ew.sqrt(np.array([4, 9])).dtype == np.float32
    assert ew.exp(0).item() == 1
    assert ew.logaddexp(np.array([0]), 0).dtype == np.float32


def test_log10_of_powers_of_ten():
    x = np.array([1e-3, 1, 10, 1e6], np.float32)
    np.testing.assert_allclose(ew.log10(x), [-3, 0, 1, 6], rtol=3e-7)


def test_a_primitive_refuses_integers_by_name():
    with pytest.raises(TypeError, match=r"exp: inputs must share one dtype of .*, got int32\[2\]"):
        ew.exp_p.bind(np.ones(2, np.int32))
