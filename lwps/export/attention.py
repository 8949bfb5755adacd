"""Attention as ONNX operators: products and a softmax, which runtimes join again where they can."""

from collections.abc import Sequence

import numpy as np

from lwps.core import Eqn, Primitive, Var
from lwps.export.elementwise import Builder
from lwps.export.graph import Axes, Emitter, NoForm
from lwps.export.inference import Size
from lwps.ops import attention

HEADS_FIRST = (0, 2, 1, 3)  # of [B, T, N, H]: [B, N, T, H]
TURNED = (0, 2, 3, 1)


def _attention(emit: Emitter, eqn: Eqn, *, causal: bool, scale: float) -> None:
    (q, k, v, *masks), (out, lse) = eqn.ins, eqn.outs
    if emit.is_read(lse):
        raise NoForm("its log-sum-exp is read; export the function without its gradient")
    batch, queries, _, features = emit.shape(q)
    keys, heads, groups = emit.shape(k)[1], q.aval.shape[2], k.aval.shape[2]  # heads are no batch
    shared = heads != groups  # several heads of q share one of k and v: an axis more
    scaled = emit.node("Mul", _heads(emit, q, HEADS_FIRST, shared, groups), emit.constant(scale, dtype=q.aval.dtype))
    scores = emit.node("MatMul", scaled, _heads(emit, k, TURNED, shared, groups))
    if shared:
        scores = emit.reshaped(scores, (batch, heads, queries, keys))
    weights = _weights(emit, scores, masks, causal, (queries, keys), q.aval.dtype)
    if shared:
        weights = emit.reshaped(weights, (batch, groups, heads // groups, queries, keys))
    result = emit.node("MatMul", weights, _heads(emit, v, HEADS_FIRST, shared, groups))
    if shared:
        result = emit.reshaped(result, (batch, heads, queries, features))
    emit.put(out, result, HEADS_FIRST)


def _heads(emit: Emitter, x: Var, form: Axes, shared: bool, groups: int) -> str:
    """`x` with its heads first; where heads share keys, as [B, groups, heads of a group, ...]."""
    name = emit.get(x, form)
    if not shared:
        return name
    batch, _, *rest = (emit.shape(x)[a] for a in form)
    return emit.reshaped(name, (batch, groups, x.aval.shape[2] // groups, *rest))


def _weights(
    emit: Emitter, scores: str, masks: Sequence[Var], causal: bool, sizes: tuple[Size, Size], dtype: np.dtype
) -> str:
    """The softmax of the scores of keys that are seen; zeros for a query that sees none."""
    never = emit.constant(-np.inf, dtype=dtype)
    queries, keys = sizes
    if causal:
        if not isinstance(queries, int) or not isinstance(keys, int):
            raise NoForm("the length of its sequences is the batch size")
        scores = emit.node("Where", emit.constant(np.tri(queries, keys, dtype=bool)), scores, never)
    for mask in masks:
        name = emit.get(mask)
        scores = emit.node("Where", name, scores, never) if mask.aval.dtype == bool else emit.node("Add", scores, name)
    weights = emit.node("Softmax", scores, axis=-1)
    if not masks:
        return weights
    largest = emit.node("ReduceMax", scores, emit.constant([-1], dtype=np.int64), keepdims=1)
    return emit.node("Where", emit.node("Equal", largest, never), emit.constant(0, dtype=dtype), weights)


ATTENTION: dict[Primitive, Builder] = {attention.attention_p: _attention}
