"""Losses: functions of ops from predictions and what they should be."""

from typing import Any

from lwps.core import aval_of
from lwps.ops import reduce, softmax
from lwps.ops.elementwise import square, sub


def softmax_cross_entropy_with_integer_labels(logits: Any, labels: Any) -> Any:
    """-log(the share of the right class), one for each label: `logits[..., K]`, `labels` int32[...] from 0 to K - 1.

    Take its mean for a loss. A label that is no class has the loss NaN.
    """
    return softmax.softmax_cross_entropy(logits, labels)


def mean_squared_error(predictions: Any, targets: Any) -> Any:
    """The mean of (predictions - targets)^2 over all elements, 0-d; both of one shape."""
    got = aval_of(predictions), aval_of(targets)
    if got[0].shape != got[1].shape:
        raise TypeError(
            f"mean_squared_error: predictions and targets must have one shape, got {got[0]} and {got[1]}; reshape one"
        )
    return reduce.mean(square(sub(predictions, targets)))
