"""Softmax cross-entropy with class numbers: losses of rows, without keeping the weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Alias, Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Variant
from lwps.ops.rows import column_of, matrix, one_group_a_row, shift, split_rows
from lwps.ops.rules import FLOATS


def softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    """Losses -log_softmax(logits)[..., label], one for each label.

    `logits[..., K]` are floats, `labels[...]` int32 class numbers from 0 to K - 1. Another label has the
    loss NaN, and its row of logits the gradient NaN, so that it cannot pass unseen.
    """
    (losses,) = softmax_cross_entropy_p.bind(logits, labels)
    return losses


def _cross_entropy_aval(logits: ShapedArray, labels: ShapedArray) -> tuple[ShapedArray, ...]:
    if logits.ndim == 0 or logits.dtype.name not in FLOATS or logits.shape[-1] == 0:
        raise TypeError(
            f"softmax_cross_entropy: logits must be floats [..., K] with K at least 1, got {logits}; use astype"
        )
    if labels != ShapedArray(logits.shape[:-1], "int32"):
        raise TypeError(
            f"softmax_cross_entropy: labels must be class numbers int32{list(logits.shape[:-1])}, got {labels} for"
            f" logits {logits}; use astype, or argmax(labels, axis=-1) for one-hot rows"
        )
    return (ShapedArray(labels.shape, logits.dtype),)


def _cross_entropy_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (dlogits,) = softmax_cross_entropy_vjp_p.bind(*cts, *ins)
    return dlogits, None


def _known(labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether each label is a class, and the number of a class to look at in any case."""
    labels = labels.reshape(-1)
    return (labels >= 0) & (labels < classes), np.clip(labels, 0, classes - 1)


@np.errstate(invalid="ignore")
def _cross_entropy_numpy(
    losses: np.ndarray, logits: np.ndarray, labels: np.ndarray, shifted: np.ndarray, column: np.ndarray
) -> None:
    if losses.size == 0:
        return
    shifted, (known, label) = matrix(shifted), _known(labels, logits.shape[-1])
    shift(shifted, matrix(logits), column)
    picked = shifted[np.arange(len(label)), label]
    np.exp(shifted, out=shifted)
    np.sum(shifted, axis=-1, keepdims=True, out=column)
    np.log(column, out=column)
    losses.reshape(-1)[:] = np.where(known, column[:, 0] - picked, np.nan)


def _cross_entropy_launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand]
) -> tuple[Launch, ...]:
    logits, _ = ins
    return one_group_a_row(device, "softmax_cross_entropy", logits, (*outs, *ins))


softmax_cross_entropy_p = Primitive(
    "softmax_cross_entropy",
    aval=_cross_entropy_aval,
    vjp=_cross_entropy_vjp,
    cost=lambda logits, labels: Cost(flops=5 * logits.size, nbytes=logits.nbytes + 2 * labels.nbytes),
    numpy=Host(_cross_entropy_numpy, lambda logits, labels: (logits, column_of(logits))),
    opencl=(Variant("cross_entropy.cl", _cross_entropy_launch),),
    alias=None,
    split=lambda logits, labels: split_rows(logits.ndim, labels.ndim),
)


def _cross_entropy_vjp_aval(ct: ShapedArray, logits: ShapedArray, labels: ShapedArray) -> tuple[ShapedArray, ...]:
    (losses,) = _cross_entropy_aval(logits, labels)
    if ct != losses:
        raise TypeError(f"softmax_cross_entropy_vjp: ct must be {losses} as the losses are, got {ct}")
    return (logits,)


@np.errstate(invalid="ignore", over="ignore")
def _cross_entropy_vjp_numpy(
    dlogits: np.ndarray, ct: np.ndarray, logits: np.ndarray, labels: np.ndarray, column: np.ndarray
) -> None:
    """dlogits = ct (softmax(logits) - onehot(labels))."""
    if ct.size == 0:
        return
    d, (known, label) = matrix(dlogits), _known(labels, logits.shape[-1])
    ct = np.where(known, ct.reshape(-1), ct.dtype.type(np.nan))
    shift(d, matrix(logits), column)
    np.exp(d, out=d)
    np.sum(d, axis=-1, keepdims=True, out=column)
    d /= column
    d *= ct[:, None]
    d[np.arange(len(label)), label] -= ct


def _cross_entropy_vjp_launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand]
) -> tuple[Launch, ...]:
    _, logits, _ = ins
    return one_group_a_row(device, "softmax_cross_entropy_vjp", logits, (*outs, *ins))


softmax_cross_entropy_vjp_p = Primitive(
    "softmax_cross_entropy_vjp",
    aval=_cross_entropy_vjp_aval,
    vjp=None,  # no second derivatives
    cost=lambda ct, logits, labels: Cost(flops=6 * logits.size, nbytes=2 * logits.nbytes + 2 * labels.nbytes),
    numpy=Host(_cross_entropy_vjp_numpy, lambda ct, logits, labels: (column_of(logits),)),
    opencl=(Variant("cross_entropy.cl", _cross_entropy_vjp_launch),),
    alias=lambda ct, logits, labels: (Alias(0, 1, "overwrite"),),
    split=lambda ct, logits, labels: split_rows(logits.ndim, ct.ndim, labels.ndim),
)
