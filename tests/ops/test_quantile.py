"""Quantiles mean what NumPy means by them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import lwps
from lwps import tracing
from lwps.core import ShapedArray
from lwps.ops.quantile import median, quantile

seeds = st.integers(0, 2**32 - 1)


@st.composite
def any_axes(draw):
    shape = draw(array_shapes(max_dims=3, max_side=6))
    return shape, draw(st.none() | st.sets(st.integers(-len(shape), -1), min_size=1).map(tuple))


@given(case=any_axes(), q=st.sampled_from((0, 0.1, 0.25, 0.5, 0.9, 1.0)), keepdims=st.booleans(), seed=seeds)
def test_quantiles_are_numpys(case, q, keepdims, seed):
    shape, axes = case
    x = np.random.default_rng(seed).standard_normal(shape)
    got, want = quantile(x, q, axes, keepdims), np.quantile(x, q, axis=axes, keepdims=keepdims)
    assert got.shape == np.shape(want)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(median(x, axes, keepdims), np.median(x, axis=axes, keepdims=keepdims), rtol=1e-12)


def test_infinities_stay_where_they_are_and_nan_goes_through():
    x = np.array([[1, 2, np.inf], [-np.inf, 5, np.inf], [1, np.nan, 2]], np.float32)
    np.testing.assert_array_equal(median(x, 1), [2, 5, np.nan])
    assert median(np.array([np.inf, np.inf])).item() == np.inf
    assert median(np.array([1, 2])).item() == 1.5


def test_the_slope_goes_to_the_elements_in_the_middle():
    x = np.array([3.0, 1, 2, 9], np.float32)
    np.testing.assert_array_equal(lwps.grad(median)(x), [0.5, 0, 0.5, 0])


def test_refusals_say_what_must_hold():
    x = np.ones((2, 0))
    for wrong in (1.5, -0.1, True, [0.5]):
        with pytest.raises(ValueError, match=r"quantile: q must be a Python number from 0 to 1, got .*; call it once"):
            quantile(np.ones(3), wrong)
    with pytest.raises(ValueError, match=r"got float32\[\]; call it once"):
        tracing.trace(quantile, ShapedArray((3,), "float32"), ShapedArray((), "float32"))
    with pytest.raises(TypeError, match=r"quantile: there must be at least one element along axes \(1,\), got float64"):
        quantile(x, 0.5, 1)
    with pytest.raises(ValueError, match="quantile: axes must be different ones of 2, got 2"):
        quantile(x, 0.5, 2)
