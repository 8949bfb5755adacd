"""Losses against float64 NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lwps
from lwps import optim


@given(rows=st.integers(1, 6), classes=st.integers(1, 5), seed=st.integers(0, 99))
def test_cross_entropy_is_the_log_of_the_right_share(rows, classes, seed):
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((rows, classes)) * 40).astype(np.float32)  # shares below float32's smallest number
    labels = rng.integers(0, classes, rows, np.int32)
    x = logits.astype(np.float64)
    want = np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1)) + x.max(-1) - x[np.arange(rows), labels]
    got = optim.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@given(rows=st.integers(1, 6), seed=st.integers(0, 99))
def test_mean_squared_error_is_the_mean_of_squares(rows, seed):
    x, y = np.random.default_rng(seed).standard_normal((2, rows, 3)).astype(np.float32)
    got = optim.losses.mean_squared_error(x, y)
    assert got.shape == ()
    np.testing.assert_allclose(got, np.mean((x.astype(np.float64) - y) ** 2), rtol=1e-5)


def test_shapes_that_would_only_broadcast_are_refused():
    with pytest.raises(
        TypeError, match=r"mean_squared_error: .* one shape, got float32\[4,1\] and float32\[4\]; reshape one"
    ):
        optim.losses.mean_squared_error(np.zeros((4, 1), np.float32), np.zeros(4, np.float32))


def weights_of(logits, labels, smoothing):
    """One-hot rows of which a part is shared out."""
    classes = logits.shape[-1]
    return (np.arange(classes) == labels[:, None]) * (1 - smoothing) + smoothing / classes


@given(
    rows=st.integers(1, 6),
    classes=st.integers(1, 5),
    smoothing=st.sampled_from((0.0, 0.1, 1.0)),
    seed=st.integers(0, 99),
)
def test_smoothed_labels_are_weights_of_classes(rows, classes, smoothing, seed):
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((rows, classes)) * 10).astype(np.float32)
    labels = rng.integers(0, classes, rows, np.int32)
    x, weights = logits.astype(np.float64), weights_of(logits, labels, smoothing)
    logs = x - x.max(-1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(-1, keepdims=True))
    want = -(weights * logs).sum(-1)
    got = optim.losses.softmax_cross_entropy_with_integer_labels(logits, labels, label_smoothing=smoothing)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    one_hot = weights_of(logits, labels, 0).astype(np.float32)
    soft = optim.losses.smooth_labels(one_hot, smoothing)
    np.testing.assert_allclose(soft, weights, rtol=1e-6)
    np.testing.assert_allclose(optim.losses.softmax_cross_entropy(logits, soft), want, rtol=1e-5, atol=1e-5)


def test_a_class_of_no_weight_may_be_impossible_and_the_gradient_is_finite():
    logits, labels = np.float32([[0, -np.inf, 1], [-np.inf, 0, 0]]), np.float32([[0.5, 0, 0.5], [0, 1, 0]])
    loss, gradient = lwps.value_and_grad(lambda x: optim.losses.softmax_cross_entropy(x, labels).sum())(logits)
    assert np.isfinite(loss)
    share = np.exp(1) / (1 + np.exp(1))
    np.testing.assert_allclose(gradient, [[0.5 - share, 0, share - 0.5], [0, -0.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize("labels", [np.zeros(2, np.int32), np.zeros((2, 3), np.int32), np.zeros(3, np.float32)])
def test_labels_that_are_no_weights_are_refused(labels):
    match = r"softmax_cross_entropy: labels must be float weights \[2, 3\] as logits are, got .*_with_integer_labels"
    with pytest.raises(TypeError, match=match):
        optim.losses.softmax_cross_entropy(np.zeros((2, 3), np.float32), labels)


def test_class_numbers_cannot_be_smoothed_as_weights():
    with pytest.raises(TypeError, match=r"smooth_labels: labels must be float weights \[..., K\], got int32\[2\]"):
        optim.losses.smooth_labels(np.zeros(2, np.int32), 0.1)


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_a_smoothing_that_is_no_share_is_refused(smoothing):
    with pytest.raises(ValueError, match=r"smooth_labels: smoothing must be from 0 to 1, got"):
        optim.losses.smooth_labels(np.ones((1, 2), np.float32), smoothing)
    with pytest.raises(ValueError, match=r"softmax_cross_entropy_with_integer_labels: smoothing must be from 0 to 1"):
        optim.losses.softmax_cross_entropy_with_integer_labels(np.ones((1, 2)), np.zeros(1, np.int32), smoothing)
