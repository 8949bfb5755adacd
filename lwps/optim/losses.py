"""Losses: functions of ops from predictions and what they should be, by optax's names; most have no mean taken yet."""

import math
from typing import Any

from lwps.core import aval_of
from lwps.ops import cross_entropy, reduce
from lwps.ops.concatenate import concatenate
from lwps.ops.elementwise import (
    absolute,
    add,
    div,
    equal,
    log,
    logical_and,
    minimum,
    mul,
    neg,
    relu,
    rsqrt,
    softplus,
    square,
    stop_gradient,
    sub,
    where,
)
from lwps.ops.shape import slice
from lwps.ops.softmax import log_softmax


def softmax_cross_entropy_with_integer_labels(logits: Any, labels: Any, label_smoothing: float = 0.0) -> Any:
    """-log(the share of the right class), one for each label: `logits[..., K]`, `labels` int32[...] from 0 to K - 1.

    Take its mean for a loss. A label that is no class has the loss NaN. With `label_smoothing` a the right class
    weighs 1 - a, and a is shared out among all K classes (Szegedy et al., CVPR 2016, section 7).
    """
    _check_smoothing("softmax_cross_entropy_with_integer_labels", label_smoothing)
    losses = cross_entropy.softmax_cross_entropy(logits, labels)
    if label_smoothing == 0:
        return losses
    shared = reduce.mean(log_softmax(logits), -1)
    return sub(mul(losses, 1 - label_smoothing), mul(shared, label_smoothing))


def softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    """-sum(labels log_softmax(logits)) of each row: `labels` are weights of classes, floats of the shape of `logits`.

    They may be one-hot, smoothed (`smooth_labels`) or another model's softmax. A class of weight 0 adds nothing, also
    where its logit is -inf.
    """
    got = aval_of(logits), aval_of(labels)
    if got[0].shape != got[1].shape or got[1].dtype.kind != "f":
        raise TypeError(
            f"softmax_cross_entropy: labels must be float weights {list(got[0].shape)} as logits are, got {got[0]} and"
            f" {got[1]}; use softmax_cross_entropy_with_integer_labels for class numbers, astype for one-hot integers"
        )
    logs = log_softmax(logits)
    nothing = logical_and(equal(labels, 0), equal(logs, -math.inf))
    return neg(reduce.sum(mul(labels, where(nothing, 0.0, logs)), -1))


def smooth_labels(labels: Any, alpha: float) -> Any:
    """Weights of classes `labels[..., K]` of which `alpha` is shared out among all K classes instead."""
    _check_smoothing("smooth_labels", alpha)
    aval = aval_of(labels)
    if aval.ndim == 0 or aval.dtype.kind != "f":
        raise TypeError(f"smooth_labels: labels must be float weights [..., K], got {aval}; use astype")
    return add(mul(labels, 1 - alpha), alpha / max(1, aval.shape[-1]))


def _check_smoothing(op: str, alpha: float) -> None:
    if not 0 <= alpha <= 1:
        raise ValueError(f"{op}: smoothing must be from 0 to 1, got {alpha}")


# --- classes that do not exclude one another ---------------------------------------------------------


def sigmoid_binary_cross_entropy(logits: Any, labels: Any) -> Any:
    """-labels log(sigmoid(logits)) - (1 - labels) log(1 - sigmoid(logits)), elementwise.

    `labels` are 0 or 1, or probabilities between, as floats of the shape of `logits`.
    """
    _check_alike("sigmoid_binary_cross_entropy", logits=logits, labels=labels)
    return add(mul(labels, softplus(neg(logits))), mul(sub(1, labels), softplus(logits)))


def hinge_loss(predictor_outputs: Any, targets: Any) -> Any:
    """max(0, 1 - targets predictor_outputs), elementwise; `targets` are -1 or 1."""
    _check_alike("hinge_loss", predictor_outputs=predictor_outputs, targets=targets)
    return relu(sub(1, mul(targets, predictor_outputs)))


def kl_divergence(log_predictions: Any, targets: Any, axis: int = -1) -> Any:
    """sum(targets (log(targets) - log_predictions)) along `axis`: how far probabilities are from the targets.

    `log_predictions` as from `log_softmax`. What has the target 0 adds nothing, also where its prediction is -inf.
    """
    _check_alike("kl_divergence", log_predictions=log_predictions, targets=targets)
    nothing = equal(targets, 0)
    distance = sub(log(where(nothing, 1.0, targets)), where(nothing, 0.0, log_predictions))
    return reduce.sum(mul(targets, distance), axis)


# --- numbers -----------------------------------------------------------------------------------------


def squared_error(predictions: Any, targets: Any) -> Any:
    """(predictions - targets)^2, elementwise."""
    return square(_errors("squared_error", predictions, targets))


def l2_loss(predictions: Any, targets: Any) -> Any:
    """Half of (predictions - targets)^2, elementwise: its slope is the error itself."""
    return mul(square(_errors("l2_loss", predictions, targets)), 0.5)


def l1_loss(predictions: Any, targets: Any) -> Any:
    """|predictions - targets|, elementwise."""
    return absolute(_errors("l1_loss", predictions, targets))


def huber_loss(predictions: Any, targets: Any, delta: float = 1.0) -> Any:
    """Half the square of the error up to `delta`, then straight on with the slope `delta`, elementwise.

    (Huber, "Robust estimation of a location parameter", 1964.)
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be above 0, got {delta}")
    error = absolute(_errors("huber_loss", predictions, targets))
    near = minimum(error, delta)
    return mul(near, sub(error, mul(near, 0.5)))  # whose slope is `near` to the last digit


def next_token_loss(logits: Any, tokens: Any) -> Any:
    """The mean of -log(the share of tokens[:, t + 1] by logits[:, t]), 0-d: `logits[N, T, K]`, `tokens` int32[N, T].

    The last position of a row has nothing to foretell and does not count. For texts that go on behind their rows, give
    rows one token longer, and take `softmax_cross_entropy_with_integer_labels` of `tokens[:, 1:]`.
    """
    aval = aval_of(tokens)
    if aval.ndim != 2 or aval.shape[1] < 2:
        raise TypeError(f"next_token_loss: tokens must be rows [N, T] of at least 2, got {aval}; use longer rows")
    rows, length = aval.shape
    # all positions are labelled, the last one by any class: to cut logits would copy them, and pad their cotangents
    after = concatenate([slice(tokens, (0, 1), (rows, length)), slice(tokens, (0, 0), (rows, 1))], axis=1)
    losses = softmax_cross_entropy_with_integer_labels(logits, after)
    return reduce.mean(slice(losses, (0, 0), (rows, length - 1)))


def mean_squared_error(predictions: Any, targets: Any) -> Any:
    """The mean of (predictions - targets)^2 over all elements, 0-d; both of one shape."""
    return reduce.mean(square(_errors("mean_squared_error", predictions, targets)))


# --- directions ---------------------------------------------------------------------------------------


def cosine_similarity(predictions: Any, targets: Any, axis: int = -1) -> Any:
    """The cosine of the angle between vectors along `axis`: -1 to 1. A vector of zeros has 0 to any other."""
    _check_alike("cosine_similarity", predictions=predictions, targets=targets)
    return reduce.sum(mul(_unit(predictions, axis), _unit(targets, axis)), axis)


def cosine_distance(predictions: Any, targets: Any, axis: int = -1) -> Any:
    """1 - `cosine_similarity`."""
    _check_alike("cosine_distance", predictions=predictions, targets=targets)
    return sub(1, cosine_similarity(predictions, targets, axis))


def _unit(x: Any, axis: int) -> Any:
    """Vectors brought to length 1; those of zeros stay.

    First their largest element is brought to 1, so that no square over- or underflows. The direction does not change
    with the length, so that first factor has no gradient of its own.
    """
    top = stop_gradient(reduce.max(absolute(x), axis, keepdims=True))
    none = equal(top, 0)
    x = div(x, where(none, 1.0, top))
    squares = reduce.sum(square(x), axis, keepdims=True)
    return mul(x, rsqrt(where(none, 1.0, squares)))


def _errors(op: str, predictions: Any, targets: Any) -> Any:
    _check_alike(op, predictions=predictions, targets=targets)
    return sub(predictions, targets)


def _check_alike(op: str, **arrays: Any) -> None:
    """Refuse shapes that differ: where they would broadcast, a loss would be silently another."""
    (a, x), (b, y) = arrays.items()
    if aval_of(x).shape != aval_of(y).shape:
        raise TypeError(f"{op}: {a} and {b} must have one shape, got {aval_of(x)} and {aval_of(y)}; reshape one")
