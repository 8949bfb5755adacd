"""Ops that move elements: on every processor the very bits that NumPy's indexing gives."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from lwps import tracing
from lwps.core import ShapedArray, aval_of
from lwps.ops import shape as shape_ops
from lwps.ops.shape import Loops, pad_p, reshape_p, slice_p, transpose_p
from tests.places import on_each_place, run

seeds = st.integers(0, 2**32 - 1)
DTYPES = ("bool", "uint8", "int32", "uint32", "float32")


def numbered(shape, dtype="float32"):
    """Elements that differ from their neighbours, in every dtype."""
    return (np.arange(np.prod(shape, dtype=int)) % 251 % (2 if dtype == "bool" else 251)).reshape(shape).astype(dtype)


# --- transpose ------------------------------------------------------------------------------------


@st.composite
def permuted(draw):
    shape = draw(array_shapes(max_dims=6, min_side=0, max_side=9))
    return shape, tuple(draw(st.permutations(range(len(shape)))))


@on_each_place
@given(case=permuted())
@example(case=((70, 45), (1, 0)))  # tiles of 32 and of 8, and rests of both
@example(case=((3, 33, 2, 40), (2, 3, 0, 1)))
@example(case=((2, 40, 3, 70), (0, 3, 2, 1)))
@example(case=((5, 3, 5000), (1, 0, 2)))  # long runs, cut into segments
def test_transpose_matches_numpy(place, case):
    shape, axes = case
    x = numbered(shape)
    (y,) = run(transpose_p, x, place=place, axes=axes)
    np.testing.assert_array_equal(y, x.transpose(axes))


@on_each_place
@pytest.mark.parametrize("dtype", DTYPES)
def test_transpose_of_every_dtype(place, dtype):
    x = numbered((9, 17, 21), dtype)
    for axes in ((1, 0, 2), (2, 1, 0)):
        np.testing.assert_array_equal(run(transpose_p, x, place=place, axes=axes)[0], x.transpose(axes))


@on_each_place
def test_small_groups_transpose_the_same(place):
    x = numbered((45, 33))
    np.testing.assert_array_equal(run(transpose_p, x, place=place, group=64, axes=(1, 0))[0], x.T)


def test_neighbours_that_stay_together_are_one_loop():
    loops = Loops((2, 3, 1, 4), (12, 4, 4, 1), (12, 4, 4, 1)).merged()
    assert (loops.sizes, loops.to_steps, loops.from_steps) == ((24,), (1,), (1,))


def test_what_needs_more_loops_than_the_kernel_has_stays_on_the_host():
    (variant,) = transpose_p.opencl
    x = ShapedArray((2,) * 8, "float32")
    assert not variant.applies(None, x, axes=(7, 6, 5, 4, 3, 2, 1, 0))
    assert variant.applies(None, x, axes=(4, 5, 6, 7, 0, 1, 2, 3))


# --- slice and pad --------------------------------------------------------------------------------


@st.composite
def sliced(draw):
    shape = draw(array_shapes(max_dims=4, min_side=0, max_side=20))
    start = tuple(draw(st.integers(0, n)) for n in shape)
    stop = tuple(draw(st.integers(a, n)) for a, n in zip(start, shape, strict=True))
    return shape, {"start": start, "stop": stop, "strides": tuple(draw(st.integers(1, 4)) for _ in shape)}


@st.composite
def padded(draw):
    shape = draw(array_shapes(max_dims=4, min_side=0, max_side=8))
    low, high, interior = (tuple(draw(st.integers(0, 3)) for _ in shape) for _ in range(3))
    return shape, {"low": low, "high": high, "interior": interior}


def pad_reference(x, low, high, interior, value):
    """Element by element."""
    rows = zip(x.shape, low, high, interior, strict=True)
    out = np.full([a + b + n + max(0, n - 1) * i for n, a, b, i in rows], value, x.dtype)
    for index in itertools.product(*map(range, x.shape)):
        out[tuple(a + k * (i + 1) for k, a, i in zip(index, low, interior, strict=True))] = x[index]
    return out


@on_each_place
@given(case=sliced())
@example(case=((3, 30000), {"start": (1, 5), "stop": (3, 29999), "strides": (1, 1)}))  # longer than a segment
def test_slice_matches_numpy(place, case):
    shape, limits = case
    x = numbered(shape)
    (y,) = run(slice_p, x, place=place, **limits)
    np.testing.assert_array_equal(y, x[tuple(map(slice, *limits.values()))])


@on_each_place
@given(case=padded(), value=st.sampled_from((0.0, -1.5, np.inf, np.nan)))
def test_pad_matches_numpy(place, case, value):
    shape, limits = case
    x = numbered(shape)
    (y,) = run(pad_p, x, place=place, value=value, **limits)
    np.testing.assert_array_equal(y, pad_reference(x, **limits, value=value))


@on_each_place
@pytest.mark.parametrize("dtype", DTYPES)
def test_slice_and_pad_of_every_dtype(place, dtype):
    x = numbered((5, 9), dtype)
    (y,) = run(slice_p, x, place=place, start=(1, 2), stop=(5, 9), strides=(2, 3))
    np.testing.assert_array_equal(y, x[1::2, 2::3])
    (z,) = run(pad_p, x, place=place, low=(1, 0), high=(0, 2), interior=(0, 1), value=1)
    np.testing.assert_array_equal(z, pad_reference(x, (1, 0), (0, 2), (0, 1), 1))


# --- vjp rules ------------------------------------------------------------------------------------


@given(case=sliced(), seed=seeds)
def test_vjp_of_slice_matches_differences(check_vjp, case, seed):
    shape, limits = case
    check_vjp(slice_p, np.random.default_rng(seed).random(shape), seed=seed, **limits)


@given(case=padded(), seed=seeds)
def test_vjp_of_pad_matches_differences(check_vjp, case, seed):
    shape, limits = case
    check_vjp(pad_p, np.random.default_rng(seed).random(shape), seed=seed, value=1.5, **limits)


@given(case=permuted(), seed=seeds)
def test_vjp_of_transpose_matches_differences(check_vjp, case, seed):
    shape, axes = case
    check_vjp(transpose_p, np.random.default_rng(seed).random(shape), seed=seed, axes=axes)


def test_vjp_of_reshape_matches_differences(check_vjp):
    check_vjp(reshape_p, np.random.default_rng(0).random((2, 6)), shape=(3, 4))


# --- reshape and its relatives --------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "want"), [((4, 3), (4, 3)), (-1, (12,)), ((2, -1), (2, 6)), ([3, 2, 2], (3, 2, 2))])
def test_reshape_takes_one_unknown_size(shape, want):
    y = shape_ops.reshape(np.arange(12), shape)
    np.testing.assert_array_equal(y, np.arange(12).reshape(want))


def test_reshape_is_a_view_that_no_processor_runs():
    program = tracing.trace(lambda x: shape_ops.reshape(x, (6,)), ShapedArray((2, 3), "float32"))
    assert not program.eqns[0].runs
    x = np.arange(6.0)
    assert not np.shares_memory(shape_ops.reshape(x, (2, 3)), x)  # run at once, it copies


@pytest.mark.parametrize("axis", [0, 2, -1, (0, 2), (-1, 0)])
def test_expand_dims_and_squeeze_undo_each_other(axis):
    x = np.arange(6.0).reshape(2, 3)
    y = shape_ops.expand_dims(x, axis)
    assert y.shape == np.expand_dims(x, axis).shape
    assert shape_ops.squeeze(y, axis).shape == shape_ops.squeeze(y).shape == x.shape


def test_ops_that_change_nothing_record_nothing():
    x = ShapedArray((2, 3), "float32")
    ops = (
        lambda x: shape_ops.reshape(x, (2, 3)),
        lambda x: shape_ops.transpose(x, (0, 1)),
        lambda x: shape_ops.slice(x, (0, 0), (2, 3)),
        lambda x: shape_ops.pad(x, (0, 0), (0, 0)),
    )
    assert all(tracing.trace(op, x).eqns == () for op in ops)


def test_ops_fill_in_what_is_left_out():
    x = numbered((4, 5))
    np.testing.assert_array_equal(shape_ops.transpose(x), x.T)
    np.testing.assert_array_equal(shape_ops.transpose(x, (-1, 0)), x.T)
    np.testing.assert_array_equal(shape_ops.slice(x, (1, 0), (3, 5)), x[1:3])
    np.testing.assert_array_equal(shape_ops.pad(x, (1, 0), (0, 2)), np.pad(x, ((1, 0), (0, 2))))


@given(case=permuted())
def test_parts_of_a_split_transpose_make_the_whole(case):
    shape, axes = case
    x = numbered(shape)
    for split in transpose_p.split(aval_of(x), axes=axes):
        parts = [transpose_p.bind(p, axes=axes)[0] for p in np.array_split(x, 2, split.ins[0])]
        np.testing.assert_array_equal(np.concatenate(parts, split.outs[0]), x.transpose(axes))


def test_pad_splits_along_axes_without_padding_only():
    x = ShapedArray((4, 5, 6), "float32")
    rows = pad_p.split(x, low=(0, 1, 0), high=(0, 0, 0), interior=(0, 0, 2), value=0)
    assert [row.outs for row in rows] == [(0,)]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: shape_ops.reshape(x, (4, 2)),
            TypeError,
            r"reshape: the new shape must have 6 elements, got float64\[2,3\]",
        ),
        (lambda x: shape_ops.reshape(x, (4, -1)), ValueError, "reshape: 6 elements must divide evenly"),
        (
            lambda x: shape_ops.reshape(x, (-1, -1)),
            ValueError,
            "reshape: sizes must be at least 0, one of them may be -1",
        ),
        (lambda x: shape_ops.transpose(x, (0, 0)), ValueError, "transpose: axes must be different ones of 2"),
        (lambda x: shape_ops.transpose(x, (0,)), ValueError, "transpose: axes must be the 2 axes of the array"),
        (lambda x: shape_ops.slice(x, (0, 0), (2, 4)), ValueError, "slice: must have 0 <= start <= stop <= size"),
        (lambda x: shape_ops.slice(x, (0, 0), (2, 3), (1, -1)), ValueError, "slice: .* strides >= 1"),
        (
            lambda x: shape_ops.slice(x, (1,), (2,)),
            ValueError,
            "slice: must have a start, stop and stride for each axis",
        ),
        (lambda x: shape_ops.pad(x, (-1, 0), (0, 0)), ValueError, "pad: padding must not be negative, .* use slice"),
        (lambda x: shape_ops.pad(x, (1,), (0,)), ValueError, "pad: must have low, high and interior for each axis"),
        (
            lambda x: shape_ops.squeeze(x, 0),
            TypeError,
            r"squeeze: axes must have one element, got axes \(0,\) of float64\[2,3\]",
        ),
        (lambda x: shape_ops.expand_dims(x, 5), ValueError, "expand_dims: axes must be different ones of 3"),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((2, 3)))
