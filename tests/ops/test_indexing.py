"""`x[index]` of what is traced is what NumPy gives."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

import lwps
from lwps import tracing
from lwps.core import ShapedArray, aval_of, evaluate_program
from lwps.ops.indexing import getitem

seeds = st.integers(0, 2**32 - 1)


def numbered(shape):
    return np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)


def traced(fn, *xs):
    """`fn` of arrays through a program."""
    program = tracing.trace(fn, *(aval_of(x) for x in xs))
    (y,) = evaluate_program(program, xs)
    return y


@st.composite
def basic(draw):
    shape = draw(array_shapes(max_dims=4, min_side=0, max_side=5))
    return shape, draw(basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))


@given(case=basic())
@example(case=((5,), (slice(None, None, -1),)))
@example(case=((5, 6), (slice(3, 3, -1), slice(-1, None, -4))))
def test_slices_integers_and_new_axes_are_numpys(case):
    shape, index = case
    x = numbered(shape)
    np.testing.assert_array_equal(traced(lambda x: x[index], x), x[index])


def test_a_slice_of_everything_records_nothing():
    program = tracing.trace(lambda x: x[:, ..., 0:3], ShapedArray((2, 4, 3), "float32"))
    assert program.eqns == ()


@st.composite
def mixed(draw):
    """(shape, a function from arrays to an index, arrays): integer arrays beside everything else, in any order."""
    shape = draw(array_shapes(max_dims=4, max_side=4))
    common = draw(array_shapes(min_dims=0, max_dims=2, max_side=3))
    kinds = draw(st.lists(st.sampled_from(("array", "int", "slice")), min_size=1, max_size=len(shape)))
    kinds[draw(st.integers(0, len(kinds) - 1))] = "array"
    entries, arrays = [], []
    for kind, n in zip(kinds, shape, strict=False):
        numbers = st.integers(-n, n - 1)
        if kind == "array":
            sizes = tuple(draw(st.sampled_from((1, k))) for k in common[draw(st.integers(0, len(common))) :])
            count = int(np.prod(sizes))
            arrays.append(np.array(draw(st.lists(numbers, min_size=count, max_size=count)), np.int32).reshape(sizes))
        entries.append(draw(numbers) if kind == "int" else slice(None, None, draw(st.sampled_from((1, -1, 2)))))
        if kind == "array":
            entries[-1] = len(arrays) - 1, "array"
    for extra in draw(st.lists(st.sampled_from((None, Ellipsis)), max_size=2, unique=True)):
        entries.insert(draw(st.integers(0, len(entries))), extra)
    return shape, entries, arrays


def index_of(entries, arrays):
    return tuple(arrays[e[0]] if isinstance(e, tuple) else e for e in entries)


@given(case=mixed())
@example(case=((2, 3, 4), [0, slice(None), (0, "array")], [np.array([1, 2], np.int32)]))  # its axis comes first
@example(case=((2, 3, 4), [0, (0, "array")], [np.array([1, 2], np.int32)]))
@example(case=((2, 3, 4), [(0, "array"), None, (1, "array")], [np.array([1], np.int32), np.array([1, 2], np.int32)]))
def test_integer_arrays_known_and_traced_are_numpys(case):
    shape, entries, arrays = case
    x = numbered(shape)
    want = x[index_of(entries, arrays)]
    got = traced(lambda x: x[index_of(entries, arrays)], x)
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(traced(lambda x, *arrays: x[index_of(entries, arrays)], x, *arrays), want)


def test_lists_scalars_and_masks_that_are_known():
    x = numbered((3, 4))
    mask = x % 5 == 0
    bytes_ = np.array([2, 0], np.uint8)
    for index in ([0, -2], [], np.array(1), bytes_, ([0, 1], [2, 3]), mask, (1, mask[1]), (mask[:, 0], slice(None, 2))):
        np.testing.assert_array_equal(getitem(x, index), x[index])


def test_a_traced_scalar_picks_one_row():
    x = numbered((3, 4))
    for dtype in ("int32", "uint8", "uint32"):
        np.testing.assert_array_equal(traced(lambda x, k: x[:, k], x, np.array(2, dtype)), x[:, 2])


def test_traced_indices_that_name_nothing_give_nan():
    x, i, j = numbered((3, 4)), np.array([0, 3, -4, -1, 2], np.int32), np.array([0, 0, 0, 4, -4], np.int32)
    np.testing.assert_array_equal(np.isnan(traced(lambda x, i: x[i, 0], x, i)), [False, True, True, False, False])
    np.testing.assert_array_equal(traced(lambda x, i, j: x[i, j], x, i, j), [0, np.nan, np.nan, np.nan, 8])


def test_the_gradient_of_picked_logits_goes_where_they_were():
    logits, labels = numbered((3, 4)), np.array([2, 0, 2], np.int32)
    step = lwps.jit(lwps.grad(lambda x, y: (x[np.arange(3), y] * np.arange(1.0, 4)).sum()), placement="cpu")
    want = np.zeros((3, 4))
    want[np.arange(3), labels] = [1, 2, 3]
    np.testing.assert_array_equal(np.asarray(step(logits, labels)), want)


X = numbered((2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x[2], IndexError, r"index: must be from -2 to 1 on axis 0, got 2 for float32\[2,3\]"),
        (lambda x: x[:, [0, -4, 5]], IndexError, r"index: must be from -3 to 2 on axis 1, got -4 for float32\[2,3\]"),
        (lambda x: x[0, 0, 0], IndexError, "index: there must be at most 2 indices"),
        (lambda x: x[..., 0, ...], IndexError, "index: there must be at most 2 indices and one ..."),
        (
            lambda x: x[x > 0],
            TypeError,
            r"index: must be integers, slices, .* got bool\[2,3\] for float32\[2,3\]; use where to choose",
        ),
        (lambda x: x[True], TypeError, "index: must be integers, .* got True"),
        (lambda x: x[1.0], TypeError, "index: must be integers, .* got 1.0"),
        (lambda x: x[x], TypeError, r"index: must be integers, .* got float32\[2,3\]"),
        (
            lambda x: x[np.ones((3, 3), bool)],
            IndexError,
            r"index: a mask must have the sizes of its axes, got bool\[3,3\] at axis 0 for float32\[2,3\]",
        ),
        (lambda x: x[[0, 1], [0, 1, 2]], TypeError, r"index: shapes must broadcast together, got int32"),
        (lambda x: x[::0], ValueError, "slice step cannot be zero"),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        traced(call, X)
