"""Products along axes on every processor against NumPy in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import lwps
from lwps.ops.product import prod, reduce_prod_p
from lwps.ops.reduce import CHUNK
from tests.places import on_each_place, on_each_processor, run

seeds = st.integers(0, 2**32 - 1)
FORMS = [(1, 5, 1), (700, 3, 1), (3, 77, 1), (2, CHUNK + 11, 1), (5, 7, 3), (2, 300, 64), (1, 700, 100), (1, 200, 200)]


def near_one(seed, shape):
    """Factors whose products stay in float32's range, however many."""
    return np.exp(np.random.default_rng(seed).uniform(-0.1, 0.1, shape)).astype(np.float32)


@st.composite
def any_axes(draw):
    shape = draw(array_shapes(max_dims=4, max_side=7))
    return shape, draw(st.none() | st.sets(st.integers(-len(shape), -1)).map(tuple))


@on_each_place
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_way_to_cut_the_work(place, form):
    x = near_one(0, form)
    (y,) = run(reduce_prod_p, x, place=place, axes=(1,))
    np.testing.assert_allclose(y, x.astype(np.float64).prod(1), rtol=1e-4)


@on_each_processor
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "uint32"])
def test_integers_are_exact(processor, dtype):
    x = np.random.default_rng(0).integers(1, 2 if dtype == "bool" else 5, (4, 9, 5)).astype(dtype)
    (y,) = run(reduce_prod_p, x, place=processor, axes=(1,))
    want = "int32" if dtype in ("bool", "uint8") else dtype
    np.testing.assert_array_equal(y, x.prod(1, dtype=want), strict=True)


@given(case=any_axes(), keepdims=st.booleans(), seed=seeds)
def test_axes_are_numpys(case, keepdims, seed):
    shape, axes = case
    x = near_one(seed, shape)
    y = prod(x, axes, keepdims)
    want = np.prod(x.astype(np.float64), axis=axes, keepdims=keepdims)
    assert y.shape == np.shape(want)
    np.testing.assert_allclose(y, want, rtol=1e-5)


@on_each_place
def test_a_product_of_nothing_is_one_and_zero_times_infinity_is_nan(place):
    assert run(reduce_prod_p, np.ones((2, 0), np.float32), place=place, axes=(1,))[0].tolist() == [1, 1]
    x = np.array([[0, np.inf], [2, np.inf], [np.nan, 0]], np.float32)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(run(reduce_prod_p, x, place=place, axes=(1,))[0], [np.nan, np.inf, np.nan])
    assert prod(np.bool_(True)).dtype == np.int32


@settings(max_examples=15)
@given(case=any_axes(), seed=seeds, zeros=st.sampled_from((0.0, 0.2, 0.6)))
def test_vjp_matches_differences_zeros_included(check_vjp, case, seed, zeros):
    shape, _ = case
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 1.5, shape) * (rng.random(shape) >= zeros)
    first = int(rng.integers(len(shape)))
    check_vjp(reduce_prod_p, x, seed=seed, axes=tuple(range(first, len(shape))))


def test_second_derivatives_at_zeros_are_right():
    """The Hessian of x y z at (0, 0, 3) has 3 beside the diagonal, 0 elsewhere."""
    x = np.array([0.0, 0, 3], np.float32)
    slope = lwps.grad(prod)
    rows = [lwps.grad(lambda x, k=k: slope(x)[k])(x) for k in range(3)]
    np.testing.assert_array_equal(rows, [[0, 3, 0], [3, 0, 0], [0, 0, 0]])


def test_slopes_do_not_overflow_where_they_need_not():
    x = np.array([1e30, 1e30, 1e-30], np.float32)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(lwps.grad(prod)(x), [1, 1, np.inf], rtol=1e-5)


def test_integers_get_no_cotangent_and_nothing_gets_none():
    x = np.ones((2, 3), np.int32)
    assert reduce_prod_p.vjp([None], (x,), (None,), (False,), axes=(0,)) == (None,)
    (ct,) = reduce_prod_p.vjp([np.ones(2)], (np.ones((2, 0)),), (None,), (True,), axes=(1,))
    assert ct.shape == (2, 0)


def test_axes_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="prod: axes must be different ones of 2, got 2"):
        prod(np.ones((2, 3)), 2)
