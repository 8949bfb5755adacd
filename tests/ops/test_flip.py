"""Elements backwards and moved on, on every processor."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from lwps import tracing
from lwps.core import ShapedArray, aval_of
from lwps.ops.flip import flip, flip_p, roll, roll_p
from tests.places import on_each_place, run

seeds = st.integers(0, 2**32 - 1)
DTYPES = ("bool", "uint8", "int32", "uint32", "float32")


def numbered(shape, dtype="float32"):
    return (np.arange(np.prod(shape, dtype=int)) % 251 % (2 if dtype == "bool" else 251)).reshape(shape).astype(dtype)


@st.composite
def flipped(draw):
    shape = draw(array_shapes(max_dims=5, min_side=0, max_side=7))
    return shape, tuple(sorted(draw(st.sets(st.integers(0, len(shape) - 1)))))


@st.composite
def rolled(draw):
    shape = draw(array_shapes(max_dims=4, min_side=0, max_side=7))
    axis = draw(st.integers(0, len(shape) - 1))
    return shape, axis, draw(st.integers(0, shape[axis]))


@on_each_place
@given(case=flipped())
@example(case=((3, 9000), (1,)))
@example(case=((3, 4, 5), (1, 2)))  # one loop backwards
def test_flip_matches_numpy(place, case):
    shape, axes = case
    x = numbered(shape)
    np.testing.assert_array_equal(run(flip_p, x, place=place, axes=axes)[0], np.flip(x, axes))


@on_each_place
@given(case=rolled())
@example(case=((3, 9000), 1, 5))
def test_roll_matches_numpy(place, case):
    shape, axis, shift = case
    x = numbered(shape)
    np.testing.assert_array_equal(run(roll_p, x, place=place, axis=axis, shift=shift)[0], np.roll(x, shift, axis))


@on_each_place
@pytest.mark.parametrize("dtype", DTYPES)
def test_both_of_every_dtype(place, dtype):
    x = numbered((5, 9), dtype)
    np.testing.assert_array_equal(run(flip_p, x, place=place, axes=(0, 1))[0], x[::-1, ::-1], strict=True)
    np.testing.assert_array_equal(run(roll_p, x, place=place, axis=1, shift=2)[0], np.roll(x, 2, 1), strict=True)


@given(case=flipped(), seed=seeds)
def test_vjp_of_flip_matches_differences(check_vjp, case, seed):
    shape, axes = case
    check_vjp(flip_p, np.random.default_rng(seed).random(shape), seed=seed, axes=axes)


@given(case=rolled(), seed=seeds)
def test_vjp_of_roll_matches_differences(check_vjp, case, seed):
    shape, axis, shift = case
    check_vjp(roll_p, np.random.default_rng(seed).random(shape), seed=seed, axis=axis, shift=shift)


def test_they_split_along_the_other_axes():
    x = aval_of(np.ones((2, 3, 4)))
    assert [row.outs for row in flip_p.split(x, axes=(1,))] == [(0,), (2,)]
    assert [row.outs for row in roll_p.split(x, axis=1, shift=2)] == [(0,), (2,)]


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
def test_flip_is_numpys(axis):
    x = numbered((2, 3, 4))
    np.testing.assert_array_equal(flip(x, axis), np.flip(x, axis))


@pytest.mark.parametrize(
    ("shift", "axis"), [(5, None), (-1, None), (3, 0), (-7, -1), ((1, 2), (0, 2)), (2, (0, 1)), ((1, 3), (1, 1))]
)
def test_roll_is_numpys(shift, axis):
    x = numbered((2, 3, 4))
    np.testing.assert_array_equal(roll(x, shift, axis), np.roll(x, shift, axis))


def test_what_changes_nothing_records_nothing():
    x = ShapedArray((2, 3), "float32")
    assert tracing.trace(lambda x: flip(x, ()), x).eqns == ()
    assert tracing.trace(lambda x: roll(x, (2, -6), (0, 1)), x).eqns == ()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: flip(x, 2), r"flip: axes must be different ones of 2, got \(2,\)"),
        (lambda x: flip_p.bind(x, axes=(2,)), r"flip: axes must be from 0 to 1, got \(2,\) for float64\[2,3\]"),
        (lambda x: roll(x, (1, 2), 0), r"roll: there must be an integer shift for each axis, got \(1, 2\) for axes 0"),
        (lambda x: roll(x, 0.5, 0), "roll: there must be an integer shift for each axis, got 0.5"),
        (lambda x: roll_p.bind(x, axis=1, shift=4), "roll: must have an axis of x and a shift from 0 to its size"),
    ],
)
def test_refusals_say_what_must_hold(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((2, 3)))
