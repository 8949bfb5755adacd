"""Triangles and diagonals are NumPy's, also of traced matrices, with gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lwps
from lwps import tracing
from lwps.core import aval_of, evaluate_program
from lwps.ops.triangle import diag, diagonal, trace, tril, triu

shapes = st.tuples(st.integers(0, 6), st.integers(0, 6))
offsets = st.integers(-7, 7)


def numbered(shape):
    return np.arange(1.0, 1 + np.prod(shape)).reshape(shape)


def traced(fn, x):
    return evaluate_program(tracing.trace(fn, aval_of(x)), [x])[0]


@given(shape=shapes, k=offsets)
def test_triangles_are_numpys(shape, k):
    x = numbered((2, *shape))
    for op, want in ((tril, np.tril(x, k)), (triu, np.triu(x, k))):
        np.testing.assert_array_equal(op(x, k), want)
        np.testing.assert_array_equal(traced(lambda x, op=op: op(x, k), x), want)


@given(shape=shapes, k=offsets)
def test_diagonals_are_numpys(shape, k):
    x = numbered(shape)
    # beyond the matrix NumPy's diagonal is empty too
    np.testing.assert_array_equal(traced(lambda x: diagonal(x, k), x), np.diagonal(x, k))
    np.testing.assert_array_equal(diag(x, k), np.diag(x, k))
    np.testing.assert_array_equal(trace(x, k), np.trace(x, k))


@given(n=st.integers(0, 5), k=st.integers(-3, 3))
def test_a_vector_becomes_a_diagonal(n, k):
    v = numbered((n,))
    np.testing.assert_array_equal(traced(lambda v: diag(v, k), v), np.diag(v, k))


@pytest.mark.parametrize("axes", [(0, 1), (2, 0), (-1, 1)])
def test_the_axes_of_a_diagonal_may_be_any(axes):
    x = numbered((3, 4, 5))
    np.testing.assert_array_equal(diagonal(x, 1, *axes), np.diagonal(x, 1, *axes))
    np.testing.assert_array_equal(trace(x, 0, *axes), np.trace(x, 0, *axes))


def test_gradients_stay_in_the_triangle_and_on_the_diagonal():
    x = numbered((3, 4))
    np.testing.assert_array_equal(traced(lwps.grad(lambda x: tril(x).sum()), x), np.tri(3, 4))
    np.testing.assert_array_equal(traced(lwps.grad(lambda x: trace(x, 1)), x), np.eye(3, 4, 1))
    np.testing.assert_array_equal(traced(lwps.grad(lambda v: diag(v).sum()), x[0]), np.ones(4))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float32"])
def test_every_dtype_stays(dtype):
    x = numbered((3, 3)).astype(dtype)
    np.testing.assert_array_equal(tril(x), np.tril(x), strict=True)
    np.testing.assert_array_equal(diag(x[0]), np.diag(x[0]), strict=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tril(np.ones(3)), TypeError, r"tril: m must have at least two axes, got float64\[3\]; use reshape"),
        (lambda: triu(np.ones(3)), TypeError, "triu: m must have at least two axes"),
        (lambda: diag(np.ones((1, 2, 3))), TypeError, r"diag: v must be a vector or a matrix, got .*; use diagonal"),
        (lambda: diagonal(np.ones((2, 2)), axis2=0), ValueError, "diagonal: axes must be different ones of 2"),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call()
