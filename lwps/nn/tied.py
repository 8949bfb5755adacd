"""Language models whose first weights are their last."""

from typing import Any

from lwps import tracing
from lwps.core import ShapedArray
from lwps.nn.embedding import embedding
from lwps.nn.layer import Layer
from lwps.ops import random
from lwps.ops.einsum import inner


def tied_embedding(vocab: int, features: int, body: Layer, std: float = 1.0) -> Layer:
    """x[...], integers -> logits[..., vocab]: products of `body(embedding(x))` with the rows of the embedding.

    `body` gives `[..., features]` as it gets. Params: `embedding`, as that layer's with `vocab`, `features` and `std`,
    and `body` (Press, Wolf, EACL 2017).
    """
    rows = embedding(vocab, features, std)

    def init(key: Any, aval: ShapedArray) -> tuple[Any, Any, ShapedArray]:
        keys = random.split(key)
        with tracing.layer("embedding"):
            params, _, inner_aval = rows.init(keys[0], aval)
        with tracing.layer("body"):
            body_params, state, out = body.init(keys[1], inner_aval)
        if out != inner_aval:
            raise TypeError(f"tied_embedding: body must give what it gets, {inner_aval}, got {out}; add a linear layer")
        return {"embedding": params, "body": body_params}, {"body": state}, _logits(aval, vocab, out)

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        with tracing.layer("embedding"):
            y, _ = rows.apply(params["embedding"], {}, x, train=train)
        with tracing.layer("body"):
            y, new_state = body.apply(params["body"], state["body"], y, train=train, key=key)
        with tracing.layer("logits"):
            return inner(y, params["embedding"]["w"]), {"body": new_state}

    return Layer(init, apply)


def _logits(tokens: ShapedArray, vocab: int, features: ShapedArray) -> ShapedArray:
    return ShapedArray((*tokens.shape, vocab), features.dtype)
