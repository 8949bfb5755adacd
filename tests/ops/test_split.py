"""Parts of arrays are those of NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import lwps
from lwps.ops.split import array_split, diff, split


@given(shape=array_shapes(max_dims=3, min_side=0, max_side=6), data=st.data())
def test_parts_are_numpys(shape, data):
    x, axis = np.arange(np.prod(shape, dtype=int)).reshape(shape), data.draw(st.integers(-len(shape), len(shape) - 1))
    sections = data.draw(st.integers(1, 7) | st.lists(st.integers(-7, 7), max_size=3))
    for got, want in zip(array_split(x, sections, axis), np.array_split(x, sections, axis), strict=True):
        np.testing.assert_array_equal(got, want)
    if isinstance(sections, list) or shape[axis] % sections == 0:
        for got, want in zip(split(x, sections, axis), np.split(x, sections, axis), strict=True):
            np.testing.assert_array_equal(got, want)


@given(axis=st.integers(-2, 1), sections=st.sampled_from([2, 3, [1], [0, 2, 2], [2, 1], [-1, 9], [9]]))
def test_cotangents_of_parts_come_to_their_places(axis, sections):
    x = np.random.default_rng(0).standard_normal((6, 6))

    def weighed(x):
        return sum((k + 1) * part.sum() for k, part in enumerate(array_split(x, sections, axis)) if k != 1)

    want = np.zeros_like(x)
    for k, part in enumerate(np.array_split(want, sections, axis)):  # views
        if k != 1:
            part += k + 1
    np.testing.assert_array_equal(lwps.grad(weighed)(x), want)


def test_the_vjp_of_many_parts_is_one_pass():
    def f(x):
        return sum((part**2).sum() for part in split(x, 50))

    program = lwps.optimize(lwps.trace(lwps.grad(f), lwps.ShapedArray((50, 3), "float32")))
    moved = sum(e.primitive.cost(*e.in_avals, **e.params).nbytes for e in program.eqns if e.phase == "backward")
    assert moved < 10 * 50 * 3 * 4


@pytest.mark.parametrize("x", [np.array([[1.5, 2, -4], [0, 7, 7]]), np.array([[True, False], [True, True]])])
def test_differences_are_numpys(x):
    for n in range(4):
        for axis in (0, -1):
            np.testing.assert_array_equal(diff(x, n, axis), np.diff(x, n, axis))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: split(x, 2), "split: 3 elements must be cut into equal parts, got 2; use array_split"),
        (lambda x: split(x, 0), "split: 3 elements must be cut into equal parts, got 0"),
        (lambda x: split(x, 1, 1), "split: axes must be different ones of 1"),
        (lambda x: array_split(x, 0), "array_split: there must be at least one part, got 0"),
        (lambda x: diff(x, -1), "diff: n must be at least 0, got -1"),
    ],
)
def test_refusals_say_what_must_hold(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.arange(3))
