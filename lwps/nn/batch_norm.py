"""Batch normalisation, the one layer with state."""

from typing import Any

from lwps.core import ShapedArray, aval_of
from lwps.nn.layer import Layer, check_floats, layer_of
from lwps.ops import batch_norm as ops
from lwps.ops.elementwise import add, full, mul, stop_gradient


def batch_norm(decay: float = 0.9, eps: float = 1e-5) -> Layer:
    """x[..., C] -> y[..., C]: each channel brought to mean 0 and variance 1, then times `scale` plus `bias`.

    When training, by mean and (biased) variance of the batch; else by the running ones. Params: `scale[C]`,
    `bias[C]`, which begin as ones and zeros. State: `mean[C]`, `var[C]`, which begin as zeros and ones and become
    decay * old + (1 - decay) * batch. As in PyTorch (whose `momentum` is 1 - decay) the running variance
    takes the batch's unbiased one, times n / (n - 1) for n elements a channel. No gradient flows through the state.
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"batch_norm: decay must be from 0 to 1, got {decay}")

    def initial(key: Any, aval: ShapedArray) -> tuple[Any, Any]:
        _check(aval)
        shape = aval.shape[-1:]
        params = {"scale": full(shape, 1, aval.dtype), "bias": full(shape, 0, aval.dtype)}
        return params, {"mean": full(shape, 0, aval.dtype), "var": full(shape, 1, aval.dtype)}

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        aval = aval_of(x)
        _check(aval)
        scale, bias = params["scale"], params["bias"]
        if not train:
            return ops.batch_norm_inference(x, scale, bias, state["mean"], state["var"], eps), state
        unbiased = _unbiased(aval)
        y, mean, var = ops.batch_norm(x, scale, bias, eps)
        new_state = {
            "mean": _towards(state["mean"], mean, 1 - decay),
            "var": _towards(state["var"], var, 1 - decay, unbiased),
        }
        return y, new_state

    return layer_of(initial, apply)


def _towards(old: Any, batch: Any, rate: float, factor: float = 1.0) -> Any:
    return add(mul(old, 1 - rate), mul(stop_gradient(batch), rate * factor))


def _unbiased(x: ShapedArray) -> float:
    """n / (n - 1) for n elements a channel."""
    n = x.size // max(1, x.shape[-1])
    if n < 2:
        raise TypeError(f"batch_norm: training must have at least two elements a channel, got {x}; use a larger batch")
    return n / (n - 1)


def _check(x: ShapedArray) -> None:
    if x.ndim == 0:
        raise TypeError(f"batch_norm: x must have at least one axis, got {x}")
    check_floats("batch_norm", x)
