"""The embedding layer: a row of weights for each token."""

from typing import Any

from lwps.core import ShapedArray, aval_of
from lwps.nn.layer import Layer, layer_of
from lwps.ops import random
from lwps.ops.elementwise import mul
from lwps.ops.gather import take


def embedding(vocab: int, features: int, std: float = 1.0) -> Layer:
    """x[...], integers -> y[..., features], float32: row x of the weights.

    Params: `w[vocab, features]`, at first normals of standard deviation `std`, by default as in PyTorch. A token below
    -vocab or from vocab on has a row of NaN, so that it cannot pass unseen; no row of `w` gets a cotangent from it.
    """
    if vocab < 1 or features < 1:
        raise ValueError(f"embedding: vocab and features must be at least 1, got {vocab} and {features}")

    def initial(key: Any, aval: ShapedArray) -> tuple[Any, Any]:
        _check(aval)
        return {"w": mul(random.normal(key, (vocab, features)), std)}, {}

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        _check(aval_of(x))
        return take(params["w"], x, axis=0), state

    return layer_of(initial, apply)


def _check(x: ShapedArray) -> None:
    if x.dtype.kind not in "iu":
        raise TypeError(f"embedding: x must be integers, got {x}; use astype(x, 'int32'), or linear for floats")
