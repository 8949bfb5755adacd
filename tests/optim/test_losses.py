"""Losses against float64 NumPy."""

import numpy as np
import pytest
from hypothesis import assume, given
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


# --- losses of numbers, of truths, of directions ------------------------------------------------------


def softplus(x):
    return np.logaddexp(0, x)


def huber(x, y):
    e = np.abs(x - y)
    return np.where(e <= 1.5, e * e / 2, 1.5 * (e - 0.75))


def cosine(x, y):
    x, y = (v / np.abs(v).max(-1, keepdims=True) for v in (x, y))
    return (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))


def kl(logs, shares):
    terms = shares * (np.log(np.where(shares == 0, 1, shares)) - logs)
    return np.where(shares == 0, 0, terms).sum(-1)


# name -> (loss, its formula in float64, how targets are made of normals)
LOSSES = {
    "squared_error": (optim.losses.squared_error, lambda x, y: (x - y) ** 2, lambda z: z),
    "l2_loss": (optim.losses.l2_loss, lambda x, y: (x - y) ** 2 / 2, lambda z: z),
    "l1_loss": (optim.losses.l1_loss, lambda x, y: np.abs(x - y), lambda z: z),
    "huber_loss": (lambda x, y: optim.losses.huber_loss(x, y, 1.5), huber, lambda z: z),
    "hinge_loss": (optim.losses.hinge_loss, lambda x, y: np.maximum(0, 1 - x * y), np.sign),
    "binary": (
        optim.losses.sigmoid_binary_cross_entropy,
        lambda x, y: y * softplus(-x) + (1 - y) * softplus(x),
        lambda z: (z > 0).astype(np.float32),
    ),
    "kl_divergence": (optim.losses.kl_divergence, kl, lambda z: np.maximum(z, 0) / np.maximum(np.abs(z).sum(), 1)),
    "cosine_similarity": (optim.losses.cosine_similarity, cosine, lambda z: z),
    "cosine_distance": (optim.losses.cosine_distance, lambda x, y: 1 - cosine(x, y), lambda z: z),
}
of_each_loss = pytest.mark.parametrize(("loss", "formula", "targets"), LOSSES.values(), ids=LOSSES)


@of_each_loss
@given(rows=st.integers(1, 4), size=st.sampled_from([1e-3, 1, 100, 1e15]), seed=st.integers(0, 99))
def test_losses_are_their_formulas(loss, formula, targets, rows, size, seed):
    # 100: exp overflows float32 at 88.7; 1e15: squares of squares do
    x, z = (size * np.random.default_rng(seed).standard_normal((2, rows, 5))).astype(np.float32)
    y = targets(z).astype(np.float32)
    want = formula(np.float64(x), np.float64(y))
    np.testing.assert_allclose(loss(x, y), want, rtol=1e-5, atol=1e-6)


@of_each_loss
@given(seed=st.integers(0, 99), size=st.sampled_from([1, 30]))
def test_gradients_of_losses_are_their_slopes(loss, formula, targets, seed, size):
    x, z, towards = np.random.default_rng(seed).standard_normal((3, 2, 5))
    x, y, step = size * x, targets(size * z), 1e-6 * size
    assume(min(np.min(np.abs(np.abs(x - y) - 1.5)), np.min(np.abs(1 - x * y))) > 1e-3)  # not at a kink

    def along(t):
        return np.sum(formula(x + t * towards, y))

    slope = (along(step) - along(-step)) / (2 * step)
    got = np.sum(lwps.grad(lambda x: loss(x, y).sum())(x) * towards)
    np.testing.assert_allclose(got, slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("x", [-1e30, -200, 200, 1e30])
def test_binary_cross_entropy_of_sure_logits_is_finite_with_its_gradient(x):
    for label, value in ((0.0, max(x, 0)), (1.0, max(-x, 0))):
        args = np.float32([x]), np.float32([label])
        np.testing.assert_allclose(optim.losses.sigmoid_binary_cross_entropy(*args), [value], atol=1e-30)
        slope = lwps.grad(lambda *a: optim.losses.sigmoid_binary_cross_entropy(*a).sum())(*args)
        np.testing.assert_allclose(slope, [(x > 0) - label], atol=1e-30)


def test_what_has_no_share_may_have_any_prediction():
    logs, shares = np.float32([-np.inf, 0, -np.inf]), np.float32([0, 1, 0])
    assert optim.losses.kl_divergence(logs, shares) == 0
    for argnum in (0, 1):
        assert np.isfinite(lwps.grad(optim.losses.kl_divergence, argnum)(logs, shares)).all()
    assert optim.losses.kl_divergence(logs, np.float32([0, 0, 1])) == np.inf


def test_vectors_of_any_length_have_a_direction_and_zeros_have_none():
    x = np.float32([[3e38, 0], [1e-38, 1e-38], [0, 0], [1, 1]])
    y = np.float32([[1e-20, 1e-20], [2, 2], [1, 2], [0, 0]])
    np.testing.assert_allclose(optim.losses.cosine_similarity(x, y), [np.sqrt(0.5), 1, 0, 0], rtol=1e-6)
    grads = lwps.grad(lambda x, y: optim.losses.cosine_similarity(x, y).sum(), (0, 1))(x[2:], y[2:])
    assert all(np.isfinite(g).all() for g in grads)


@pytest.mark.parametrize("name", [n for n in LOSSES if n != "binary"])
def test_losses_refuse_shapes_that_would_only_broadcast(name):
    with pytest.raises(
        TypeError, match=rf"{name}: \w+ and \w+ must have one shape, got float64\[4,1\] and float64\[4\]"
    ):
        getattr(optim.losses, name)(np.zeros((4, 1)), np.zeros(4))


def test_binary_cross_entropy_refuses_class_numbers_of_another_shape():
    with pytest.raises(TypeError, match="sigmoid_binary_cross_entropy: logits and labels must have one shape, got"):
        optim.losses.sigmoid_binary_cross_entropy(np.zeros((4, 3)), np.zeros(4, np.int32))


def test_a_huber_loss_without_a_middle_is_refused():
    with pytest.raises(ValueError, match="huber_loss: delta must be above 0, got 0"):
        optim.losses.huber_loss(np.zeros(1), np.zeros(1), 0)


@given(rows=st.integers(1, 4), length=st.integers(2, 6), seed=st.integers(0, 99))
def test_next_token_loss_is_the_mean_over_positions_that_have_a_next_token(rows, length, seed):
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((rows, length, 5)).astype(np.float32)
    tokens = rng.integers(0, 5, (rows, length), np.int32)
    each = optim.losses.softmax_cross_entropy_with_integer_labels(logits[:, :-1], tokens[:, 1:])
    loss, gradient = lwps.value_and_grad(lambda x: optim.losses.next_token_loss(x, tokens))(logits)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, each.mean(), rtol=1e-5)
    assert not gradient[:, -1].any()
    assert gradient[:, :-1].any()


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 2, 2)])
def test_rows_without_a_next_token_are_refused(shape):
    with pytest.raises(TypeError, match=r"next_token_loss: tokens must be rows \[N, T\] of at least 2, got int32"):
        optim.losses.next_token_loss(np.zeros((4, 1, 3), np.float32), np.zeros(shape, np.int32))
