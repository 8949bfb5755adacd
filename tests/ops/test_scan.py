"""Running sums and products on every processor against NumPy in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from lwps.core import aval_of
from lwps.ops.scan import CHUNK, cumprod, cumprod_p, cumsum, cumsum_p
from tests.places import on_each_device, on_each_place, on_each_processor, run

seeds = st.integers(0, 2**32 - 1)
# [outer, n, inner]: shorter and longer than a work-group, than a chunk; one column, few, many; chunks of columns
FORMS = [(1, 5, 1), (700, 3, 1), (3, 300, 1), (2, CHUNK + 11, 1), (1, 3 * CHUNK, 1), (5, 7, 3), (2, 300, 64)]
FORMS += [(1, 700, 100), (2, 130, 900)]


def running(ufunc, x, axis, reverse):
    """The reference in float64, or exact for integers."""
    x = x.astype(np.float64) if x.dtype.kind == "f" else x
    order = np.flip if reverse else lambda x, axis: x
    dtype = np.int32 if x.dtype.name in ("bool", "uint8") else x.dtype
    return order(ufunc.accumulate(order(x, axis), axis=axis, dtype=dtype), axis)


def near_one(seed, shape):
    """Factors whose products stay in float32's range, however many."""
    return np.exp(np.random.default_rng(seed).uniform(-0.1, 0.1, shape)).astype(np.float32)


@st.composite
def axes(draw):
    shape = draw(array_shapes(max_dims=4, max_side=13))
    return shape, draw(st.integers(0, len(shape) - 1))


@on_each_place
@settings(max_examples=15)
@given(case=axes(), reverse=st.booleans(), seed=seeds)
def test_any_axis_either_way(place, case, reverse, seed):
    shape, axis = case
    x = np.random.default_rng(seed).uniform(-1, 2, shape).astype(np.float32)
    for primitive, ufunc in ((cumsum_p, np.add), (cumprod_p, np.multiply)):
        (y,) = run(primitive, x, place=place, axis=axis, reverse=reverse)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, running(ufunc, x, axis, reverse), rtol=1e-5, atol=1e-5)


@on_each_place
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_way_to_cut_the_work(place, form):
    x = np.random.default_rng(0).uniform(-1, 2, form).astype(np.float32)
    for reverse in (False, True):
        (y,) = run(cumsum_p, x, place=place, axis=1, reverse=reverse)
        np.testing.assert_allclose(y, running(np.add, x, 1, reverse), rtol=3e-6, atol=3e-6 * form[1])
    (z,) = run(cumprod_p, near_one(1, form), place=place, axis=1, reverse=True)
    np.testing.assert_allclose(z, running(np.multiply, near_one(1, form), 1, True), rtol=1e-4)


@on_each_processor
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "uint32"])
def test_integers_are_exact(processor, dtype):
    for form in ((3, 77, 1), (1, CHUNK + 11, 1), (2, 300, 20)):
        x = np.random.default_rng(1).integers(0, 2 if dtype == "bool" else 200, form).astype(dtype)
        (y,) = run(cumsum_p, x, place=processor, axis=1, reverse=False)
        np.testing.assert_array_equal(y, running(np.add, x, 1, False), strict=True)
    x = np.array([1, 2, 3, 0, 5]).astype(dtype)
    (y,) = run(cumprod_p, x, place=processor, axis=0, reverse=True)
    np.testing.assert_array_equal(y, running(np.multiply, x, 0, True), strict=True)


@on_each_place
def test_nan_and_infinity_go_on_from_where_they_stand(place):
    x = np.ones((3, 40), np.float32)
    x[0, 7], x[1, 9], x[2, 11], x[2, 30] = np.nan, -np.inf, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        for primitive, ufunc in ((cumsum_p, np.add), (cumprod_p, np.multiply)):
            (y,) = run(primitive, x, place=place, axis=1, reverse=False)
            np.testing.assert_array_equal(y, ufunc.accumulate(x, axis=1))


@on_each_place
def test_nothing_gives_nothing(place):
    for shape in ((2, 0, 3), (0, 4, 2)):
        (y,) = run(cumsum_p, np.ones(shape, np.float32), place=place, axis=1, reverse=False)
        assert y.shape == shape


@on_each_place
def test_many_small_numbers_keep_their_digits(place):
    x = np.full(300_000, 0.1, np.float32)  # one after the other, 300,000 of them drift by 1e-3
    (y,) = run(cumsum_p, x, place=place, axis=0, reverse=False)
    np.testing.assert_allclose(y, np.cumsum(x, dtype=np.float64), rtol=5e-5)


@on_each_device
def test_the_same_scan_has_the_same_bits(place):
    x = np.random.default_rng(3).standard_normal((2, CHUNK + 99)).astype(np.float32)
    first, again = (run(cumsum_p, x, place=place, axis=1, reverse=False)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


# --- vjp rules ------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(case=axes(), reverse=st.booleans(), seed=seeds, zeros=st.sampled_from((0.0, 0.2, 0.6)))
def test_vjp_matches_differences_zeros_included(check_vjp, case, reverse, seed, zeros):
    shape, axis = case
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 1.5, shape) * (rng.random(shape) >= zeros)
    check_vjp(cumsum_p, x, seed=seed, axis=axis, reverse=reverse)
    check_vjp(cumprod_p, x, seed=seed, axis=axis, reverse=reverse)


def test_integers_get_no_cotangent():
    x = np.ones((2, 3), np.int32)
    for primitive in (cumsum_p, cumprod_p):
        assert primitive.vjp([None], (x,), (None,), (False,), axis=0, reverse=False) == (None,)


# --- ops ------------------------------------------------------------------------------------------


def test_without_an_axis_all_elements_are_one_row():
    x = np.arange(1.0, 7).reshape(2, 3)
    np.testing.assert_array_equal(cumsum(x), np.cumsum(x))
    np.testing.assert_array_equal(cumprod(x), np.cumprod(x))
    np.testing.assert_array_equal(cumsum(x, -1, reverse=True), [[6, 5, 3], [15, 11, 6]])
    assert cumsum(np.ones((0, 3))).shape == (0,)
    assert cumsum(3).tolist() == [3]


@given(case=axes(), seed=seeds)
def test_parts_of_a_split_make_the_whole(case, seed):
    shape, axis = case
    x = np.random.default_rng(seed).random(shape)
    (whole,) = cumsum_p.bind(x, axis=axis, reverse=False)
    for split in cumsum_p.split(aval_of(x), axis=axis, reverse=False):
        parts = [cumsum_p.bind(p, axis=axis, reverse=False)[0] for p in np.array_split(x, 2, split.ins[0]) if p.size]
        np.testing.assert_array_equal(np.concatenate(parts, split.outs[0]), whole)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: cumsum(x, 2), "cumsum: axes must be different ones of 2, got 2"),
        (lambda x: cumprod_p.bind(x, axis=-1, reverse=False), r"cumprod: axis must be from 0 to 1, got -1 for float64"),
    ],
)
def test_refusals_say_what_must_hold(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((2, 3)))
