"""The linear layer: y = x w + b over the last axis."""

from collections.abc import Callable, Sequence
from typing import Any

from lwps.core import ShapedArray, aval_of
from lwps.nn.initial import uniform_in
from lwps.nn.layer import Layer, check_floats, layer_of
from lwps.ops import random
from lwps.ops.elementwise import add, astype, full
from lwps.ops.matmul import matmul


def linear(
    features: int, bias: bool = True, initial_weights: Callable[[Any, Sequence[int]], Any] | None = None
) -> Layer:
    """x[..., K] -> y[..., features].

    Params: `w[K, features]` and, with `bias`, `b[features]`, of the dtype of `x`. Both begin uniform between
    -1 / sqrt(K) and 1 / sqrt(K), as in PyTorch; or `w` as `initial_weights(key, shape)` gives it and `b` as zeros.
    """
    if features < 1:
        raise ValueError(f"linear: features must be at least 1, got {features}")

    def initial(key: Any, aval: ShapedArray) -> tuple[Any, Any]:
        _check(aval)
        inputs = aval.shape[-1]
        weights = initial_weights or uniform_in
        params = {"w": astype(weights(random.fold_in(key, 0), (inputs, features)), aval.dtype)}
        if bias and initial_weights:
            params["b"] = full((features,), 0, aval.dtype)
        elif bias:
            params["b"] = astype(uniform_in(random.fold_in(key, 1), (features,), fan=inputs), aval.dtype)
        return params, {}

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        _check(aval_of(x))
        y = matmul(x, params["w"])
        return (add(y, params["b"]) if bias else y), state

    return layer_of(initial, apply)


def _check(x: ShapedArray) -> None:
    if x.ndim == 0:
        raise TypeError(f"linear: x must have at least one axis, got {x}; reshape it to [1, 1]")
    check_floats("linear", x)
