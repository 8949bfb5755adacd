"""The logarithm of a sum of exponentials on every processor against scipy in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from scipy import special

import lwps
from lwps.core import aval_of
from lwps.ops.logsumexp import logsumexp, logsumexp_p
from tests.places import on_each_place, run

seeds = st.integers(0, 2**32 - 1)


@st.composite
def any_axes(draw):
    shape = draw(array_shapes(max_dims=4, max_side=7))
    return shape, draw(st.none() | st.sets(st.integers(-len(shape), -1)).map(tuple))


@on_each_place
@settings(max_examples=15)
@given(rows=st.integers(0, 9), n=st.integers(1, 300), size=st.sampled_from((1.0, 90.0, 1e30)), seed=seeds)
def test_rows_of_any_length_and_size(place, rows, n, size, seed):
    """exp overflows float32 at 88.7: without the shift 90 would be too much."""
    x = (np.random.default_rng(seed).uniform(-1, 1, (rows, n)) * size).astype(np.float32)
    (y,) = run(logsumexp_p, x, place=place)
    np.testing.assert_allclose(y, special.logsumexp(x.astype(np.float64), axis=1), rtol=2e-6, atol=2e-6)


@on_each_place
def test_infinities_and_nan(place):
    x = np.array([[-np.inf] * 20, [np.inf] + [0] * 19, [0] * 19 + [np.nan], [-np.inf] * 19 + [3.0]], np.float32)
    x = np.concatenate([x, [[np.inf] * 19 + [np.nan]]]).astype(np.float32)
    (y,) = run(logsumexp_p, x, place=place)
    np.testing.assert_array_equal(y, [-np.inf, np.inf, np.nan, 3, np.nan])


@given(case=any_axes(), keepdims=st.booleans(), seed=seeds)
def test_axes_are_numpys(case, keepdims, seed):
    shape, axes = case
    x = np.random.default_rng(seed).standard_normal(shape)
    if axes == ():
        np.testing.assert_allclose(logsumexp(x, axes), x)
        return
    want = special.logsumexp(x, axis=axes, keepdims=keepdims)
    got = logsumexp(x, axes, keepdims)
    assert got.shape == np.shape(want)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_of_nothing_it_is_the_logarithm_of_zero():
    np.testing.assert_array_equal(logsumexp(np.ones((2, 0)), 1), [-np.inf, -np.inf])
    assert logsumexp(np.ones((0, 3)), 1).shape == (0,)
    assert logsumexp(np.array([0, 0])).dtype == np.float32
    assert logsumexp(2.0).item() == 2


@settings(max_examples=15)
@given(shape=array_shapes(max_dims=3, max_side=9), seed=seeds)
def test_vjp_matches_differences(check_vjp, shape, seed):
    check_vjp(logsumexp_p, np.random.default_rng(seed).uniform(-9, 9, shape), seed=seed)


def test_its_slope_is_softmax_and_that_has_a_slope_too():
    x = np.array([1.0, -np.inf, 3, 100], np.float32)
    np.testing.assert_allclose(lwps.grad(logsumexp)(x), special.softmax(x), rtol=1e-6)
    np.testing.assert_array_equal(lwps.grad(logsumexp)(np.full(3, -np.inf, np.float32)), [0, 0, 0])
    y = np.array([0.5, -1, 2], np.float32)
    p = special.softmax(y.astype(np.float64))
    second = lwps.grad(lambda y: lwps.grad(logsumexp)(y)[0])(y)
    np.testing.assert_allclose(second, p[0] * ((np.arange(3) == 0) - p), rtol=1e-5, atol=1e-7)


def test_parts_of_a_split_make_the_whole():
    x = np.random.default_rng(0).standard_normal((4, 3, 5))
    for split in logsumexp_p.split(aval_of(x)):
        parts = [logsumexp_p.bind(p)[0] for p in np.array_split(x, 2, split.ins[0])]
        np.testing.assert_array_equal(np.concatenate(parts, split.outs[0]), logsumexp_p.bind(x)[0])


@pytest.mark.parametrize("x", [np.float64(1), np.ones((2, 0)), np.ones(2, np.int32)])
def test_a_primitive_refuses_by_name(x):
    with pytest.raises(TypeError, match=r"logsumexp: x must be floats with an element in each row, got .*; use"):
        logsumexp_p.bind(x)
