"""Normalisations without state: each example by its own moments, in training as in evaluation."""

from collections.abc import Callable, Sequence
from typing import Any

from lwps.core import ShapedArray, aval_of
from lwps.nn.layer import Layer, check_floats, layer_of
from lwps.ops import group_norm as groups_of_channels
from lwps.ops import layer_norm as rows
from lwps.ops.elementwise import full


def layer_norm(axis: int | Sequence[int] = -1, eps: float = 1e-5, scale: bool = True, bias: bool = True) -> Layer:
    """x -> y of its shape: mean 0 and variance 1 over the last axis (or the last few, `axis=(-2, -1)`).

    Params, of the shape of these axes: `scale`, which begins as ones, and `bias`, as zeros (Ba, Kiros, Hinton 2016).
    """

    def apply(x: Any, params: Any) -> Any:
        return rows.layer_norm(x, params.get("scale"), params.get("bias"), axis, eps)

    return _normalisation("layer_norm", apply, lambda shape: _last(shape, axis), scale, bias)


def rms_norm(axis: int | Sequence[int] = -1, eps: float = 1e-5, scale: bool = True) -> Layer:
    """x -> y of its shape: mean square 1 over the last axis (or the last few), without subtracting a mean.

    Params, of the shape of these axes: `scale`, which begins as ones (Zhang, Sennrich 2019).
    """

    def apply(x: Any, params: Any) -> Any:
        return rows.rms_norm(x, params.get("scale"), axis, eps)

    return _normalisation("rms_norm", apply, lambda shape: _last(shape, axis), scale, False)


def group_norm(groups: int, eps: float = 1e-5, scale: bool = True, bias: bool = True) -> Layer:
    """x[N, ..., C] -> y: mean 0 and variance 1 in each of so many groups of channels of each example.

    Params: `scale[C]`, which begins as ones, and `bias[C]`, as zeros (Wu, He, ECCV 2018).
    """

    def apply(x: Any, params: Any) -> Any:
        return groups_of_channels.group_norm(x, groups, params.get("scale"), params.get("bias"), eps)

    return _normalisation("group_norm", apply, lambda shape: shape[-1:], scale, bias)


def instance_norm(eps: float = 1e-5, scale: bool = True, bias: bool = True) -> Layer:
    """x[N, ..., C] -> y: `group_norm` with a group for each channel (Ulyanov, Vedaldi, Lempitsky 2016)."""

    def apply(x: Any, params: Any) -> Any:
        groups = max(1, aval_of(x).shape[-1])
        return groups_of_channels.group_norm(x, groups, params.get("scale"), params.get("bias"), eps)

    return _normalisation("instance_norm", apply, lambda shape: shape[-1:], scale, bias)


def _last(shape: tuple[int, ...], axis: int | Sequence[int]) -> tuple[int, ...]:
    count = 1 if isinstance(axis, int) else len(axis)
    return shape[len(shape) - count :]


def _normalisation(
    name: str,
    fn: Callable[[Any, Any], Any],
    shape_of: Callable[[tuple[int, ...]], tuple[int, ...]],
    scale: bool,
    bias: bool,
) -> Layer:
    """The layer of `fn(x, params)` whose params, as many as are wanted, have the shape `shape_of(x.shape)`."""
    values = {key: value for key, wanted, value in (("scale", scale, 1), ("bias", bias, 0)) if wanted}

    def initial(key: Any, aval: ShapedArray) -> tuple[Any, Any]:
        check_floats(name, aval)
        shape = shape_of(aval.shape)
        return {key: full(shape, value, aval.dtype) for key, value in values.items()}, {}

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        check_floats(name, aval_of(x))
        return fn(x, params), state

    return layer_of(initial, apply)
