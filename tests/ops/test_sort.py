"""Sorting: the one stable order, NaN last, on every processor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import lwps
from lwps import tracing
from lwps.core import ShapedArray, aval_of, evaluate_program
from lwps.ops.sort import CPU_CHUNK, FEW, argsort, argsort_p, sort, top_k, top_k_p
from tests.places import on_each_place, run

# few values, so that there are ties; both zeros, infinities, signs of NaN, numbers that devices may flush to zero
SPECIAL = (0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, np.nan, np.copysign(np.nan, -1.0).item(), 1e-45, -1e-45, 3e38, -3e38)
ELEMENTS = st.sampled_from(SPECIAL) | st.floats(-4, 4, width=32)
LONG = (CPU_CHUNK - 1, CPU_CHUNK + 1, 3 * CPU_CHUNK + 7)  # around what is sorted at once; an odd number of runs


@st.composite
def unsorted(draw):
    x = draw(arrays(np.float32, array_shapes(max_dims=3, min_side=0, max_side=40), elements=ELEMENTS))
    return x, draw(st.integers(0, x.ndim - 1))


def random(shape, seed=0, dtype="float32"):
    """Whole numbers with many ties, and in floats NaN and zeros of both signs."""
    rng = np.random.default_rng(seed)
    low, high = {"bool": (0, 2), "uint8": (0, 256), "uint32": (0, 2**32)}.get(dtype, (-(2**31), 2**31))
    x = rng.choice(rng.integers(low, high, 300), shape).astype(dtype)
    if dtype == "float32":
        x[rng.random(shape) < 0.05] = np.nan
        x[rng.random(shape) < 0.05] = -np.nan
        x[rng.random(shape) < 0.05] *= 0
    return x


def reference(x, axis, descending=False):
    """Stable; from the largest down, equal elements still in order and NaN before everything."""
    if not descending:
        return np.argsort(x, axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)


@on_each_place
@given(case=unsorted(), descending=st.booleans())
def test_argsort_is_the_stable_order_of_numpy(place, case, descending):
    x, axis = case
    (order,) = run(argsort_p, x, place=place, axis=axis, descending=descending)
    np.testing.assert_array_equal(order, reference(x, axis, descending))


@on_each_place
@pytest.mark.parametrize("n", LONG)
@pytest.mark.parametrize("axis", [0, 1])
def test_long_rows_are_sorted_in_chunks_and_merged(place, n, axis):
    x = random((2, n) if axis else (n, 2))
    (order,) = run(argsort_p, x, place=place, axis=axis, descending=False)
    np.testing.assert_array_equal(order, reference(x, axis))


@on_each_place
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "uint32"])
def test_every_dtype_is_sorted(place, dtype, descending):
    x = random((3, 70), dtype=dtype)
    (order,) = run(argsort_p, x, place=place, axis=1, descending=descending)
    np.testing.assert_array_equal(order, reference(x, 1, descending))


@on_each_place
@given(case=unsorted(), data=st.data())
def test_top_k_are_the_first_of_the_descending_order(place, case, data):
    x, axis = case
    k = data.draw(st.integers(0, x.shape[axis]))
    (first,) = run(top_k_p, x, place=place, axis=axis, k=k)
    np.testing.assert_array_equal(first, np.take(reference(x, axis, True), range(k), axis))


@on_each_place
@pytest.mark.parametrize("n", LONG)
@pytest.mark.parametrize("k", [1, FEW, FEW + 1])
def test_top_k_of_long_rows(place, n, k):
    for x in (random((2, n)), np.sort(random((2, n)))):  # sorted: each element is the largest so far
        (first,) = run(top_k_p, x, place=place, axis=1, k=k)
        np.testing.assert_array_equal(first, reference(x, 1, True)[:, :k])


@given(x=arrays(np.float64, array_shapes(max_dims=2, max_side=20), elements=ELEMENTS), descending=st.booleans())
def test_float64_is_sorted_on_the_host(x, descending):
    order = argsort(x, descending=descending)
    np.testing.assert_array_equal(order, reference(x, -1, descending))
    np.testing.assert_array_equal(sort(x, descending=descending), np.take_along_axis(x, order, -1))
    assert order.dtype == np.int32


@pytest.mark.parametrize("axis", [None, 0, -1])
def test_sorted_values_are_numpys(axis):
    x = random((7, 9))
    np.testing.assert_array_equal(sort(x, axis), np.sort(x, axis))
    np.testing.assert_array_equal(sort(x, axis, descending=True), np.flip(np.sort(x, axis), axis))
    np.testing.assert_array_equal(argsort(x, axis), np.argsort(x, axis, kind="stable"))


def test_top_k_gives_values_and_indices():
    values, indices = top_k(np.array([[1.0, 7, 7, 2], [np.nan, 0, 3, np.nan]]), 2)
    np.testing.assert_array_equal(values, [[7, 7], [np.nan, np.nan]])
    np.testing.assert_array_equal(indices, [[1, 2], [0, 3]])
    np.testing.assert_array_equal(top_k(np.array([[1, 5], [3, 4]]), 1, axis=0)[0], [[3, 5]])


@given(
    x=arrays(np.float64, array_shapes(max_dims=3, max_side=6), elements=st.floats(-4, 4), unique=True), data=st.data()
)
def test_cotangents_go_back_to_where_elements_came_from(x, data):
    axis = data.draw(st.integers(0, x.ndim - 1))
    k = data.draw(st.integers(0, x.shape[axis]))
    weights = np.random.default_rng(0).standard_normal(x.shape)
    largest = np.take(weights, range(k), axis)

    def loss(x):
        return (sort(x, axis) * weights).sum() + (top_k(x, k, axis)[0] * largest).sum()

    order = reference(x, axis)
    want = np.empty_like(x)
    np.put_along_axis(want, order, weights + np.flip(_padded(largest, x.shape), axis), axis)
    (got,) = evaluate_program(tracing.trace(lwps.grad(loss), aval_of(x)), [x])
    np.testing.assert_allclose(got, want)


def _padded(x, shape):
    return np.pad(x, [(0, n - k) for n, k in zip(shape, x.shape, strict=True)])


@given(case=unsorted())
def test_parts_of_a_split_are_the_whole(case):
    x, axis = case
    for split in argsort_p.split(aval_of(x), axis=axis, descending=False):
        parts = [argsort_p.bind(p, axis=axis, descending=False)[0] for p in np.array_split(x, 2, split.ins[0])]
        np.testing.assert_array_equal(np.concatenate(parts, split.outs[0]), reference(x, axis))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: sort(x, 2), r"sort: axes must be different ones of 2, got \(2,\)"),
        (lambda x: argsort(x, 2), r"argsort: axes must be different ones of 2, got \(2,\)"),
        (lambda x: top_k(x, 4), r"top_k: k must be from 0 to 3, the size of axis 1, got 4 for float32\[2,3\]"),
        (lambda x: top_k(x, -1, 0), "top_k: k must be from 0 to 2, the size of axis 0, got -1"),
        (lambda x: top_k(x, 1, 2), r"top_k: axes must be different ones of 2, got \(2,\)"),
        (lambda x: argsort_p.bind(x, axis=2, descending=False), "argsort: axis must be from 0 to 1, got 2 for float32"),
    ],
)
def test_refusals_say_what_must_hold(call, message):
    with pytest.raises(ValueError, match=message):
        tracing.trace(call, ShapedArray((2, 3), "float32"))
