"""Sines, tangents and their inverses on every processor against NumPy in float64, and their vjp rules."""

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
    "sin": Case(ew.sin_p, np.sin, -100, 100, atol=1e-7),  # 100: many turns
    "cos": Case(ew.cos_p, np.cos, -100, 100, atol=1e-7),
    "tan": Case(ew.tan_p, np.tan, -100, 100),
    "arcsin": Case(ew.arcsin_p, np.arcsin, -1, 1, smooth=(-0.9, 0.9)),
    "arccos": Case(ew.arccos_p, np.arccos, -1, 1, smooth=(-0.9, 0.9)),
    "arctan": Case(ew.arctan_p, np.arctan),
    "arctan2": Case(ew.arctan2_p, np.arctan2, n=2),
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
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_the_angle_may_be_any_float(processor, name):
    bits = np.arange(0, 2**32, 1_000_003, dtype=np.uint64).astype(np.uint32)
    # close to multiples of pi / 2, where the reduced angle is a small number with a carry from its lower word
    x = np.concatenate([np.float32([9.5134385e14, 1.2499725e37, 3.8761109e28]), bits.view(np.float32)])
    with np.errstate(all="ignore"):
        want = CASES[name].reference(x.astype(np.float64))
        (y,) = run(CASES[name].primitive, x, place=processor)
    np.testing.assert_allclose(y, want, rtol=6e-7, atol=1e-37)


@on_each_processor
def test_arctan2_knows_the_quadrant(processor):
    y, x = np.array([[1, 1, -1, -1], [2, -2, 0, 0]], np.float32), np.array([[1, -1, 1, -1], [0, 0, -3, 3]], np.float32)
    (angle,) = run(ew.arctan2_p, y, x, place=processor)
    np.testing.assert_allclose(angle * 4 / np.pi, [[1, 3, -1, -3], [2, -2, 4, 0]], rtol=1e-6)
