"""Losses: functions of ops from predictions and what they should be."""

import math
from typing import Any

from lwps.core import aval_of
from lwps.ops import cross_entropy, reduce
from lwps.ops.elementwise import add, equal, logical_and, mul, neg, square, sub, where
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


def mean_squared_error(predictions: Any, targets: Any) -> Any:
    """The mean of (predictions - targets)^2 over all elements, 0-d; both of one shape."""
    got = aval_of(predictions), aval_of(targets)
    if got[0].shape != got[1].shape:
        raise TypeError(
            f"mean_squared_error: predictions and targets must have one shape, got {got[0]} and {got[1]}; reshape one"
        )
    return reduce.mean(square(sub(predictions, targets)))
