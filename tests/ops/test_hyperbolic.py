"""Hyperbolic functions and their inverses on every processor against NumPy in float64, and their vjp rules."""

import numpy as np
import pytest
from hypothesis import given, settings

from lwps.ops import elementwise as ew
from tests.ops.elements import Case, assert_slopes, assert_special, assert_values, seeds, shapes
from tests.places import on_each_processor, run

CASES = {
    "arcsinh": Case(ew.arcsinh_p, np.arcsinh, -50, 50, smooth=(-2, 2)),
    "arccosh": Case(ew.arccosh_p, np.arccosh, 1, 50, smooth=(1.1, 3)),
    "arctanh": Case(ew.arctanh_p, np.arctanh, -1, 1, smooth=(-0.9, 0.9)),
}


@on_each_processor
@given(shape=shapes, seed=seeds)
def test_values_match_the_float64_reference(processor, shape, seed):
    assert_values(CASES, processor, shape, seed)


@on_each_processor
def test_nan_and_infinities_come_out_as_in_numpy(processor):
    assert_special(CASES, processor)


@on_each_processor
@pytest.mark.parametrize("name", CASES)
def test_every_size_of_float_keeps_its_digits(processor, name):
    bits = np.arange(0, 2**32, 1_000_003, dtype=np.uint64).astype(np.uint32)
    with np.errstate(all="ignore"):
        want = CASES[name].reference(bits.view(np.float32).astype(np.float64))
        (y,) = run(CASES[name].primitive, bits.view(np.float32), place=processor)
    np.testing.assert_allclose(y, want, rtol=1e-6, atol=1e-37)


@settings(max_examples=8)
@pytest.mark.parametrize("name", CASES)
@given(shape=shapes, seed=seeds)
def test_vjp_matches_differences(check_vjp, name, shape, seed):
    assert_slopes(check_vjp, CASES[name], [shape], seed)


def test_sinh_and_cosh():
    x = np.array([-np.inf, -30, -1e-6, 0, 1e-6, 2, np.inf], np.float32)
    np.testing.assert_allclose(ew.sinh(x), np.sinh(x), rtol=1e-6)
    np.testing.assert_allclose(ew.cosh(x), np.cosh(x), rtol=1e-6)
    assert ew.sinh(1).dtype == ew.cosh(np.int32(1)).dtype == np.float32
