"""`x.at[index].set(y)` is what assigning to the elements is in NumPy, of a new array."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

import lwps
from lwps import tracing
from lwps.core import ShapedArray, aval_of, evaluate_program
from lwps.ops.at import at


def numbered(shape):
    return np.arange(1, 1 + np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)


def traced(fn, *xs):
    """`fn` of arrays through a program."""
    program = tracing.trace(fn, *(aval_of(x) for x in xs))
    (y,) = evaluate_program(program, xs)
    return y


@st.composite
def basic(draw):
    shape = draw(array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    return shape, draw(basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))


@given(case=basic(), number=st.booleans())
@example(case=((6, 7), (slice(None, None, 2), slice(5, 0, -2))), number=False)
@example(case=((6, 7), (slice(1, 4), 3)), number=False)
def test_slices_and_integers_are_changed_as_numpy_assigns(case, number):
    shape, index = case
    x = numbered(shape)
    values = -1.0 if number else -numbered(x[index].shape)
    for method, op in (("set", lambda old, new: new), ("add", np.add), ("multiply", np.multiply), ("min", np.minimum)):
        want = x.copy()
        want[index] = op(want[index], values)
        got = traced(lambda x, method=method: getattr(x.at[index], method)(values), x)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(getattr(at(x)[index], method)(values), want)


INDICES = [
    lambda i, j: i,
    lambda i, j: (slice(None), i % 3),
    lambda i, j: (i, j),
    lambda i, j: (i, slice(None), i),
    lambda i, j: (-1, slice(None), j[:, None]),
    lambda i, j: (Ellipsis, j % 2),
    lambda i, j: (slice(None), i % 3, slice(None), j % 2),
]


@pytest.mark.parametrize("index", INDICES, ids=range(len(INDICES)))
@pytest.mark.parametrize("known", [True, False])
def test_integer_arrays_set_the_last_value_and_add_each(index, known):
    x, i, j = numbered((4, 3, 5, 2)), np.array([0, 3, -4, 2], np.int32), np.array([2, 0, 2, -1], np.int32)
    values = -numbered(x[index(i, j)].shape)
    want_set, want_add = x.copy(), x.copy()
    want_set[index(i, j)] = values
    np.add.at(want_add, index(i, j), values)
    for method, want in (("set", want_set), ("add", want_add)):
        if known:
            got = traced(lambda x, method=method: getattr(x.at[index(i, j)], method)(values), x)
        else:
            got = traced(lambda x, i, j, method=method: getattr(x.at[index(i, j)], method)(values), x, i, j)
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(at(x)[index(i, j)].subtract(values), 2 * x - want_add)


def test_what_is_named_outside_changes_nothing():
    x, i = numbered((3,)), np.array([3, 1, -4], np.int32)
    np.testing.assert_array_equal(traced(lambda x, i: x.at[i].set(0), x, i), [1, 0, 3])
    np.testing.assert_array_equal(traced(lambda x, i: x.at[i].add(1), x, i), [1, 3, 3])


def test_the_other_methods():
    x = numbered((4,))
    np.testing.assert_array_equal(at(x)[1:3].divide(2), [1, 1, 1.5, 4])
    np.testing.assert_allclose(at(x)[1:3].power(2), [1, 4, 9, 4])
    np.testing.assert_array_equal(at(x)[1:3].max(2.5), [1, 2.5, 3, 4])
    np.testing.assert_array_equal(at(x)[1].subtract(2), [1, 0, 3, 4])
    np.testing.assert_array_equal(at(x)[::2].apply(np.negative), [-1, 2, -3, 4])
    np.testing.assert_array_equal(at(x)[::-1].get(), x[::-1])


def test_cotangents_go_to_what_is_left_of_the_array_and_of_the_values():
    x, y = numbered((4,)), numbered((3,))
    weights = np.array([1.0, 10, 100, 1000])
    for index in (slice(1, 4), np.array([3, 0, 3])):
        of_x, of_y = np.ones(4), np.zeros(3)
        of_x[index] = 0
        for k, place in enumerate(np.arange(4)[index].tolist()):
            of_y[k] = weights[place] * (not np.any(np.arange(4)[index][k + 1 :] == place))

        def loss(x, y, index=index):
            return (x.at[index].set(y) * weights).sum()

        np.testing.assert_array_equal(traced(lwps.grad(loss), x, y), weights * of_x)
        np.testing.assert_array_equal(traced(lambda x, y: lwps.grad(lambda y: loss(x, y))(y), x, y), of_y)


def test_one_box_is_one_update_in_place():
    program = tracing.trace(lambda x: x.at[1:3, 2].set(0), ShapedArray((4, 5), "float32"))
    assert [eqn.primitive.name for eqn in program.eqns if eqn.runs][-1] == "dynamic_update_slice"


X = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: x.at[[0, 1]].multiply(2),
            TypeError,
            r"at: only get, set, add and subtract must have integer arrays, .* got \[0, 1\] for float32",
        ),
        (
            lambda x: x.at[[0, 1], 1:].set(0),
            TypeError,
            r"at: beside integer arrays there must be integers and whole axes, .* for float32\[2,3\]; use numpy.arange",
        ),
        (lambda x: x.at[[0, 1], None].set(0), TypeError, "at: beside integer arrays there must be integers and whole"),
        (lambda x: x.at[0].set(np.ones(2)), TypeError, "broadcast_to: .* must broadcast"),
        (lambda x: x.at[5].set(0), IndexError, "index: must be from -2 to 1 on axis 0, got 5"),
        (
            lambda x: x.astype("int32").at[0].set(0.5),
            TypeError,
            r"at: values must fit the array's dtype, got float32\[\] for int32\[2,3\]; use astype",
        ),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        traced(call, X)
