"""The block that transformers are stacked of."""

from collections.abc import Callable
from typing import Any

from lwps.nn.activation import gelu
from lwps.nn.attention import Initial, multi_head_attention
from lwps.nn.combine import residual, serial
from lwps.nn.dropout import dropout
from lwps.nn.layer import Layer, by_width
from lwps.nn.linear import linear
from lwps.nn.norm import layer_norm


def transformer_block(
    heads: int,
    causal: bool = False,
    hidden: int | None = None,
    dropout_rate: float = 0.0,
    bias: bool = True,
    norm: Callable[[], Layer] = layer_norm,
    activation: Callable[[], Layer] = gelu,
    initial_weights: Initial | None = None,
    initial_out: Initial | None = None,
) -> Layer:
    """x[N, T, C] -> y[N, T, C]: x + attention(norm(x)), then y + mlp(norm(y)), as in GPT-2.

    The MLP has `hidden` features between its two `linear` layers, by default 4 C. Dropout acts on the result of each
    branch (not on the weights of attention) and needs a key when training. Params: those of the parts `attention/norm`,
    `attention/attend/qkv`, `attention/attend/out`, `mlp/norm`, `mlp/up` and `mlp/down`. Matrices begin as
    `initial_weights(key, shape)` gives them, the last of each branch (`out`, `down`) as `initial_out` does if given.
    """

    def of_width(width: int) -> Layer:
        last = initial_out or initial_weights
        attend = multi_head_attention(heads, causal, bias, initial_weights=initial_weights, initial_out=last)
        up, down = linear(hidden or 4 * width, bias, initial_weights), linear(width, bias, last)
        return serial(
            attention=_branch(norm=norm(), attend=attend, dropout=dropout(dropout_rate)),
            mlp=_branch(norm=norm(), up=up, activation=activation(), down=down, dropout=dropout(dropout_rate)),
        )

    return by_width("transformer_block", of_width)


def _branch(**parts: Layer) -> Layer:
    return residual(serial(**parts), after=_same)


def _same(x: Any) -> Any:
    return x
