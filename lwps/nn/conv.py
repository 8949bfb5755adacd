"""The convolution layer, over images NHWC."""

from collections.abc import Callable, Sequence
from typing import Any

from lwps.core import ShapedArray, aval_of
from lwps.nn import window
from lwps.nn.initial import he_normal
from lwps.nn.layer import Layer, check_floats, layer_of
from lwps.ops import conv
from lwps.ops.elementwise import add, astype, full


def conv2d(
    features: int,
    kernel_size: int | Sequence[int],
    strides: int | Sequence[int] = 1,
    padding: window.Padding = "SAME",
    bias: bool = True,
    initial_weights: Callable[[Any, Sequence[int]], Any] = he_normal,
) -> Layer:
    """x[N, H, W, C] -> y[N, H', W', features].

    `padding`: `"SAME"`, `"VALID"`, one number for all sides, or ((top, bottom), (left, right)). Params:
    `w[KH, KW, C, features]`, which begins as `initial_weights(key, shape)` gives it, and with `bias`
    `b[features]`, which begins as zeros; both of the dtype of `x`.
    """
    if features < 1:
        raise ValueError(f"conv2d: features must be at least 1, got {features}")
    kernel_size = window.pair("conv2d", "kernel_size", kernel_size)
    strides = window.pair("conv2d", "strides", strides)
    padding = window.sides(padding)

    def initial(key: Any, aval: ShapedArray) -> tuple[Any, Any]:
        _check(aval)
        params = {"w": astype(initial_weights(key, (*kernel_size, aval.shape[3], features)), aval.dtype)}
        if bias:
            params["b"] = full((features,), 0, aval.dtype)
        return params, {}

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        _check(aval_of(x))
        y = conv.conv2d(x, params["w"], strides, padding)
        return (add(y, params["b"]) if bias else y), state

    return layer_of(initial, apply)


def _check(x: ShapedArray) -> None:
    if x.ndim != 4:
        raise TypeError(f"conv2d: x must be images [N, H, W, C], got {x}; reshape it")
    check_floats("conv2d", x)
