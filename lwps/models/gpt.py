"""GPT: a stack of causal transformer blocks over tokens (Radford et al. 2018, 2019)."""

import math

from lwps import nn
from lwps.nn.initializers import normal

STD = 0.02  # of weights at first


def gpt(
    vocab: int, length: int, width: int, depth: int, heads: int, dropout_rate: float = 0.0, tied: bool = True
) -> nn.Layer:
    """tokens int32[N, T] -> logits[N, T, vocab] of the token behind each, for T up to `length`.

    `depth` blocks of `width` features with `heads` heads: gpt(50257, 1024, 768, 12, 12) has the 124,439,808 parameters
    of GPT-2. `tied`: logits are products with the rows of the tokens' embedding; else `head` has weights of its own. As
    in GPT-2, weights begin as normals of deviation 0.02, at the end of a branch 0.02 / sqrt(2 depth).
    """
    if depth < 1:
        raise ValueError(f"gpt: depth must be at least 1, got {depth}")
    block = nn.transformer_block(
        heads,
        causal=True,
        dropout_rate=dropout_rate,
        initial_weights=normal(STD),
        initial_out=normal(STD / math.sqrt(2 * depth)),
    )
    body = {
        "positions": nn.position_embedding(length, STD),
        "dropout": nn.dropout(dropout_rate),
        "blocks": nn.serial(*[block] * depth),
        "norm": nn.layer_norm(),
    }
    if tied:
        return nn.tied_embedding(vocab, width, nn.serial(**body), STD)
    head = nn.linear(vocab, bias=False, initial_weights=normal(STD))
    return nn.serial(embedding=nn.embedding(vocab, width, STD), **body, head=head)
