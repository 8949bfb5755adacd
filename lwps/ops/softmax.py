"""Log-softmax and softmax cross-entropy over the last axis, each row shifted by its maximum: exp cannot overflow."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Alias, Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, Variant
from lwps.ops.elementwise import FLOATS

GROUP = 64  # work-items that share a row on a GPU; softmax.cl needs a power of two


def log_softmax(x: Any) -> Any:
    """Logarithms of weights proportional to exp(x) that sum to one in each row (the last axis) of `x`."""
    (y,) = log_softmax_p.bind(x)
    return y


def softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    """Losses -log_softmax(logits)[..., label], one for each label.

    `logits[..., K]` are floats, `labels[...]` int32 class numbers from 0 to K - 1. Another label has the
    loss NaN, and its row of logits the gradient NaN, so that it cannot pass unseen.
    """
    (losses,) = softmax_cross_entropy_p.bind(logits, labels)
    return losses


# --- rows -------------------------------------------------------------------------------------------


def _rows(x: ShapedArray) -> int:
    return math.prod(x.shape[:-1])


def _column(x: ShapedArray) -> ShapedArray:
    """One element for each row."""
    return ShapedArray((_rows(x), 1), x.dtype)


def _matrix(x: np.ndarray) -> np.ndarray:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _shift(out: np.ndarray, x: np.ndarray, top: np.ndarray) -> None:
    """Each row less its maximum, which is left in `top`."""
    np.max(x, axis=-1, keepdims=True, out=top)
    np.subtract(x, top, out=out)


def _one_group_a_row(device: Device, kernel: str, x: Operand, args: tuple[Operand, ...]) -> tuple[Launch, ...]:
    """The launch on the rows of `x`; the number of its classes follows the arguments."""
    rows, classes = _rows(x.aval), x.shape[-1]
    if x.size == 0:
        return ()
    group = 1 if device.type == "cpu" else min(GROUP, 1 << (device.max_work_group_size.bit_length() - 1))
    return (Launch(kernel, (rows * group,), (group,), (*args, np.int32(classes)), f"-DGROUP={group}"),)


def _split_rows(*ndims: int) -> tuple[Split, ...]:
    """Along every axis but the last of the first array: rows do not know of each other."""
    return tuple(Split((axis,) * len(ndims), (axis,)) for axis in range(ndims[0] - 1))


# --- log_softmax --------------------------------------------------------------------------------------


def _log_softmax_aval(x: ShapedArray) -> tuple[ShapedArray, ...]:
    if x.ndim == 0 or x.dtype.name not in FLOATS:
        raise TypeError(f"log_softmax: x must be a float array with at least one axis, got {x}; use astype or reshape")
    return (x,)


def _log_softmax_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return log_softmax_vjp_p.bind(*cts, *outs)  # reads y only, so that x can be freed


@np.errstate(invalid="ignore")
def _log_softmax_numpy(y: np.ndarray, x: np.ndarray, weights: np.ndarray, column: np.ndarray) -> None:
    if y.size == 0:
        return
    y, weights = _matrix(y), _matrix(weights)
    _shift(y, _matrix(x), column)
    np.exp(y, out=weights)
    np.sum(weights, axis=-1, keepdims=True, out=column)
    np.log(column, out=column)
    y -= column


def _log_softmax_launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand]
) -> tuple[Launch, ...]:
    (y,), (x,) = outs, ins
    return _one_group_a_row(device, "log_softmax", x, (y, x))


log_softmax_p = Primitive(
    "log_softmax",
    aval=_log_softmax_aval,
    vjp=_log_softmax_vjp,
    cost=lambda x: Cost(flops=6 * x.size, nbytes=2 * x.nbytes),
    numpy=Host(_log_softmax_numpy, lambda x: (x, _column(x))),
    opencl=(Variant("softmax.cl", _log_softmax_launch),),
    alias=lambda x: (Alias(0, 0, "overwrite"),),
    split=lambda x: _split_rows(x.ndim),
)


def _log_softmax_vjp_aval(ct: ShapedArray, y: ShapedArray) -> tuple[ShapedArray, ...]:
    if ct != y:
        raise TypeError(f"log_softmax_vjp: ct must match y, got {ct} and {y}")
    return (y,)


@np.errstate(invalid="ignore", over="ignore")
def _log_softmax_vjp_numpy(
    dx: np.ndarray, ct: np.ndarray, y: np.ndarray, weights: np.ndarray, column: np.ndarray
) -> None:
    """dx = ct - softmax(x) sum(ct), from dy_i/dx_j = [i = j] - softmax(x)_j."""
    dx, ct, weights = _matrix(dx), _matrix(ct), _matrix(weights)
    np.sum(ct, axis=-1, keepdims=True, out=column)
    np.exp(_matrix(y), out=weights)
    weights *= column
    np.subtract(ct, weights, out=dx)


def _log_softmax_vjp_launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand]
) -> tuple[Launch, ...]:
    return _one_group_a_row(device, "log_softmax_vjp", ins[0], (*outs, *ins))


log_softmax_vjp_p = Primitive(
    "log_softmax_vjp",
    aval=_log_softmax_vjp_aval,
    vjp=None,  # no second derivatives
    cost=lambda ct, y: Cost(flops=4 * y.size, nbytes=3 * y.nbytes),
    numpy=Host(_log_softmax_vjp_numpy, lambda ct, y: (y, _column(y))),
    opencl=(Variant("softmax.cl", _log_softmax_vjp_launch),),
    alias=lambda ct, y: (Alias(0, 0, "overwrite"), Alias(0, 1, "overwrite")),
    split=lambda ct, y: _split_rows(ct.ndim, y.ndim),
)


# --- softmax_cross_entropy ----------------------------------------------------------------------------


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
    shifted, (known, label) = _matrix(shifted), _known(labels, logits.shape[-1])
    _shift(shifted, _matrix(logits), column)
    picked = shifted[np.arange(len(label)), label]
    np.exp(shifted, out=shifted)
    np.sum(shifted, axis=-1, keepdims=True, out=column)
    np.log(column, out=column)
    losses.reshape(-1)[:] = np.where(known, column[:, 0] - picked, np.nan)


def _cross_entropy_launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand]
) -> tuple[Launch, ...]:
    logits, _ = ins
    return _one_group_a_row(device, "softmax_cross_entropy", logits, (*outs, *ins))


softmax_cross_entropy_p = Primitive(
    "softmax_cross_entropy",
    aval=_cross_entropy_aval,
    vjp=_cross_entropy_vjp,
    cost=lambda logits, labels: Cost(flops=5 * logits.size, nbytes=logits.nbytes + 2 * labels.nbytes),
    numpy=Host(_cross_entropy_numpy, lambda logits, labels: (logits, _column(logits))),
    opencl=(Variant("softmax.cl", _cross_entropy_launch),),
    alias=None,
    split=lambda logits, labels: _split_rows(logits.ndim, labels.ndim),
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
    d, (known, label) = _matrix(dlogits), _known(labels, logits.shape[-1])
    ct = np.where(known, ct.reshape(-1), ct.dtype.type(np.nan))
    _shift(d, _matrix(logits), column)
    np.exp(d, out=d)
    np.sum(d, axis=-1, keepdims=True, out=column)
    d /= column
    d *= ct[:, None]
    d[np.arange(len(label)), label] -= ct


def _cross_entropy_vjp_launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand]
) -> tuple[Launch, ...]:
    _, logits, _ = ins
    return _one_group_a_row(device, "softmax_cross_entropy_vjp", logits, (*outs, *ins))


softmax_cross_entropy_vjp_p = Primitive(
    "softmax_cross_entropy_vjp",
    aval=_cross_entropy_vjp_aval,
    vjp=None,  # no second derivatives
    cost=lambda ct, logits, labels: Cost(flops=6 * logits.size, nbytes=2 * logits.nbytes + 2 * labels.nbytes),
    numpy=Host(_cross_entropy_vjp_numpy, lambda ct, logits, labels: (_column(logits),)),
    opencl=(Variant("softmax.cl", _cross_entropy_vjp_launch),),
    alias=lambda ct, logits, labels: (Alias(0, 1, "overwrite"),),
    split=lambda ct, logits, labels: _split_rows(logits.ndim, ct.ndim, labels.ndim),
)
