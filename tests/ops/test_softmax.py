import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lwps import testing
from lwps.core import ShapedArray, aval_of, evaluate
from lwps.ops.softmax import log_softmax, log_softmax_p, log_softmax_vjp_p, softmax, softmax_p, softmax_vjp_p

from .as_gpu import on_each_runner, run

on_each_processor = pytest.mark.parametrize("processor", testing.PROCESSORS)
seeds = st.integers(0, 2**32 - 1)
# 150: longer than a work-group of 64, and 18 vectors of eight with a rest
shapes = st.builds(lambda outer, k: (*outer, k), array_shapes(min_dims=0, max_dims=2, max_side=5), st.integers(1, 150))
rows = arrays(
    np.float32,
    shapes,
    # 100: float32 exp overflows at 89; -inf: a class that is masked out
    elements=st.one_of(st.floats(-100, 100, width=32), st.sampled_from((-np.inf, -1e30, 1e30))),
    fill=st.floats(-100, 100, width=32),
)
ODD = np.array([[1, np.nan, 2], [0, 0, np.inf], [0, 1, 2]], np.float32)
BOTH = (softmax, softmax_p, softmax_vjp_p), (log_softmax, log_softmax_p, log_softmax_vjp_p)
of_both = pytest.mark.parametrize(("op", "forward", "backward"), BOTH, ids=("softmax", "log_softmax"))


def log_reference(x):
    """In float64; NaN for a row without a finite maximum."""
    x = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        shifted = x - x.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def reference(op, x):
    return log_reference(x) if op is log_softmax else np.exp(log_reference(x))


def vjp_reference(op, ct, y):
    ct, y = ct.astype(np.float64), y.astype(np.float64)
    if op is log_softmax:
        return ct - np.exp(y) * ct.sum(axis=-1, keepdims=True)
    return y * (ct - (ct * y).sum(axis=-1, keepdims=True))


@on_each_runner
@of_both
@given(x=rows)
@example(x=np.full((2, 3), -np.inf, np.float32))
@example(x=ODD)
def test_matches_the_float64_reference(runner, op, forward, backward, x):
    (y,) = run(runner, forward, x)
    np.testing.assert_allclose(y, reference(op, x), rtol=1e-5, atol=1e-5)


@on_each_runner
@of_both
@given(y=rows.map(lambda x: np.clip(x, -100, 1)), seed=seeds)
def test_vjp_matches_the_float64_reference(runner, op, forward, backward, y, seed):
    ct = np.random.default_rng(seed).standard_normal(y.shape, np.float32)
    if op is softmax:
        y = softmax(y)
    (dx,) = run(runner, backward, ct, y)
    np.testing.assert_allclose(dx, vjp_reference(op, ct, y), rtol=1e-5, atol=1e-4)


@on_each_runner
@of_both
@pytest.mark.parametrize("shape", [(2, 700), (3, 64), (2, 2, 31)])
def test_long_rows_and_whole_groups(runner, op, forward, backward, shape):
    x, ct = np.random.default_rng(0).standard_normal((2, *shape), np.float32) * 10
    (y,) = run(runner, forward, x)
    np.testing.assert_allclose(y, reference(op, x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(run(runner, backward, ct, y)[0], vjp_reference(op, ct, y), rtol=1e-5, atol=1e-4)


@on_each_runner
@of_both
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,)])
def test_empty_arrays_pass(runner, op, forward, backward, shape):
    x = np.zeros(shape, np.float32)
    for primitive, ins in ((forward, (x,)), (backward, (x, x))):
        (y,) = run(runner, primitive, *ins)
        assert y.shape == shape


@of_both
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_any_axis(op, forward, backward, axis):
    x = np.random.default_rng(0).standard_normal((3, 4, 5), np.float32)
    want = np.moveaxis(reference(op, np.moveaxis(x, axis, -1)), -1, axis)
    np.testing.assert_allclose(op(x, axis), want, rtol=1e-5, atol=1e-6)


float64_rows = arrays(np.float64, array_shapes(max_dims=3, max_side=9), elements=st.floats(-30, 30))


@of_both
@given(x=float64_rows, seed=seeds)
def test_vjp_is_the_derivative(check_vjp, op, forward, backward, x, seed):
    check_vjp(forward, x, seed=seed, step=1e-5)


@of_both
@given(x=float64_rows)
def test_numpy_rules_keep_float64(op, forward, backward, x):
    y = op(x)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, reference(op, x), rtol=1e-12, atol=1e-12)


@of_both
@given(x=rows)
def test_parts_of_a_split_are_the_whole(op, forward, backward, x):
    for primitive, ins in ((forward, (x,)), (backward, (x, np.minimum(x, 0)))):
        (whole,) = evaluate(primitive, ins, {})
        for split in primitive.split(*map(aval_of, ins)):
            parts = zip(*(np.array_split(a, 2, axis=k) for a, k in zip(ins, split.ins, strict=True)), strict=True)
            joined = np.concatenate([evaluate(primitive, part, {})[0] for part in parts], axis=split.outs[0])
            np.testing.assert_array_equal(joined, whole)


@of_both
@given(x=rows)
def test_results_may_overwrite_what_the_alias_rules_allow(op, forward, backward, x):
    for primitive, ins in ((forward, (x,)), (backward, (x, np.minimum(x, 0)))):
        avals = [aval_of(a) for a in ins]
        (expected,) = evaluate(primitive, ins, {})
        for row in primitive.alias(*avals):
            copies = [a.copy() for a in ins]
            scratch = [np.full(a.shape, np.nan, a.dtype) for a in primitive.numpy.scratch(*avals)]
            primitive.numpy.run(copies[row.inp], *copies, *scratch)
            np.testing.assert_array_equal(copies[row.inp], expected)


@of_both
def test_numpy_rules_allocate_nothing_of_size(op, forward, backward):
    x = np.zeros((500, 1000), np.float32)
    for primitive, ins in ((forward, (x,)), (backward, (x, x))):
        avals = [aval_of(a) for a in ins]
        arrays = [np.empty(a.shape, a.dtype) for a in (*primitive.aval(*avals), *primitive.numpy.scratch(*avals))]
        tracemalloc.start()
        primitive.numpy.run(arrays[0], *ins, *arrays[1:])
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 20, primitive
        tracemalloc.stop()


# --- refusals ---------------------------------------------------------------------------------------


@of_both
@pytest.mark.parametrize("x", [np.float32(0), np.zeros(3, np.int32)])
def test_scalars_and_integers_are_refused(op, forward, backward, x):
    with pytest.raises(TypeError, match=rf"^{forward.name}: x must be a float array with at least one axis, got"):
        op(x)


@of_both
def test_an_axis_that_is_not_there_is_refused(op, forward, backward):
    with pytest.raises(ValueError, match=rf"^{forward.name}: axes must be different ones of 2, got \(2,\)"):
        op(np.zeros((2, 3), np.float32), axis=2)


@of_both
def test_another_cotangent_is_refused(op, forward, backward):
    with pytest.raises(TypeError, match=rf"^{backward.name}: ct must match y, got float32\[2\] and float32\[3\]"):
        backward.aval(ShapedArray((2,), "float32"), ShapedArray((3,), "float32"))
