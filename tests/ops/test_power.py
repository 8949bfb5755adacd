"""Powers on every processor against NumPy in float64, and their vjp rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwps import tracing
from lwps.core import ShapedArray
from lwps.ops import elementwise as ew
from tests.ops.elements import (
    SPECIAL,
    Case,
    assert_slopes,
    assert_special,
    assert_values,
    pairs,
    run_together,
    seeds,
    shapes,
)
from tests.places import on_each_processor, run

EXPONENTS = (-7, -2, 3, 4, 5, 8, 13)
CASES = {
    "pow": Case(ew.pow_p, np.power, 0.1, 9, n=2),
    **{
        f"integer_pow {n}": Case(ew.integer_pow_p, lambda x, n=n: x**n, -9, 9, rtol=2e-6, params={"exponent": n})
        for n in EXPONENTS
    },
}
NUMBERS = np.concatenate([SPECIAL, [2, -2, 3, -3, 0.5, -0.5, 1e38, -1e38, 1e-42, 16777217]]).astype(np.float32)


@on_each_processor
@given(shape=shapes, seed=seeds)
def test_values_match_the_float64_reference(processor, shape, seed):
    assert_values(CASES, processor, shape, seed)


@on_each_processor
def test_nan_and_infinities_come_out_as_in_numpy(processor):
    assert_special(CASES, processor)


@pytest.mark.parametrize("name", ["pow", "integer_pow -2", "integer_pow 5"])
@settings(max_examples=8)
@given(shapes=pairs, seed=seeds)
def test_vjp_matches_differences(check_vjp, name, shapes, seed):
    assert_slopes(check_vjp, CASES[name], shapes[: CASES[name].n], seed)


@on_each_processor
@given(shape=shapes, seed=seeds, size=st.sampled_from((1.5, 10.0, 1e30)))
def test_large_results_keep_their_digits(processor, shape, seed, size):
    """Bases from 1/size to size with exponents that go to the limits of float32."""
    rng = np.random.default_rng(seed)
    x = np.exp(rng.uniform(-np.log(size), np.log(size), shape)).astype(np.float32)
    y = (rng.uniform(-86, 88, shape) / np.log(size)).astype(np.float32)
    (z,) = run(ew.pow_p, x, y, place=processor)
    np.testing.assert_allclose(z, x.astype(np.float64) ** y, rtol=1e-6, atol=1e-37)


@on_each_processor
def test_the_ends_are_those_of_numpy(processor):
    x, y = np.repeat(NUMBERS, len(NUMBERS)), np.tile(NUMBERS, len(NUMBERS))
    with np.errstate(all="ignore"):
        (z,), want = run(ew.pow_p, x, y, place=processor), np.power(x, y)
    np.testing.assert_allclose(z, want, rtol=1e-6, atol=1e-37)
    np.testing.assert_array_equal(np.copysign(1, z)[z == z], np.copysign(1, want)[z == z])


@on_each_processor
@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32"])
def test_powers_of_integers_are_exact_and_wrap_as_in_numpy(processor, dtype):
    x = np.array([0, 1, 2, 3, 9, 100, 255], dtype)
    found = run_together([ew.integer_pow_p] * 3, x, place=processor, params=[{"exponent": n} for n in (3, 4, 9)])
    for n, y in zip((3, 4, 9), found, strict=True):
        np.testing.assert_array_equal(y, x ** np.array(n, dtype), strict=True)


def test_slopes_at_zero_and_of_negative_bases():
    x, y = np.array([0.0, 0.0, 0.0, -2.0, -2.0]), np.array([0.0, 1.0, 3.0, 3.0, -1.0])
    with np.errstate(all="ignore"):
        to_x, _ = ew.pow_p.vjp((np.ones(5),), (x, y), (x**y,), (True, False))
    np.testing.assert_allclose(to_x, [0, 1, 0, 12, -0.25])
    with np.errstate(invalid="ignore"):
        _, to_y = ew.pow_p.vjp((np.ones(5),), (x, y), (x**y,), (False, True))
    np.testing.assert_array_equal(to_y, [0, 0, 0, np.nan, np.nan])
    (slope,) = ew.integer_pow_p.vjp((np.ones(2),), (np.array([0.0, -2.0]),), (None,), (True,), exponent=3)
    np.testing.assert_array_equal(slope, [0, 12])
    assert ew.integer_pow_p.vjp([None], (np.ones(2, np.int32),), (None,), (False,), exponent=3) == (None,)


X = np.array([1.5, -2, 3])


@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 3, 7, 2.0, -2.0, np.int64(5)])
def test_whole_exponents(n):
    np.testing.assert_allclose(ew.power(X, n), X**n)


@pytest.mark.parametrize(
    ("x", "y", "dtype"),
    [
        (np.array([1, -2, 3], np.int32), 2, "int32"),
        (np.array([1, -2, 3], np.int32), -2, "float32"),
        (np.array([1, -2, 3], np.int32), 2.0, "float32"),
        (np.array([1, 2, 3], np.uint8), 2.5, "float32"),
        (np.array([True, False]), 3, "int32"),
        (np.float32([1, 2, 3]), np.array([1, 2, -3], np.int32), "float32"),
        (np.float32([1, 4, 9]), 0.5, "float32"),
        (2, np.float32([1, 2, 3]), "float32"),
        (2.0, np.array([1, 2, 3], np.int32), "float32"),
    ],
)
def test_dtypes_of_powers(x, y, dtype):
    z = ew.power(x, y)
    assert z.dtype == dtype
    np.testing.assert_allclose(z, np.power(np.asarray(x, np.float64), y), rtol=1e-6)


def test_exp2_is_a_power_of_two():
    np.testing.assert_array_equal(ew.exp2(np.array([-3, 0, 5])), np.float32([0.125, 1, 32]))


def test_cube_roots_have_the_sign_of_the_number():
    x = np.array([-27, -1, 0, 8, 1e-30], np.float32)
    np.testing.assert_allclose(ew.cbrt(x), [-3, -1, 0, 2, 1e-10], rtol=1e-6)


def names(fn):
    program = tracing.trace(fn, ShapedArray((3,), "float32"))
    return [eqn.primitive.name for eqn in program.eqns]


def test_known_exponents_cost_products_only():
    assert names(lambda x: x**2) == ["mul"]
    assert names(lambda x: x**8) == ["integer_pow"]
    assert names(lambda x: x**1) == []
    assert names(lambda x: x**0.5) == ["sqrt"]
    assert names(lambda x: x**x) == ["pow"]


def test_two_arrays_of_integers_are_refused_by_name():
    x = np.arange(3, dtype=np.int32)
    with pytest.raises(TypeError, match=r"power: one of two arrays must be floats, got int32\[3\] and int32\[3\]; use"):
        ew.power(x, x)
