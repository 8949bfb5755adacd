import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lwps import testing
from lwps.core import Device, ShapedArray, aval_of, evaluate
from lwps.ops.softmax import (
    log_softmax,
    log_softmax_p,
    log_softmax_vjp_p,
    softmax_cross_entropy,
    softmax_cross_entropy_p,
    softmax_cross_entropy_vjp_p,
)
from lwps.testing import processors

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


@pytest.fixture
def as_gpu(monkeypatch):
    """Runs a primitive's kernels for GPUs, in groups of up to 33, on every OpenCL device."""
    described = {
        name: (*found[:3], Device("gpu", max_work_group_size=33)) for name, found in processors._opencl().items()
    }
    monkeypatch.setattr(processors, "_opencl", lambda: described)


def reference(x):
    """In float64; NaN for a row without a finite maximum."""
    x = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        shifted = x - x.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def losses_reference(logits, labels):
    classes = logits.shape[-1]
    picked = np.take_along_axis(reference(logits), np.clip(labels, 0, classes - 1)[..., None], axis=-1)[..., 0]
    return np.where((labels >= 0) & (labels < classes), -picked, np.nan)


def gradient_reference(ct, logits, labels):
    classes = logits.shape[-1]
    known = (labels >= 0) & (labels < classes)
    one_hot = np.arange(classes) == labels[..., None]
    return np.where(known, ct, np.nan)[..., None] * (np.exp(reference(logits)) - one_hot)


def random_labels(logits, seed, beyond=2):
    """int32 labels of which some lie up to `beyond` outside of the classes."""
    rng = np.random.default_rng(seed)
    return rng.integers(-beyond, logits.shape[-1] + beyond, logits.shape[:-1]).astype(np.int32)


def directional(f, x, direction, step=1e-5):
    """The derivative of `f` at `x` along `direction`, by central differences in float64."""
    return (f(x + step * direction) - f(x - step * direction)) / (2 * step)


@on_each_processor
@given(x=rows)
@example(x=np.full((2, 3), -np.inf, np.float32))
@example(x=np.array([[1, np.nan, 2], [0, 0, np.inf], [0, 1, 2]], np.float32))
def test_log_softmax_matches_the_float64_reference(processor, x):
    (y,) = testing.run_primitive(log_softmax_p, x, processor=processor)
    np.testing.assert_allclose(y, reference(x), rtol=1e-5, atol=1e-5)


@on_each_processor
@given(y=rows.map(lambda x: np.clip(x, -100, 1)), seed=seeds)
def test_log_softmax_vjp_matches_the_float64_reference(processor, y, seed):
    ct = np.random.default_rng(seed).standard_normal(y.shape, np.float32)
    (dx,) = testing.run_primitive(log_softmax_vjp_p, ct, y, processor=processor)
    expected = ct - np.exp(y.astype(np.float64)) * ct.sum(axis=-1, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-4)


@on_each_processor
@given(logits=rows, seed=seeds)
@example(logits=np.array([[1, np.nan, 2], [0, 0, np.inf], [0, 1, 2]], np.float32), seed=0)
def test_losses_match_the_float64_reference(processor, logits, seed):
    labels = random_labels(logits, seed)
    (losses,) = testing.run_primitive(softmax_cross_entropy_p, logits, labels, processor=processor)
    np.testing.assert_allclose(losses, losses_reference(logits, labels), rtol=1e-5, atol=1e-5)


@on_each_processor
@given(logits=rows, seed=seeds)
@example(logits=np.array([[1, np.nan, 2], [0, 0, np.inf], [0, 1, 2]], np.float32), seed=0)
def test_gradients_of_losses_match_the_float64_reference(processor, logits, seed):
    labels = random_labels(logits, seed)
    ct = np.random.default_rng(seed).standard_normal(labels.shape, np.float32)
    (dlogits,) = testing.run_primitive(softmax_cross_entropy_vjp_p, ct, logits, labels, processor=processor)
    np.testing.assert_allclose(dlogits, gradient_reference(ct, logits, labels), rtol=1e-5, atol=1e-5)


@on_each_processor
@pytest.mark.parametrize("label", [-1, 3, -(2**31), 2**31 - 1])
def test_a_label_out_of_range_gives_nan_in_its_row_only_even_for_a_zero_cotangent(processor, label):
    logits, labels = np.zeros((3, 3), np.float32), np.array((0, label, 2), np.int32)
    (losses,) = testing.run_primitive(softmax_cross_entropy_p, logits, labels, processor=processor)
    np.testing.assert_array_equal(np.isnan(losses), (False, True, False))
    ct = np.zeros(3, np.float32)
    (dlogits,) = testing.run_primitive(softmax_cross_entropy_vjp_p, ct, logits, labels, processor=processor)
    np.testing.assert_array_equal(np.isnan(dlogits).all(axis=1), (False, True, False))
    np.testing.assert_array_equal(dlogits[[0, 2]], 0)


@on_each_processor
@pytest.mark.parametrize("shape", [(1,), (5, 3), (2, 700), (3, 64), (2, 2, 31)])
def test_kernels_for_gpus_compute_the_same(as_gpu, processor, shape):
    rng = np.random.default_rng(0)
    x, ct = rng.standard_normal((2, *shape), np.float32) * 10
    labels, losses_ct = random_labels(x, 1), rng.standard_normal(shape[:-1]).astype(np.float32)
    cases = (
        (log_softmax_p, x),
        (log_softmax_vjp_p, ct, log_softmax(x)),
        (softmax_cross_entropy_p, x, labels),
        (softmax_cross_entropy_vjp_p, losses_ct, x, labels),
    )
    for primitive, *ins in cases:
        (got,) = testing.run_primitive(primitive, *ins, processor=processor)
        np.testing.assert_allclose(got, evaluate(primitive, ins, {})[0], rtol=1e-5, atol=1e-5)


@on_each_processor
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,)])
def test_empty_arrays_pass(processor, shape):
    x = np.zeros(shape, np.float32)
    for primitive, ins in ((log_softmax_p, (x,)), (log_softmax_vjp_p, (x, x))):
        (y,) = testing.run_primitive(primitive, *ins, processor=processor)
        assert y.shape == shape
    if shape[-1]:
        (losses,) = testing.run_primitive(
            softmax_cross_entropy_p, x, np.zeros(shape[:-1], np.int32), processor=processor
        )
        assert losses.shape == shape[:-1]


float64_rows = arrays(np.float64, array_shapes(max_dims=3, max_side=9), elements=st.floats(-30, 30))


@given(x=float64_rows, seed=seeds)
def test_log_softmax_vjp_is_the_derivative(x, seed):
    rng = np.random.default_rng(seed)
    ct, direction = rng.standard_normal((2, *x.shape))
    (dx,) = log_softmax_p.vjp((ct,), (x,), (log_softmax(x),), (True,))
    slope = directional(lambda x: (ct * log_softmax(x)).sum(), x, direction)
    np.testing.assert_allclose((dx * direction).sum(), slope, rtol=1e-5, atol=1e-6)


@given(x=float64_rows, seed=seeds)
def test_softmax_cross_entropy_vjp_is_the_derivative(x, seed):
    rng = np.random.default_rng(seed)
    direction, labels = rng.standard_normal(x.shape), random_labels(x, seed, beyond=0)
    ct = np.asarray(rng.standard_normal(labels.shape))
    dx, dlabels = softmax_cross_entropy_p.vjp((ct,), (x, labels), (None,), (True, False))
    slope = directional(lambda x: (ct * softmax_cross_entropy(x, labels)).sum(), x, direction)
    np.testing.assert_allclose((dx * direction).sum(), slope, rtol=1e-5, atol=1e-6)
    assert dlabels is None


@given(x=float64_rows)
def test_numpy_rules_keep_float64(x):
    y = log_softmax(x)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, reference(x), rtol=1e-12, atol=1e-12)


@given(x=rows, seed=seeds)
def test_parts_of_a_split_are_the_whole(x, seed):
    labels = random_labels(x, seed)
    cases = ((log_softmax_p, (x,)), (softmax_cross_entropy_p, (x, labels)))
    for primitive, ins in cases:
        (whole,) = evaluate(primitive, ins, {})
        for split in primitive.split(*map(aval_of, ins)):
            parts = zip(*(np.array_split(a, 2, axis=k) for a, k in zip(ins, split.ins, strict=True)), strict=True)
            joined = np.concatenate([evaluate(primitive, part, {})[0] for part in parts], axis=split.outs[0])
            np.testing.assert_array_equal(joined, whole)


@given(x=rows, seed=seeds)
def test_results_may_overwrite_what_the_alias_rules_allow(x, seed):
    labels, ct = random_labels(x, seed), np.ones(x.shape[:-1], np.float32)
    cases = (
        (log_softmax_p, (x,)),
        (log_softmax_vjp_p, (x, np.minimum(x, 0))),
        (softmax_cross_entropy_vjp_p, (ct, x, labels)),
    )
    for primitive, ins in cases:
        avals = [aval_of(a) for a in ins]
        (expected,) = evaluate(primitive, ins, {})
        for row in primitive.alias(*avals):
            copies = [a.copy() for a in ins]
            scratch = [np.full(a.shape, np.nan, a.dtype) for a in primitive.numpy.scratch(*avals)]
            primitive.numpy.run(copies[row.inp], *copies, *scratch)
            np.testing.assert_array_equal(copies[row.inp], expected)


def test_numpy_rules_allocate_nothing_of_size():
    x, labels = np.zeros((500, 1000), np.float32), np.zeros(500, np.int32)
    cases = (
        (log_softmax_p, (x,)),
        (log_softmax_vjp_p, (x, x)),
        (softmax_cross_entropy_p, (x, labels)),
        (softmax_cross_entropy_vjp_p, (np.ones(500, np.float32), x, labels)),
    )
    for primitive, ins in cases:
        avals = [aval_of(a) for a in ins]
        arrays = [np.empty(a.shape, a.dtype) for a in (*primitive.aval(*avals), *primitive.numpy.scratch(*avals))]
        tracemalloc.start()
        primitive.numpy.run(arrays[0], *ins, *arrays[1:])
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 20, primitive
        tracemalloc.stop()


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [np.float32(0), np.zeros(3, np.int32)])
def test_log_softmax_refuses_scalars_and_integers(x):
    with pytest.raises(TypeError, match=r"log_softmax: x must be a float array with at least one axis, got"):
        log_softmax(x)


def test_log_softmax_vjp_refuses_another_cotangent():
    with pytest.raises(TypeError, match=r"log_softmax_vjp: ct must match y, got float32\[2\] and float32\[3\]"):
        log_softmax_vjp_p.aval(ShapedArray((2,), "float32"), ShapedArray((3,), "float32"))


@pytest.mark.parametrize("logits", [np.float32(0), np.zeros((2, 3), np.int32), np.zeros((2, 0), np.float32)])
def test_logits_that_are_no_rows_of_floats_are_refused(logits):
    with pytest.raises(
        TypeError, match=r"softmax_cross_entropy: logits must be floats \[..., K\] with K at least 1, got"
    ):
        softmax_cross_entropy(logits, np.zeros(2, np.int32))


@pytest.mark.parametrize("labels", [np.zeros(2, np.float32), np.zeros((2, 3), np.int32), np.zeros(3, np.int32)])
def test_labels_that_are_no_class_numbers_are_refused(labels):
    match = r"softmax_cross_entropy: labels must be class numbers int32\[2\], got .* use astype, or argmax"
    with pytest.raises(TypeError, match=match):
        softmax_cross_entropy(np.zeros((2, 3), np.float32), labels)


def test_cross_entropy_vjp_refuses_another_cotangent():
    ct, logits, labels = ShapedArray((3,), "float32"), ShapedArray((2, 3), "float32"), ShapedArray((2,), "int32")
    with pytest.raises(
        TypeError, match=r"softmax_cross_entropy_vjp: ct must be float32\[2\] as the losses are, got float32\[3\]"
    ):
        softmax_cross_entropy_vjp_p.aval(ct, logits, labels)
