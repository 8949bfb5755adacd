"""Sums, products, quotients, maxima on every processor against NumPy in float64, and their vjp rules."""

import numpy as np
import pytest
from hypothesis import given, settings

from lwps.ops import elementwise as ew
from tests.ops.elements import (
    SPECIAL,
    Case,
    assert_special,
    assert_values,
    pairs,
    run_together,
    seeds,
    shapes,
    triples,
    uniform,
)
from tests.places import on_each_place, on_each_processor, run

CASES = {
    "neg": Case(ew.neg_p, np.negative, -1e6, 1e6),
    "add": Case(ew.add_p, np.add, 0.1, 1e3, n=2),
    "sub": Case(ew.sub_p, np.subtract, 0.1, 1e3, n=2, atol=1e-4),
    "mul": Case(ew.mul_p, np.multiply, 0.1, 1e3, n=2),
    "div": Case(ew.div_p, np.divide, 0.1, 1e3, n=2),
    "maximum": Case(ew.maximum_p, np.maximum, n=2),
    "minimum": Case(ew.minimum_p, np.minimum, n=2),
    "absolute": Case(ew.absolute_p, np.abs),
    "sign": Case(ew.sign_p, np.sign),
    "clip": Case(ew.clip_p, np.clip, n=3),
}


@on_each_processor
@given(shape=shapes, seed=seeds)
def test_values_match_the_float64_reference(processor, shape, seed):
    assert_values(CASES, processor, shape, seed)


@on_each_processor
def test_nan_and_infinities_come_out_as_in_numpy(processor):
    assert_special(CASES, processor)


@on_each_place
@given(shapes=pairs, seed=seeds)
def test_inputs_broadcast_as_in_numpy(place, shapes, seed):
    x, y = (uniform(seed + k, s, -1, 1) for k, s in enumerate(shapes))
    (z,) = run(ew.sub_p, x, y, place=place)
    np.testing.assert_array_equal(z, x - y)


@on_each_processor
@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32"])
def test_integers_are_exact_and_wrap_as_in_numpy(processor, dtype):
    rng = np.random.default_rng(0)
    low = -1000 if dtype == "int32" else 0  # signed overflow is undefined in OpenCL C
    x, y = (rng.integers(low, 256 if dtype == "uint8" else 2000, (3, 41)).astype(dtype) for _ in range(2))
    cases = {name: case for name, case in CASES.items() if case.n == 2 and name != "div"}
    results = run_together([case.primitive for case in cases.values()], x, y, place=processor)
    for (name, case), z in zip(cases.items(), results, strict=True):
        np.testing.assert_array_equal(z, case.reference(x, y), err_msg=name, strict=True)


# --- vjp rules ------------------------------------------------------------------------------------


@given(shape=shapes, seed=seeds)
def test_vjp_of_neg_matches_differences(check_vjp, shape, seed):
    check_vjp(ew.neg_p, np.random.default_rng(seed).uniform(-2, 2, shape), seed=seed)


@settings(max_examples=10)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.n == 2])
@given(shapes=pairs, seed=seeds)
def test_vjp_of_binary_matches_differences(check_vjp, name, shapes, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0.5, 2, shapes[0]), rng.uniform(0.5, 2, shapes[1])
    gap = np.min(np.abs(x - y), initial=1) if x.size and y.size else 1
    if gap > 1e-4:  # differences across the corner of maximum say nothing
        check_vjp(CASES[name].primitive, x, y, seed=seed)


def test_in_a_tie_the_cotangent_goes_to_the_first():
    one = np.ones(2)
    for primitive in (ew.maximum_p, ew.minimum_p):
        to_x, to_y = primitive.vjp([one], (one, one), (one,), (True, True))
        np.testing.assert_array_equal(to_x, one)
        np.testing.assert_array_equal(to_y, 0 * one)


@settings(max_examples=10)
@given(shape=shapes, seed=seeds)
def test_vjp_of_absolute_and_sign(check_vjp, shape, seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.1, 2, shape) * rng.choice((-1, 1), shape)
    check_vjp(ew.absolute_p, x, seed=seed)
    assert ew.sign_p.vjp([x], (x,), (x,), (True,)) == (None,)
    zero = np.zeros(1)
    np.testing.assert_array_equal(ew.absolute_p.vjp((zero + 1,), (zero,), (zero,), (True,))[0], zero)


@settings(max_examples=10)
@given(shapes=triples, seed=seeds)
def test_vjp_of_clip_matches_differences(check_vjp, shapes, seed):
    rng = np.random.default_rng(seed)
    x, low, high = (rng.uniform(-2, 2, s) for s in shapes)
    with_low, with_high = np.abs(np.subtract(x, low)), np.abs(np.maximum(x, low) - high)
    if min(np.min(with_low, initial=1), np.min(with_high, initial=1)) > 1e-4:  # not across a corner
        check_vjp(ew.clip_p, x, low, high, seed=seed)


def test_on_a_limit_the_cotangent_of_clip_goes_to_the_number():
    one = np.ones(2)
    to_x, to_low, to_high = ew.clip_p.vjp((one,), (one, np.array([1.0, 0]), np.array([2.0, 1])), (one,), (True,) * 3)
    np.testing.assert_array_equal([to_x, to_low, to_high], [one, 0 * one, 0 * one])
    flags = (False,) * 3
    assert ew.clip_p.vjp((None,), (one.astype("int32"),) * 3, (one,), flags) == (None, None, None)
    assert ew.absolute_p.vjp((None,), (one.astype("int32"),), (one,), (False,)) == (None,)


@on_each_processor
@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32"])
def test_signs_and_limits_of_integers(processor, dtype):
    x = np.array([0, 1, 5, 200, *([-1, -7, -(2**31) + 1] if dtype == "int32" else [])], dtype)
    np.testing.assert_array_equal(run(ew.sign_p, x, place=processor)[0], np.sign(x), strict=True)
    low, high = np.full_like(x, 2), np.full_like(x, 100)
    np.testing.assert_array_equal(run(ew.clip_p, x, low, high, place=processor)[0], np.clip(x, 2, 100), strict=True)
    np.testing.assert_array_equal(ew.absolute(x), np.abs(x), strict=True)
    np.testing.assert_array_equal(run(ew.neg_p, x, place=processor)[0], -x, strict=True)


# --- ops and refusals -----------------------------------------------------------------------------


def test_integers_divide_as_floats():
    assert ew.div(np.array([1, 2]), 2).tolist() == [0.5, 1]


def test_fmax_and_fmin_prefer_a_number_to_nan():
    x, y = np.repeat(SPECIAL, len(SPECIAL)), np.tile(SPECIAL, len(SPECIAL))
    np.testing.assert_array_equal(ew.fmax(x, y), np.fmax(x, y))
    np.testing.assert_array_equal(ew.fmin(x, y), np.fmin(x, y))
    assert ew.fmax(np.array([1, 2]), 2).tolist() == [2, 2]


def test_clip_with_one_limit_or_none():
    x = np.array([-3.0, 0, 3])
    assert ew.clip(x, None, 1).tolist() == [-3, 0, 1]
    assert ew.clip(x, 1).tolist() == [1, 1, 3]
    assert ew.clip(x) is x
    assert ew.clip(x, np.array([0, 1, 2]), 2).tolist() == [0, 1, 2]
    assert ew.clip(np.array([1, 9]), 2, 4.5).tolist() == [2, 4.5]


def test_absolute_of_what_has_no_sign_is_itself():
    x = np.array([1, 2], np.uint8)
    assert ew.absolute(x) is x
    assert ew.absolute(-3).item() == 3
    assert ew.reciprocal(np.array([2, 4])).tolist() == [0.5, 0.25]


def test_sums_and_products_of_flags_are_flags():
    x, y = np.array([True, True, False, False]), np.array([True, False, True, False])
    for name, op in {"add": ew.add, "multiply": ew.mul, "maximum": ew.maximum, "minimum": ew.minimum}.items():
        np.testing.assert_array_equal(op(x, y), getattr(np, name)(x, y), strict=True)
    assert ew.add(x, 1).dtype == np.int32


def test_square_is_a_product():
    x = np.arange(3.0)
    np.testing.assert_array_equal(ew.square(x), x * x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ew.add(np.ones(2), np.ones(3)),
            TypeError,
            r"add: shapes must broadcast together, got .*\[2\], .*\[3\]",
        ),
        (
            lambda: ew.add_p.bind(np.ones(2), np.ones(2, np.float32)),
            TypeError,
            "add: inputs must share one dtype .* use astype",
        ),
        (lambda: ew.neg(np.ones(2, bool)), TypeError, "neg: inputs must share one dtype"),
        (lambda: ew.sub(np.ones(2, bool), np.ones(2, bool)), TypeError, "sub: inputs must share one dtype"),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call()
