"""Elements picked by index: what NumPy gives, and `fill` where there is nothing to pick, on every processor."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from lwps import tracing
from lwps.core import aval_of, evaluate_program
from lwps.ops.gather import one_hot, take, take_along_axis, take_along_axis_p, take_p
from tests.places import on_each_place, run

seeds = st.integers(0, 2**32 - 1)
DTYPES = ("bool", "uint8", "int32", "uint32", "float32")
FILLS = {"bool": True, "uint8": 255, "int32": -(2**31), "uint32": 2**32 - 1, "float32": np.nan}
FAR = (-(2**31), 2**31 - 1)  # index + n must not wrap around


def numbered(shape, dtype="float32"):
    """Elements that differ from their neighbours, in every dtype."""
    return (np.arange(np.prod(shape, dtype=int)) % 251 % (2 if dtype == "bool" else 251)).reshape(shape).astype(dtype)


def drawn(shape, n, seed, beyond=3):
    """int32 indices from -n to n - 1 and up to `beyond` beyond, some of them far beyond."""
    rng = np.random.default_rng(seed)
    indices = rng.integers(-n - beyond, n + beyond, shape) if n + beyond else np.zeros(shape)
    return np.where(rng.random(shape) < (0.1 if beyond else 0), rng.choice(FAR, shape), indices).astype(np.int32)


def with_fill(x, indices, axis, fill):
    """`x` with one more row along `axis`, of `fill`, and the indices of what is asked for in it."""
    n = x.shape[axis]
    row = np.full_like(x, fill, shape=(*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    found = np.where(indices < 0, indices.astype(np.int64) + n, indices)
    return np.concatenate([x, row], axis), np.where((found < 0) | (found >= n), n, found)


def take_reference(x, indices, axis, fill):
    x, indices = with_fill(x, indices, axis, fill)
    return x[(slice(None),) * axis + (indices,)]


def take_along_axis_reference(x, indices, axis, fill):
    return np.take_along_axis(*with_fill(x, indices, axis, fill), axis)


@st.composite
def picks(draw, along=False):
    """(shape of x, shape of indices, axis, seed); the picked axis, the picks and the rest may be empty."""
    shape = draw(array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=7))
    axis = draw(st.integers(0, len(shape) - 1))
    if along:
        return shape, (*shape[:axis], draw(st.integers(0, 9)), *shape[axis + 1 :]), axis, draw(seeds)
    return shape, draw(array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=9)), axis, draw(seeds)


# --- take -------------------------------------------------------------------------------------------


@on_each_place
@given(case=picks())
@example(case=((3, 10000), (7,), 0, 0))  # rows longer than a work-item copies
@example(case=((40, 5), (3000,), 0, 0))  # more rows than one copies
@example(case=((2, 300), (3, 2000), 1, 0))  # rows of one element
@example(case=((0, 3), (4,), 0, 0))  # nothing to pick from
def test_take_matches_numpy(place, case):
    shape, picked, axis, seed = case
    x, indices = numbered(shape), drawn(picked, shape[axis], seed)
    (y,) = run(take_p, x, indices, place=place, axis=axis, fill=np.nan)
    np.testing.assert_array_equal(y, take_reference(x, indices, axis, np.nan))


@on_each_place
@pytest.mark.parametrize("dtype", DTYPES)
def test_take_of_every_dtype(place, dtype):
    x, indices = numbered((5, 4, 3), dtype), drawn((2, 6), 4, 1)
    (y,) = run(take_p, x, indices, place=place, axis=1, fill=FILLS[dtype])
    np.testing.assert_array_equal(y, take_reference(x, indices, 1, FILLS[dtype]), strict=True)


@given(case=picks())
def test_vjp_of_take_matches_differences(check_vjp, case):
    shape, picked, axis, seed = case
    x = np.random.default_rng(seed).random(shape)
    check_vjp(take_p, x, drawn(picked, shape[axis], seed), seed=seed, axis=axis, fill=0.5)


@given(case=picks())
def test_parts_of_a_split_take_are_the_whole(case):
    shape, picked, axis, seed = case
    x, indices = numbered(shape), drawn(picked, shape[axis], seed)
    whole = take_reference(x, indices, axis, np.nan)
    splits = take_p.split(aval_of(x), aval_of(indices), axis=axis, fill=np.nan)
    assert len(splits) == whole.ndim
    for split in splits:
        xs = [x] * 2 if split.ins[0] is None else np.array_split(x, 2, split.ins[0])
        parts = [indices] * 2 if split.ins[1] is None else np.array_split(indices, 2, split.ins[1])
        made = [take_p.bind(a, b, axis=axis, fill=np.nan)[0] for a, b in zip(xs, parts, strict=True)]
        np.testing.assert_array_equal(np.concatenate(made, split.outs[0]), whole)


# --- take_along_axis --------------------------------------------------------------------------------


@on_each_place
@given(case=picks(along=True))
@example(case=((3, 2000), (3, 5000), 1, 0))  # rows of one element, more than a work-item copies
@example(case=((2, 3, 6000), (2, 5, 6000), 1, 0))  # rows longer than a work-item copies
def test_take_along_axis_matches_numpy(place, case):
    shape, picked, axis, seed = case
    x, indices = numbered(shape), drawn(picked, shape[axis], seed)
    (y,) = run(take_along_axis_p, x, indices, place=place, axis=axis, fill=np.nan)
    np.testing.assert_array_equal(y, take_along_axis_reference(x, indices, axis, np.nan))


@on_each_place
@pytest.mark.parametrize("dtype", DTYPES)
def test_take_along_axis_of_every_dtype(place, dtype):
    x, indices = numbered((5, 4, 3), dtype), drawn((5, 7, 3), 4, 1)
    (y,) = run(take_along_axis_p, x, indices, place=place, axis=1, fill=FILLS[dtype])
    np.testing.assert_array_equal(y, take_along_axis_reference(x, indices, 1, FILLS[dtype]), strict=True)


@given(case=picks(along=True))
def test_vjp_of_take_along_axis_matches_differences(check_vjp, case):
    shape, picked, axis, seed = case
    x = np.random.default_rng(seed).random(shape)
    check_vjp(take_along_axis_p, x, drawn(picked, shape[axis], seed), seed=seed, axis=axis, fill=0.5)


@given(case=picks(along=True))
def test_parts_of_a_split_take_along_axis_are_the_whole(case):
    shape, picked, axis, seed = case
    x, indices = numbered(shape), drawn(picked, shape[axis], seed)
    for split in take_along_axis_p.split(aval_of(x), aval_of(indices), axis=axis, fill=np.nan):
        pairs = zip(np.array_split(x, 2, split.ins[0]), np.array_split(indices, 2, split.ins[1]), strict=True)
        made = [take_along_axis_p.bind(a, b, axis=axis, fill=np.nan)[0] for a, b in pairs]
        whole = take_along_axis_reference(x, indices, axis, np.nan)
        np.testing.assert_array_equal(np.concatenate(made, split.outs[0]), whole)


# --- what users call --------------------------------------------------------------------------------

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("indices", [1, np.int64(-1), [0, -2, 1], [[1], [0]], np.array([1, 0], np.uint8)])
def test_take_is_numpys(axis, indices):
    np.testing.assert_array_equal(take(X, indices, axis), np.take(X, indices, axis))
    program = tracing.trace(lambda x: take(x, indices, axis), X)
    np.testing.assert_array_equal(evaluate_program(program, [X])[0], np.take(X, indices, axis))


@pytest.mark.parametrize(("shape", "axis"), [((2, 5, 4), 1), ((1, 2, 4), 1), ((2, 3, 1), -1), ((7,), None)])
def test_take_along_axis_is_numpys(shape, axis):
    indices = np.random.default_rng(0).integers(-2, 2, shape)
    np.testing.assert_array_equal(take_along_axis(X, indices, axis), np.take_along_axis(X, indices, axis))
    assert take_along_axis(X[:, :1], np.zeros((1, 1, 4), int), 2).shape == (2, 1, 4)  # x broadcasts too


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_a_fill_value_the_dtypes_own_marks_what_is_not_there(dtype):
    y = take(numbered((3,), dtype), [1, 3, -4, -3])
    np.testing.assert_array_equal(y, np.array([1, FILLS[dtype], FILLS[dtype], 0]).astype(dtype), strict=True)


def test_modes_and_fill_values():
    x = np.array([10.0, 20, 30])
    np.testing.assert_array_equal(take(x, [-4, -1, 2, 3], fill_value=7), [7, 30, 30, 7])
    np.testing.assert_array_equal(take(x, [-4, -1, 2, 3], mode="clip"), [10, 10, 30, 30])
    np.testing.assert_array_equal(take_along_axis(x, [5, 0], 0, fill_value=-1), [-1, 10])
    np.testing.assert_array_equal(take_along_axis(x, [5, -5], 0, mode="clip"), [30, 10])


def test_unsigned_indices_never_count_from_the_end():
    np.testing.assert_array_equal(take(np.arange(3.0), np.array([2, 2**32 - 1], np.uint32)), [2, np.nan])


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot_has_a_one_where_the_number_says(axis):
    numbers = np.array([[0, 2, 1], [-1, 3, 2]])
    want = np.moveaxis(numbers[..., None] == np.arange(3), -1, axis).astype(np.float32)
    np.testing.assert_array_equal(one_hot(numbers, 3, axis=axis), want, strict=True)
    assert one_hot(1, 2, "int32").tolist() == [0, 1]


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: take(X, X > 3),
            TypeError,
            r"take: indices must be integers, got bool\[2,3,4\]; use astype, or where to choose by a condition",
        ),
        (lambda: take(X, 1.5), TypeError, r"take: indices must be integers, got float64\[\]; use astype"),
        (
            lambda: take(X.astype(np.uint8), 0, fill_value=300),
            TypeError,
            "take: fill_value must fit uint8, got 300; use another one",
        ),
        (
            lambda: take_along_axis(X.astype(np.int32), np.zeros((2, 1, 4), int), 1, fill_value=np.nan),
            TypeError,
            "take_along_axis: fill_value must fit int32, got nan",
        ),
        (lambda: take(X, 0, 3), ValueError, r"take: axes must be different ones of 3, got \(3,\)"),
        (lambda: take(X, 0, mode="raise"), ValueError, "take: mode must be 'fill' or 'clip', got 'raise'"),
        (
            lambda: take_p.bind(X, np.zeros(1, np.uint8), axis=0, fill=0),
            TypeError,
            r"take: indices must be int32, got uint8\[1\]; use astype",
        ),
        (
            lambda: take_p.bind(X, np.zeros(1, np.int32), axis=3, fill=0),
            ValueError,
            r"take: axis must be from 0 to 2, got 3 for float32\[2,3,4\]",
        ),
        (
            lambda: take_along_axis(X, [0], 1),
            TypeError,
            r"take_along_axis: indices must have as many axes as x, got .* and int32\[1\]; use take",
        ),
        (
            lambda: take_along_axis(X, np.zeros((3, 1, 4), int), 1),
            TypeError,
            "take_along_axis: shapes must broadcast together",
        ),
        (
            lambda: take_along_axis_p.bind(X, np.zeros((1, 3, 4), np.int32), axis=1, fill=0),
            TypeError,
            r"take_along_axis: indices must have the sizes of x on axes other than 1, got .* and int32\[1,3,4\]",
        ),
        (lambda: one_hot(0.5, 3), TypeError, r"one_hot: indices must be integers, got float64\[\]"),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call()
