"""Rounding and division with a remainder on every processor, to the bit as in NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps.ops import elementwise as ew
from tests.ops.elements import (
    SPECIAL,
    Case,
    pairs,
    run_together,
    seeds,
    shapes,
)
from tests.places import on_each_processor

CASES = {
    "floor": Case(ew.floor_p, np.floor),
    "ceil": Case(ew.ceil_p, np.ceil),
    "trunc": Case(ew.trunc_p, np.trunc),
    "rint": Case(ew.rint_p, np.rint),
}
DIVISIONS = {
    "floor_divide": (ew.floor_divide_p, np.floor_divide),
    "remainder": (ew.remainder_p, np.remainder),
    "fmod": (ew.fmod_p, np.fmod),
}
# quarters hold the halves that go to even; 2^23 and more have no fractions
EDGES = np.concatenate([np.arange(-40, 40) / 4, [2**22 + 0.5, 2**23 - 0.5, 2**23 + 1, -(2**31), 3e38], SPECIAL])
INTEGERS = {
    "uint8": [0, 1, 2, 3, 7, 128, 255],
    "int32": [-(2**31), -7, -3, -2, -1, 0, 1, 2, 3, 7, 2**31 - 1],
    "uint32": [0, 1, 2, 3, 7, 2**31, 2**32 - 1],
}


def every_pair(x):
    return np.repeat(x, len(x)), np.tile(x, len(x))


@on_each_processor
def test_rounding_is_numpys_signed_zeros_included(processor):
    x = EDGES.astype(np.float32)
    for (name, case), y in zip(
        CASES.items(), run_together([c.primitive for c in CASES.values()], x, place=processor), strict=True
    ):
        np.testing.assert_array_equal(y, case.reference(x), err_msg=name)
        np.testing.assert_array_equal(np.signbit(y), np.signbit(case.reference(x)), err_msg=name)


@on_each_processor
@given(shape=shapes, seed=seeds, size=st.sampled_from((1.0, 1e4, 1e12)))
def test_division_with_a_remainder_is_numpys(processor, shape, seed, size):
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal(shape) * size).astype(np.float32), rng.standard_normal(shape).astype(np.float32)
    found = run_together([p for p, _ in DIVISIONS.values()], x, y, place=processor)
    for (name, (_, reference)), z in zip(DIVISIONS.items(), found, strict=True):
        want = reference(x, y)
        exact = np.abs(want) < 2**23
        np.testing.assert_array_equal(z[exact], want[exact], err_msg=name)
        # beyond, floor_divide is the quotient itself, and devices may divide within 2.5 ulp
        np.testing.assert_allclose(z, want, rtol=3e-7, err_msg=name)


@on_each_processor
@pytest.mark.parametrize("dtype", ["float32", *INTEGERS])
def test_the_result_has_the_sign_that_numpy_gives_it(processor, dtype):
    x, y = every_pair(np.array(INTEGERS.get(dtype, [*SPECIAL, -3.5, 2, -2, 0.1]), dtype))
    with np.errstate(all="ignore"):  # division by zero is 0 for integers
        found = run_together([p for p, _ in DIVISIONS.values()], x, y, place=processor)
        for (name, (_, reference)), z in zip(DIVISIONS.items(), found, strict=True):
            want = reference(x, y)
            np.testing.assert_array_equal(z, want, err_msg=name, strict=True)
            np.testing.assert_array_equal(np.copysign(1, z)[z == z], np.copysign(1, want)[z == z], err_msg=name)


@given(shapes=pairs, seed=seeds)
def test_vjp_of_remainders_matches_differences(check_vjp, shapes, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-9, 9, shapes[0]), rng.uniform(1, 3, shapes[1]) * rng.choice((-1, 1), shapes[1])
    part = np.remainder(x, y) / y  # fmod jumps at the same multiples
    if part.size and (part.min() < 1e-4 or part.max() > 1 - 1e-4):
        return  # a step of differences may cross to the next multiple
    check_vjp(ew.remainder_p, x, y, seed=seed)
    check_vjp(ew.fmod_p, x, y, seed=seed)


def test_rounding_has_no_slope():
    x = np.ones(2)
    for case in CASES.values():
        assert case.primitive.vjp([x], (x,), (x,), (True,)) == (None,)
    assert ew.floor_divide_p.vjp([x], (x, x), (x,), (True, True)) == (None, None)
    assert ew.fmod_p.vjp([None], (x.astype(int), x.astype(int)), (x,), (False, False)) == (None, None)
    assert ew.remainder_p.vjp([None], (x.astype(int), x.astype(int)), (x,), (False, False)) == (None, None)


def test_integers_are_what_they_round_to():
    x = np.array([1, -2], np.int32)
    assert all(op(x) is x for op in (ew.floor, ew.ceil, ew.trunc, ew.rint))
    assert ew.floor(1.5).item() == 1


def test_divmod_gives_both():
    quotient, rest = ew.divmod(np.array([7.5, -7.5]), 2)
    np.testing.assert_array_equal(quotient, [3, -4])
    np.testing.assert_array_equal(rest, [1.5, 0.5])


def test_flags_are_refused_by_name():
    with pytest.raises(TypeError, match=r"remainder: inputs must share one dtype of .*, got bool\[2\]"):
        ew.remainder(np.ones(2, bool), np.ones(2, bool))
