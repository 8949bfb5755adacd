"""Boxes at places that are known when a step runs only, on every processor, moved into the array as in JAX."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import lwps
from lwps import testing, tracing
from lwps.core import ShapedArray, aval_of, evaluate_program
from lwps.ops.dynamic import dynamic_slice, dynamic_slice_p, dynamic_update_slice, dynamic_update_slice_p
from tests.places import on_each_place, run

seeds = st.integers(0, 2**32 - 1)
FAR = (-(2**31), 2**31 - 1)  # start + size must not wrap around


def numbered(shape, dtype="float32"):
    return (np.arange(np.prod(shape, dtype=int)) % 251 % (2 if dtype == "bool" else 251)).reshape(shape).astype(dtype)


@st.composite
def boxes(draw):
    shape = draw(array_shapes(max_dims=5, min_side=0, max_side=7))
    sizes = tuple(draw(st.just(n) | st.integers(0, n)) for n in shape)
    starts = [draw(st.integers(-n - 2, n + 2) | st.sampled_from(FAR)) for n in shape]
    return shape, sizes, np.array(starts, np.int32)


def box(shape, sizes, starts):
    """The index of the box that is meant."""
    found = [int(s) + n if s < 0 else int(s) for s, n in zip(starts, shape, strict=True)]
    firsts = [min(max(s, 0), n - k) for s, n, k in zip(found, shape, sizes, strict=True)]
    return tuple(slice(s, s + k) for s, k in zip(firsts, sizes, strict=True))


def updated(x, update, starts):
    x = x.copy()
    x[box(x.shape, update.shape, starts)] = update
    return x


@on_each_place
@given(case=boxes())
@example(case=((3, 20000), (2, 10000), np.array([5, -15000], np.int32)))  # rows longer than a work-item copies
def test_dynamic_slice_is_the_box_that_is_meant(place, case):
    shape, sizes, starts = case
    x = numbered(shape)
    (y,) = run(dynamic_slice_p, x, starts, place=place, sizes=sizes)
    np.testing.assert_array_equal(y, x[box(shape, sizes, starts)])


@on_each_place
@given(case=boxes())
@example(case=((3, 20000), (2, 10000), np.array([5, -15000], np.int32)))
def test_dynamic_update_slice_changes_the_box_only(place, case):
    shape, sizes, starts = case
    x, update = numbered(shape), -1 - numbered(sizes)
    (y,) = run(dynamic_update_slice_p, x, update, starts, place=place)
    np.testing.assert_array_equal(y, updated(x, update, starts))


@on_each_place
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "uint32"])
def test_both_of_every_dtype(place, dtype):
    x, starts = numbered((5, 9), dtype), np.array([1, 3], np.int32)
    (y,) = run(dynamic_slice_p, x, starts, place=place, sizes=(2, 4))
    np.testing.assert_array_equal(y, x[1:3, 3:7], strict=True)
    (z,) = run(dynamic_update_slice_p, x, np.ones((2, 4), dtype), starts, place=place)
    np.testing.assert_array_equal(z, updated(x, np.ones((2, 4), dtype), starts), strict=True)


@given(case=boxes(), seed=seeds)
def test_vjps_match_differences(check_vjp, case, seed):
    shape, sizes, starts = case
    rng = np.random.default_rng(seed)
    check_vjp(dynamic_slice_p, rng.random(shape), starts, seed=seed, sizes=sizes)
    check_vjp(dynamic_update_slice_p, rng.random(shape), rng.random(sizes), starts, seed=seed)


@given(case=boxes())
def test_an_update_may_be_written_over_its_array(case):
    shape, sizes, starts = case
    x, update = numbered(shape), -1 - numbered(sizes)
    want = updated(x, update, starts)
    dynamic_update_slice_p.numpy.run(x, x, update, starts)
    np.testing.assert_array_equal(x, want)


@pytest.mark.parametrize("processor", testing.PROCESSORS)
def test_a_donated_cache_is_updated_in_place(processor):
    def append(cache, row, at):
        return dynamic_update_slice(cache, row[None], [at, 0]), dynamic_slice(cache, [at - 1, 0], (1, 3))

    step = lwps.jit(append, placement=processor, donate_argnums=(0,))
    cache = np.zeros((4, 3), np.float32)
    for k in range(4):
        cache, before = step(cache, np.full(3, k + 1, np.float32), k)
        if k:
            np.testing.assert_array_equal(before, np.full((1, 3), k))
    np.testing.assert_array_equal(cache, np.repeat(np.arange(1.0, 5), 3).reshape(4, 3))


def test_parts_of_a_split_update_are_the_whole():
    x, update, starts = numbered((4, 5, 6)), -1 - numbered((4, 2, 6)), np.array([3, 2, -1], np.int32)
    splits = dynamic_update_slice_p.split(*map(aval_of, (x, update, starts)))
    assert [row.outs for row in splits] == [(0,), (2,)]
    for row in splits:
        pairs = zip(np.array_split(x, 2, row.ins[0]), np.array_split(update, 2, row.ins[1]), strict=True)
        parts = [dynamic_update_slice_p.bind(a, b, starts)[0] for a, b in pairs]
        np.testing.assert_array_equal(np.concatenate(parts, row.outs[0]), updated(x, update, starts))


@pytest.mark.parametrize("starts", [(1, 2), (np.int64(1), -2), np.array([1, 2]), np.array([5, 0], np.uint32)])
def test_starts_may_be_integers_or_one_vector(starts):
    x = numbered((3, 4))
    want = x[box((3, 4), (2, 2), starts)]
    np.testing.assert_array_equal(dynamic_slice(x, starts, (2, 2)), want)
    program = tracing.trace(lambda x, i, j: dynamic_slice(x, (i, j), (2, 2)), x, *map(int, starts))
    np.testing.assert_array_equal(evaluate_program(program, [x, *np.array(starts, np.int32)])[0], want)


def test_the_whole_array_is_itself_and_numbers_are_promoted():
    x = ShapedArray((2, 3), "float32")
    assert tracing.trace(lambda x: dynamic_slice(x, (1, 0), (2, 3)), x).eqns == ()
    assert dynamic_update_slice(np.zeros(2, np.float32), np.ones(1, np.int32), [1]).tolist() == [0, 1]


X = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: dynamic_slice(X, (0,), (1, 1)),
            r"dynamic_slice: there must be a start for each of 2 axes, got \(0,\)",
        ),
        (lambda: dynamic_slice(X, np.zeros((2, 1), int), (1, 1)), "dynamic_slice: there must be a start for each of 2"),
        (lambda: dynamic_slice(X, (0, 0.5), (1, 1)), r"dynamic_slice: indices must be integers, got float64\[\]"),
        (
            lambda: dynamic_slice(X, (0, np.zeros(1, int)), (1, 1)),
            r"dynamic_slice: a start must be an integer scalar, got int32\[1\] for float32\[2,3\]",
        ),
        (
            lambda: dynamic_slice(X, (0, 0), (3, 1)),
            r"dynamic_slice: the part must have from 0 to all elements of each axis, got \(3, 1\) of float32\[2,3\]",
        ),
        (lambda: dynamic_slice(X, (0, 0), (1,)), "dynamic_slice: the part must have from 0 to all elements"),
        (
            lambda: dynamic_update_slice(X, np.zeros((3, 3), np.float32), (0, 0)),
            r"dynamic_update_slice: .*, got \(3, 3\) of float32\[2,3\]",
        ),
        (
            lambda: dynamic_update_slice_p.bind(X, np.zeros((1, 1), np.int32), np.zeros(2, np.int32)),
            r"dynamic_update_slice: x and update must share a dtype, got float32\[2,3\] and int32\[1,1\]; use astype",
        ),
        (
            lambda: dynamic_slice_p.bind(X, np.zeros(2, np.uint8), sizes=(1, 1)),
            r"dynamic_slice: starts must be int32\[2\], one for each axis, got uint8\[2\]",
        ),
    ],
)
def test_refusals_say_what_must_hold(call, message):
    with pytest.raises(TypeError, match=message):
        call()
