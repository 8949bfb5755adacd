"""Learned positions: what tells the places of a sequence apart."""

from typing import Any

from lwps.core import ShapedArray, aval_of
from lwps.nn.layer import Layer, check_sequences, layer_of
from lwps.ops import random
from lwps.ops.elementwise import add, astype, mul
from lwps.ops.shape import slice


def position_embedding(length: int, std: float = 0.02) -> Layer:
    """x[N, T, C] -> x + w[:T], for T up to `length`.

    Params: `w[length, C]`, which begins as normals of deviation `std`.
    """
    if length < 1:
        raise ValueError(f"position_embedding: length must be at least 1, got {length}")

    def initial(key: Any, aval: ShapedArray) -> tuple[Any, Any]:
        _check(aval, length)
        return {"w": astype(mul(random.normal(key, (length, aval.shape[2])), std), aval.dtype)}, {}

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        aval = aval_of(x)
        _check(aval, length)
        return add(x, slice(params["w"], (0, 0), aval.shape[1:])), state

    return layer_of(initial, apply)


def _check(x: ShapedArray, length: int) -> None:
    check_sequences("position_embedding", x)
    if x.shape[1] > length:
        raise TypeError(f"position_embedding: x must have at most {length} positions, got {x}; raise length")
