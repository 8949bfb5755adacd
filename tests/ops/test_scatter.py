"""Sums of rows that share an index: the same bits on every processor, added in the order of the indices."""

import numpy as np
import pytest
from hypothesis import example, given

from lwps import tracing
from lwps.core import aval_of, evaluate_program
from lwps.ops.scatter import scatter_add_along_axis_p, scatter_add_p, segment_sum
from tests.ops.test_gather import drawn, picks
from tests.places import on_each_place, run

DTYPES = ("uint8", "int32", "uint32", "float32")


def scatter_reference(x, indices, axis, size):
    """One row after the other."""
    rows = x.reshape(*x.shape[:axis], indices.size, *x.shape[axis + indices.ndim :])
    out = np.zeros_like(x, shape=(*x.shape[:axis], size, *x.shape[axis + indices.ndim :]))
    for k, index in enumerate(indices.ravel().tolist()):
        if -size <= index < size:
            out[(slice(None),) * axis + (index,)] += rows[(slice(None),) * axis + (k,)]
    return out


@np.errstate(over="ignore")  # NumPy warns of scalars that wrap around
def scatter_along_axis_reference(x, indices, axis, size):
    """One element after the other."""
    out = np.zeros_like(x, shape=(*x.shape[:axis], size, *x.shape[axis + 1 :]))
    for place in np.ndindex(x.shape):
        if -size <= indices[place] < size:
            out[(*place[:axis], indices[place], *place[axis + 1 :])] += x[place]
    return out


def rows_of(case, dtype="float32"):
    """Random rows to add up: (x, indices, axis, size)."""
    shape, picked, axis, seed = case
    x = np.random.default_rng(seed).standard_normal((*shape[:axis], *picked, *shape[axis + 1 :])) * 100
    return x.astype(dtype), drawn(picked, shape[axis], seed), axis, shape[axis]


def elements_of(case, dtype="float32"):
    """Random elements to add up: (x, indices, axis, size)."""
    shape, picked, axis, seed = case
    x = np.random.default_rng(seed).standard_normal(picked) * 100
    return x.astype(dtype), drawn(picked, shape[axis], seed), axis, shape[axis]


@on_each_place
@given(case=picks())
@example(case=((50, 600), (20, 3), 0, 0))  # more columns than a work-item owns, in a rest; rows in ranges
@example(case=((2, 3, 1), (7000,), 1, 0))  # many in each sum
@example(case=((2, 700, 3), (300,), 1, 0))  # more than a GPU walks, sums of few and of none
@example(case=((0, 3), (4,), 0, 0))
def test_scatter_add_has_the_bits_of_adding_in_order(place, case):
    x, indices, axis, size = rows_of(case)
    (y,) = run(scatter_add_p, x, indices, place=place, axis=axis, size=size)
    np.testing.assert_array_equal(y, scatter_reference(x, indices, axis, size))


@on_each_place
@given(case=picks(along=True))
@example(case=((9, 600), (30, 600), 0, 0))
@example(case=((2, 9), (2, 5000), 1, 0))
@example(case=((3, 9, 4), (3, 600, 4), 1, 0))  # more than a GPU walks
def test_scatter_add_along_axis_has_the_bits_of_adding_in_order(place, case):
    x, indices, axis, size = elements_of(case)
    (y,) = run(scatter_add_along_axis_p, x, indices, place=place, axis=axis, size=size)
    np.testing.assert_array_equal(y, scatter_along_axis_reference(x, indices, axis, size))


@on_each_place
@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_wrap_around(place, dtype):
    x = (np.arange(60) * (2**31 // 7)).astype(dtype).reshape(5, 4, 3)
    indices = drawn((4,), 2, 0)
    (y,) = run(scatter_add_p, x, indices, place=place, axis=1, size=2)
    np.testing.assert_array_equal(y, scatter_reference(x, indices, 1, 2), strict=True)
    indices = drawn(x.shape, 2, 0)
    (y,) = run(scatter_add_along_axis_p, x, indices, place=place, axis=1, size=2)
    np.testing.assert_array_equal(y, scatter_along_axis_reference(x, indices, 1, 2), strict=True)


@on_each_place
def test_infinity_and_nan_stay_in_their_sums(place):
    x = np.array([np.inf, np.nan, 3e38, 1, -np.inf, 3e38], np.float32)
    indices = np.array([0, 1, 2, 3, 0, 2], np.int32)
    (y,) = run(scatter_add_p, x, indices, place=place, axis=0, size=4)
    np.testing.assert_array_equal(y, [np.nan, np.nan, np.inf, 1])


@given(case=picks())
def test_vjp_of_scatter_add_matches_differences(check_vjp, case):
    x, indices, axis, size = rows_of(case, "float64")
    check_vjp(scatter_add_p, x, indices, seed=case[-1], axis=axis, size=size)


@given(case=picks(along=True))
def test_vjp_of_scatter_add_along_axis_matches_differences(check_vjp, case):
    x, indices, axis, size = elements_of(case, "float64")
    check_vjp(scatter_add_along_axis_p, x, indices, seed=case[-1], axis=axis, size=size)


@given(case=picks())
def test_parts_of_a_split_are_the_whole(case):
    x, indices, axis, size = rows_of(case)
    splits = scatter_add_p.split(aval_of(x), aval_of(indices), axis=axis, size=size)
    assert len(splits) == x.ndim - indices.ndim
    for split in splits:
        parts = [scatter_add_p.bind(p, indices, axis=axis, size=size)[0] for p in np.array_split(x, 2, split.ins[0])]
        whole = scatter_reference(x, indices, axis, size)
        np.testing.assert_array_equal(np.concatenate(parts, split.outs[0]), whole)


def test_segment_sum_adds_the_rows_of_each_segment():
    x, segments = np.arange(8.0).reshape(4, 2), np.array([2, 0, 2, 5])
    want = [[2, 3], [0, 0], [4, 6]]
    np.testing.assert_array_equal(segment_sum(x, segments, 3), want)
    program = tracing.trace(lambda x: segment_sum(x, segments, 3), aval_of(x))
    np.testing.assert_array_equal(evaluate_program(program, [x])[0], want)


@pytest.mark.parametrize(
    ("primitive", "x", "indices", "axis", "error", "message"),
    [
        (
            scatter_add_p,
            np.ones((2, 3)),
            np.zeros(4, np.int32),
            0,
            TypeError,
            r"scatter_add: indices must have the axes of x from axis 0 on, got float64\[2,3\] and int32\[4\]",
        ),
        (
            scatter_add_p,
            np.ones(2),
            np.zeros(2, np.uint8),
            0,
            TypeError,
            r"scatter_add: indices must be int32, got uint8\[2\]; use astype",
        ),
        (scatter_add_p, np.ones(2, bool), np.zeros(2, np.int32), 0, TypeError, r"scatter_add: x must be one of uint8"),
        (
            scatter_add_along_axis_p,
            np.ones((2, 3)),
            np.zeros((2, 2), np.int32),
            0,
            TypeError,
            r"scatter_add_along_axis: indices must have the shape of x, got float64\[2,3\] and int32\[2,2\]",
        ),
        (
            scatter_add_along_axis_p,
            np.ones(3, bool),
            np.zeros(3, np.int32),
            0,
            TypeError,
            r"scatter_add_along_axis: x must be one of .*, got bool\[3\]; use astype",
        ),
        (
            scatter_add_along_axis_p,
            np.ones(3),
            np.zeros(3, np.int32),
            1,
            ValueError,
            "scatter_add_along_axis: axis must be from 0 to 0, got 1",
        ),
    ],
)
def test_refusals_say_what_must_hold(primitive, x, indices, axis, error, message):
    with pytest.raises(error, match=message):
        primitive.bind(x, indices, axis=axis, size=3)


def test_segment_sum_refuses_numbers_that_are_no_integers():
    with pytest.raises(TypeError, match=r"segment_sum: indices must be integers, got float64\[2\]"):
        segment_sum(np.ones(2), np.ones(2), 3)
