import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given

from lwps.core import ShapedArray, aval_of, evaluate
from lwps.ops.cross_entropy import softmax_cross_entropy, softmax_cross_entropy_p, softmax_cross_entropy_vjp_p

from .as_gpu import on_each_runner, run
from .test_softmax import ODD, float64_rows, log_reference, rows, seeds


def losses_reference(logits, labels):
    classes = logits.shape[-1]
    picked = np.take_along_axis(log_reference(logits), np.clip(labels, 0, classes - 1)[..., None], axis=-1)[..., 0]
    return np.where((labels >= 0) & (labels < classes), -picked, np.nan)


def gradient_reference(ct, logits, labels):
    classes = logits.shape[-1]
    known = (labels >= 0) & (labels < classes)
    one_hot = np.arange(classes) == labels[..., None]
    return np.where(known, ct, np.nan)[..., None] * (np.exp(log_reference(logits)) - one_hot)


def random_labels(logits, seed, beyond=2):
    """int32 labels of which some lie up to `beyond` outside of the classes."""
    rng = np.random.default_rng(seed)
    return rng.integers(-beyond, logits.shape[-1] + beyond, logits.shape[:-1]).astype(np.int32)


@on_each_runner
@given(logits=rows, seed=seeds)
@example(logits=ODD, seed=0)
def test_losses_match_the_float64_reference(runner, logits, seed):
    labels = random_labels(logits, seed)
    (losses,) = run(runner, softmax_cross_entropy_p, logits, labels)
    np.testing.assert_allclose(losses, losses_reference(logits, labels), rtol=1e-5, atol=1e-5)


@on_each_runner
@given(logits=rows, seed=seeds)
@example(logits=ODD, seed=0)
def test_gradients_of_losses_match_the_float64_reference(runner, logits, seed):
    labels = random_labels(logits, seed)
    ct = np.random.default_rng(seed).standard_normal(labels.shape, np.float32)
    (dlogits,) = run(runner, softmax_cross_entropy_vjp_p, ct, logits, labels)
    np.testing.assert_allclose(dlogits, gradient_reference(ct, logits, labels), rtol=1e-5, atol=1e-5)


@on_each_runner
@pytest.mark.parametrize("label", [-1, 3, -(2**31), 2**31 - 1])
def test_a_label_out_of_range_gives_nan_in_its_row_only_even_for_a_zero_cotangent(runner, label):
    logits, labels = np.zeros((3, 3), np.float32), np.array((0, label, 2), np.int32)
    (losses,) = run(runner, softmax_cross_entropy_p, logits, labels)
    np.testing.assert_array_equal(np.isnan(losses), (False, True, False))
    ct = np.zeros(3, np.float32)
    (dlogits,) = run(runner, softmax_cross_entropy_vjp_p, ct, logits, labels)
    np.testing.assert_array_equal(np.isnan(dlogits).all(axis=1), (False, True, False))
    np.testing.assert_array_equal(dlogits[[0, 2]], 0)


@on_each_runner
@pytest.mark.parametrize("shape", [(2, 700), (3, 64), (2, 2, 31)])
def test_long_rows_and_whole_groups(runner, shape):
    rng = np.random.default_rng(0)
    logits = rng.standard_normal(shape, np.float32) * 10
    labels, ct = random_labels(logits, 1), rng.standard_normal(shape[:-1]).astype(np.float32)
    (losses,) = run(runner, softmax_cross_entropy_p, logits, labels)
    np.testing.assert_allclose(losses, losses_reference(logits, labels), rtol=1e-5, atol=1e-5)
    (dlogits,) = run(runner, softmax_cross_entropy_vjp_p, ct, logits, labels)
    np.testing.assert_allclose(dlogits, gradient_reference(ct, logits, labels), rtol=1e-5, atol=1e-5)


@on_each_runner
@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_no_rows_pass(runner, shape):
    logits, labels = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.int32)
    assert run(runner, softmax_cross_entropy_p, logits, labels)[0].shape == shape
    ct = np.zeros(shape, np.float32)
    assert run(runner, softmax_cross_entropy_vjp_p, ct, logits, labels)[0].shape == logits.shape


@given(x=float64_rows, seed=seeds)
def test_vjp_is_the_derivative(check_vjp, x, seed):
    check_vjp(softmax_cross_entropy_p, x, random_labels(x, seed, beyond=0), seed=seed, step=1e-5)


@given(logits=rows, seed=seeds)
def test_parts_of_a_split_are_the_whole(logits, seed):
    ins = logits, random_labels(logits, seed)
    (whole,) = evaluate(softmax_cross_entropy_p, ins, {})
    for split in softmax_cross_entropy_p.split(*map(aval_of, ins)):
        parts = zip(*(np.array_split(a, 2, axis=k) for a, k in zip(ins, split.ins, strict=True)), strict=True)
        joined = np.concatenate([evaluate(softmax_cross_entropy_p, part, {})[0] for part in parts], axis=split.outs[0])
        np.testing.assert_array_equal(joined, whole)


@given(logits=rows, seed=seeds)
def test_the_gradient_may_overwrite_the_logits(logits, seed):
    ins = np.ones(logits.shape[:-1], np.float32), logits, random_labels(logits, seed)
    avals = [aval_of(a) for a in ins]
    (expected,) = evaluate(softmax_cross_entropy_vjp_p, ins, {})
    (row,) = softmax_cross_entropy_vjp_p.alias(*avals)
    copies = [a.copy() for a in ins]
    scratch = [np.full(a.shape, np.nan, a.dtype) for a in softmax_cross_entropy_vjp_p.numpy.scratch(*avals)]
    softmax_cross_entropy_vjp_p.numpy.run(copies[row.inp], *copies, *scratch)
    np.testing.assert_array_equal(copies[row.inp], expected)


def test_numpy_rules_allocate_nothing_of_size():
    x, labels = np.zeros((500, 1000), np.float32), np.zeros(500, np.int32)
    cases = (
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
