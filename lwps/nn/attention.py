"""Self-attention with several heads."""

from collections.abc import Callable, Sequence
from typing import Any

from lwps import tracing
from lwps.core import ShapedArray, aval_of
from lwps.nn.layer import Layer, by_width
from lwps.nn.linear import linear
from lwps.ops import random
from lwps.ops.attention import attention
from lwps.ops.shape import reshape
from lwps.ops.split import split

Initial = Callable[[Any, Sequence[int]], Any]


def multi_head_attention(
    heads: int,
    causal: bool = False,
    bias: bool = True,
    key_heads: int | None = None,
    initial_weights: Initial | None = None,
    initial_out: Initial | None = None,
) -> Layer:
    """x[N, T, C] -> y[N, T, C]: every position takes from others what its query finds (Vaswani et al., NeurIPS 2017).

    `heads` must divide C. `causal`: a position sees itself and those before it. With `key_heads`, a divisor of `heads`,
    so many heads of keys and values are shared (Ainslie et al. 2023). Params: those of two `linear` layers, `qkv` with
    queries, keys and values side by side, each head by head, and `out`. `bias` and `initial_weights` are theirs,
    `initial_out` is for `out` if given.
    """
    shared = heads if key_heads is None else key_heads
    if heads < 1 or shared < 1 or heads % shared:
        raise ValueError(
            f"multi_head_attention: heads must be at least 1 and a multiple of key_heads, got {heads} and {key_heads}"
        )

    def of_width(width: int) -> Layer:
        if width % heads or width == 0:
            raise ValueError(f"multi_head_attention: heads must divide the {width} features of x, got {heads}")
        of_qkv = (heads + 2 * shared) * (width // heads)
        out = linear(width, bias, initial_out or initial_weights)
        return _attention(linear(of_qkv, bias, initial_weights), out, heads, shared, causal)

    return by_width("multi_head_attention", of_width)


def _attention(qkv: Layer, out: Layer, heads: int, shared: int, causal: bool) -> Layer:
    def init(key: Any, aval: ShapedArray) -> tuple[Any, Any, ShapedArray]:
        keys = random.split(key)
        return {"qkv": qkv.init(keys[0], aval)[0], "out": out.init(keys[1], aval)[0]}, {}, aval

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        aval = aval_of(x)
        size = aval.shape[2] // heads
        with tracing.layer("qkv"):
            y, _ = qkv.apply(params["qkv"], {}, x, train=train)
            parts = split(y, (heads * size, (heads + shared) * size), axis=-1)
        q, k, v = (reshape(part, (*aval.shape[:2], -1, size)) for part in parts)
        y = reshape(attention(q, k, v, causal), aval.shape)
        with tracing.layer("out"):
            y, _ = out.apply(params["out"], {}, y, train=train)
        return y, state

    return Layer(init, apply)
