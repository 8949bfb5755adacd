"""Reductions made of others mean what NumPy means by them; their slopes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import lwps
from lwps.ops import statistics

seeds = st.integers(0, 2**32 - 1)
OPS = {
    "var": np.var,
    "std": np.std,
    "norm": lambda x, axis, keepdims: np.sqrt(np.sum(x**2, axis=axis, keepdims=keepdims)),
    "any": np.any,
    "all": np.all,
    "count_nonzero": np.count_nonzero,
}


@st.composite
def any_axes(draw):
    shape = draw(array_shapes(max_dims=4, max_side=7))
    return shape, draw(st.none() | st.sets(st.integers(-len(shape), -1), min_size=1).map(tuple))


@pytest.mark.parametrize("name", OPS)
@given(case=any_axes(), keepdims=st.booleans(), seed=seeds)
def test_axes_are_numpys(name, case, keepdims, seed):
    shape, axes = case
    x = np.round(np.random.default_rng(seed).uniform(-1.5, 1.5, shape), 1) * (
        np.random.default_rng(seed).random() < 0.8
    )
    y, want = getattr(statistics, name)(x, axes, keepdims=keepdims), OPS[name](x, axis=axes, keepdims=keepdims)
    assert y.shape == np.shape(want)
    np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-12)


def test_of_nothing():
    x = np.ones((2, 0))
    assert statistics.any(x, 1).tolist() == [False, False]
    assert statistics.all(x, 1, keepdims=True).tolist() == [[True], [True]]
    assert statistics.count_nonzero(x).item() == 0
    assert statistics.norm(x, 1).tolist() == [0, 0]
    assert statistics.any(np.bool_(True)).item() is True


def test_what_is_no_float_becomes_one():
    x = np.array([1, 2, 4], np.uint8)
    assert statistics.var(x).dtype == statistics.norm(x).dtype == np.float32
    np.testing.assert_allclose(statistics.std(x, ddof=1), np.std(x, ddof=1), rtol=1e-6)


def test_the_slope_of_a_norm_is_the_direction_and_nothing_at_zero():
    x = np.array([[3.0, 4], [0, 0]], np.float32)
    slopes = lwps.grad(lambda x: statistics.norm(x, 1).sum())(x)
    np.testing.assert_allclose(slopes, [[0.6, 0.8], [0, 0]], rtol=1e-6)
    np.testing.assert_allclose(lwps.grad(lambda x: statistics.norm(x, 1, keepdims=True).sum())(x), slopes)


def test_the_slope_of_a_variance():
    x = np.array([1.0, 2, 6], np.float32)
    np.testing.assert_allclose(lwps.grad(statistics.var)(x), 2 * (x - 3) / 3, rtol=1e-6)


@pytest.mark.parametrize("name", OPS)
def test_axes_that_do_not_exist_are_refused(name):
    with pytest.raises(ValueError, match=r": axes must be different ones of 2, got 2"):
        getattr(statistics, name)(np.ones((2, 3)), 2)
