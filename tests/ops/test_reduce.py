"""Sums, extremes and their places on every processor against NumPy in float64."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from lwps import tracing
from lwps.core import Device, ShapedArray, aval_of
from lwps.ops import reduce
from lwps.ops.reduce import CHUNK, argmax_p, argmin_p, reduce_max_p, reduce_min_p, reduce_sum_p
from lwps.runtime.kernels import recipe
from tests.places import on_each_device, on_each_place, on_each_processor, run

seeds = st.integers(0, 2**32 - 1)
shapes = array_shapes(max_dims=4, max_side=23)
# [outer, n, inner]: rows shorter than a vector, longer than 32, longer than a chunk; columns fewer than a vector,
# with a rest, more than 64; many rows for one work-item; and chunks of columns
FORMS = [
    (1, 5, 1),
    (700, 3, 1),
    (3, 77, 1),
    (2, CHUNK + 11, 1),
    (1, 3 * CHUNK, 1),
    (5, 7, 3),
    (2, 300, 64),
    (1, 700, 100),
    (3, 2, 75),
    (1, 200, 200),
    (2, 65, 9000),
]


def values(seed, shape, dtype="float32"):
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.uniform(-1, 2, shape).astype(dtype)
    low, high = {"bool": (0, 2), "uint8": (0, 256), "int32": (-1000, 1000), "uint32": (0, 2**20)}[dtype]
    return rng.integers(low, high, shape).astype(dtype)


@st.composite
def runs_of_axes(draw):
    shape = draw(shapes)
    first = draw(st.integers(0, len(shape) - 1))
    return shape, tuple(range(first, draw(st.integers(first, len(shape) - 1)) + 1))


# --- values ---------------------------------------------------------------------------------------


@on_each_place
@given(case=runs_of_axes(), seed=seeds)
def test_sum_and_max_of_any_run_of_axes(place, case, seed):
    shape, axes = case
    x = values(seed, shape)
    (total,), (top,) = run(reduce_sum_p, x, place=place, axes=axes), run(reduce_max_p, x, place=place, axes=axes)
    np.testing.assert_allclose(total, x.astype(np.float64).sum(axes), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(top, x.max(axes))
    np.testing.assert_array_equal(run(reduce_min_p, x, place=place, axes=axes)[0], x.min(axes))


@on_each_place
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_way_to_cut_the_work(place, form):
    x = values(0, form)
    (total,), (top,) = run(reduce_sum_p, x, place=place, axes=(1,)), run(reduce_max_p, x, place=place, axes=(1,))
    (where,), (low,) = run(argmax_p, x, place=place, axis=1), run(reduce_min_p, x, place=place, axes=(1,))
    # 2e-6: NumPy's own rule, one row after the other within a chunk, is at 1e-6
    np.testing.assert_allclose(total, x.astype(np.float64).sum(1), rtol=2e-6, atol=2e-6 * form[1])
    np.testing.assert_array_equal(top, x.max(1))
    np.testing.assert_array_equal(where, x.argmax(1))
    np.testing.assert_array_equal(low, x.min(1))
    np.testing.assert_array_equal(run(argmin_p, x, place=place, axis=1)[0], x.argmin(1))


@on_each_processor
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "uint32"])
def test_integers_are_exact(processor, dtype):
    for form in ((3, 77, 1), (2, CHUNK + 11, 1), (2, 300, 20)):
        x = values(1, form, dtype)
        (total,) = run(reduce_sum_p, x, place=processor, axes=(1,))
        (top,) = run(reduce_max_p, x, place=processor, axes=(1,))
        assert total.dtype == {"bool": "int32", "uint8": "int32"}.get(dtype, dtype)
        assert top.dtype == dtype
        np.testing.assert_array_equal(total, x.sum(1, dtype=total.dtype))
        np.testing.assert_array_equal(top, x.max(1))
        np.testing.assert_array_equal(run(argmax_p, x, place=processor, axis=1)[0], x.argmax(1))
        np.testing.assert_array_equal(run(reduce_min_p, x, place=processor, axes=(1,))[0], x.min(1), strict=True)
        np.testing.assert_array_equal(run(argmin_p, x, place=processor, axis=1)[0], x.argmin(1))


@on_each_place
@given(n=st.integers(1, 90), inner=st.sampled_from((1, 1, 3, 8, 70)), seed=seeds, where=st.integers(0, 89))
@example(n=40, inner=1, seed=0, where=39)  # behind the last whole vector
def test_a_nan_anywhere_comes_out_and_its_place_is_the_first(place, n, inner, seed, where):
    x = values(seed, (2, n, inner))
    x[1, where % n :: 3] = np.nan
    x[0, 0] = np.inf
    (top,), (at,) = run(reduce_max_p, x, place=place, axes=(1,)), run(argmax_p, x, place=place, axis=1)
    np.testing.assert_array_equal(top, np.maximum.reduce(x, axis=1))
    np.testing.assert_array_equal(at, np.argmax(x, axis=1))
    (low,), (at,) = run(reduce_min_p, -x, place=place, axes=(1,)), run(argmin_p, -x, place=place, axis=1)
    np.testing.assert_array_equal(low, np.minimum.reduce(-x, axis=1))
    np.testing.assert_array_equal(at, np.argmin(-x, axis=1))


@on_each_place
@pytest.mark.parametrize("n", [50, 2 * CHUNK + 5])
def test_in_a_tie_the_first_place_counts(place, n):
    x = np.zeros((1, n), np.float32)
    x[0, [7, 20, n - 1]] = 1
    assert run(argmax_p, x, place=place, axis=1)[0].tolist() == [7]
    assert run(argmax_p, np.zeros_like(x), place=place, axis=1)[0].tolist() == [0]
    assert run(argmax_p, np.full_like(x, -np.inf), place=place, axis=1)[0].tolist() == [0]
    assert run(argmin_p, -x, place=place, axis=1)[0].tolist() == [7]
    assert run(argmin_p, np.full_like(x, np.inf), place=place, axis=1)[0].tolist() == [0]


@on_each_place
def test_nothing_adds_up_to_zero_and_nothing_is_left_of_nothing(place):
    assert run(reduce_sum_p, np.ones((2, 0, 3), np.float32), place=place, axes=(1,))[0].tolist() == [[0, 0, 0]] * 2
    assert run(reduce_sum_p, np.ones((0, 4), np.uint8), place=place, axes=(1,))[0].shape == (0,)
    assert run(reduce_max_p, np.ones((0, 4), np.float32), place=place, axes=(1,))[0].shape == (0,)
    assert run(argmax_p, np.ones((0, 4), np.float32), place=place, axis=1)[0].shape == (0,)


@on_each_place
def test_a_sum_of_many_rows_keeps_its_digits(place):
    x = np.full((200_000, 2), 0.1, np.float32)  # one after the other, 200,000 of them drift by 1e-3
    (total,) = run(reduce_sum_p, x, place=place, axes=(0,))
    np.testing.assert_allclose(total, x.astype(np.float64).sum(0), rtol=1e-5)


@on_each_device
@pytest.mark.parametrize("form", [(2, CHUNK + 11, 1), (1, 700, 100)], ids=str)
def test_the_same_sum_has_the_same_bits(place, form):
    x = values(3, form)
    first, again = (run(reduce_sum_p, x, place=place, axes=(1,))[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_chunks_do_not_depend_on_the_device():
    x = ShapedArray((100_000, 64), "float32")
    (variant,) = reduce_sum_p.opencl
    scratch = variant.scratch(x, axes=(0,))
    assert scratch == reduce_sum_p.numpy.scratch(x, axes=(0,)) == (ShapedArray((1, 391, 64), "float32"),)


@pytest.mark.parametrize("limit", [1, 32, 100, 1024])
def test_groups_are_a_power_of_two_and_never_above_the_limit(limit):
    x = np.ones((3, 5000), np.float32)
    device = Device("gpu", max_work_group_size=limit)
    found = recipe(device, reduce_sum_p, [aval_of(x)], {"axes": (1,)})
    for launch in found.launches:
        (local,) = launch.local_size
        assert local <= limit
        assert local & (local - 1) == 0


@on_each_device
@pytest.mark.parametrize("group", [1, 32])
def test_small_groups_add_the_same(place, group):
    x = values(5, (3, 5000))
    (total,) = run(reduce_sum_p, x, place=place, group=group, axes=(1,))
    np.testing.assert_allclose(total, x.astype(np.float64).sum(1), rtol=1e-5)


# --- ops ------------------------------------------------------------------------------------------


@st.composite
def any_axes(draw):
    shape = draw(shapes)
    axes = draw(st.none() | st.sets(st.integers(0, len(shape) - 1)).map(tuple))
    signed = axes if axes is None else tuple(a - len(shape) if draw(st.booleans()) else a for a in axes)
    return shape, signed


@given(case=any_axes(), keepdims=st.booleans(), seed=seeds)
def test_ops_take_axes_as_numpy_does(case, keepdims, seed):
    shape, axes = case
    x = values(seed, shape).astype(np.float64)
    for op, reference in ((reduce.sum, np.sum), (reduce.mean, np.mean), (reduce.max, np.max), (reduce.min, np.min)):
        y = op(x, axes, keepdims)
        want = reference(x, axis=axes, keepdims=keepdims)
        assert y.shape == np.shape(want)
        np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-12)


def test_axes_apart_are_several_reductions_and_neighbours_one():
    program = tracing.trace(lambda x: reduce.sum(x, (0, 1, 3)), ShapedArray((2, 3, 4, 5), "float32"))
    assert [eqn.params["axes"] for eqn in program.eqns] == [(3,), (0, 1)]


def test_dtypes_of_the_ops():
    flags = np.array([True, True, False])
    assert (reduce.sum(flags).dtype, reduce.sum(flags).item()) == (np.int32, 2)
    assert reduce.sum(np.bool_(True)).dtype == np.int32
    assert (reduce.mean(flags).dtype, reduce.mean(flags).item()) == (np.float32, pytest.approx(2 / 3))
    assert reduce.mean(np.array([1, 2], np.uint8)).item() == 1.5
    assert reduce.max(np.array([1, 2], np.uint8)).dtype == np.uint8
    assert reduce.argmax(np.array([[1, 5, 2]]), -1).tolist() == [1]
    assert reduce.argmax(np.array([[1, 5], [2, 0]])).tolist() == 1
    assert reduce.argmin(np.array([[1, 5], [2, 0]]), keepdims=True).tolist() == [[3]]
    assert reduce.argmin(np.array([[1, 5], [2, 0]]), 0, keepdims=True).tolist() == [[0, 1]]
    assert reduce.min(np.array([-(2**31), 2**31 - 1], np.int32)).item() == -(2**31)
    assert reduce.sum(3).item() == 3


# --- vjp rules ------------------------------------------------------------------------------------


@given(case=runs_of_axes(), seed=seeds)
def test_vjp_of_sum_and_max_match_differences(check_vjp, case, seed):
    shape, axes = case
    rng = np.random.default_rng(seed)
    x = rng.permutation(int(np.prod(shape))).reshape(shape) / 7  # no two alike: a step does not change who is largest
    check_vjp(reduce_sum_p, x, seed=seed, axes=axes)
    check_vjp(reduce_max_p, x, seed=seed, axes=axes)
    check_vjp(reduce_min_p, x, seed=seed, axes=axes)


def test_in_a_tie_the_cotangent_of_max_goes_to_the_first_in_order():
    x = np.zeros((2, 3))
    x[1, 1] = x[1, 2] = x[0, 2] = 5
    (ct,) = reduce_max_p.vjp([np.float64(2)], (x,), (None,), (True,), axes=(0, 1))
    assert ct.tolist() == [[0, 0, 2], [0, 0, 0]]
    (ct,) = reduce_min_p.vjp([np.float64(2)], (-x,), (None,), (True,), axes=(0, 1))
    assert ct.tolist() == [[0, 0, 2], [0, 0, 0]]


def test_integers_get_no_cotangent():
    x = np.ones((2, 3), np.int32)
    assert reduce_sum_p.vjp([None], (x,), (None,), (False,), axes=(0,)) == (None,)
    assert reduce_max_p.vjp([None], (x,), (None,), (False,), axes=(0,)) == (None,)
    assert argmax_p.vjp([None], (x,), (None,), (True,), axis=0) == (None,)


@given(case=runs_of_axes(), seed=seeds)
def test_parts_of_a_split_make_the_whole(case, seed):
    shape, axes = case
    x = values(seed, shape)
    (whole,) = reduce_max_p.bind(x, axes=axes)
    for split in reduce_max_p.split(aval_of(x), axes=axes):
        parts = [reduce_max_p.bind(p, axes=axes)[0] for p in np.array_split(x, 2, split.ins[0]) if p.size]
        np.testing.assert_array_equal(np.concatenate(parts, split.outs[0]), whole)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: reduce.sum(x, 2), ValueError, "sum: axes must be different ones of 2, got 2"),
        (lambda x: reduce.max(x, (0, -2)), ValueError, r"max: axes must be different ones of 2, got \(0, -2\)"),
        (lambda x: reduce_sum_p.bind(x, axes=(1, 0)), ValueError, "reduce_sum: axes must be neighbours among 0 to 1"),
        (lambda x: reduce_sum_p.bind(x, axes=()), ValueError, "reduce_sum: axes must be neighbours"),
        (
            lambda x: reduce.max(x[:0], 0),
            TypeError,
            r"reduce_max: there must be at least one element .* float64\[0,3\]",
        ),
        (lambda x: reduce.min(x[:0], 0), TypeError, "reduce_min: there must be at least one element"),
        (lambda x: reduce.argmin(x[:0]), TypeError, "argmin: there must be at least one element"),
        (lambda x: reduce.argmax(x[:0], 0), TypeError, "argmax: there must be at least one element"),
        (lambda x: reduce.argmax(x, 5), ValueError, "argmax: axes must be different ones of 2"),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((2, 3)))
