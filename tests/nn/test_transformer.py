"""Attention with several heads, transformer blocks, positions, tied embeddings."""

import numpy as np
import pytest

import lwps
from lwps import nn, tree
from lwps.core import ShapedArray
from lwps.ops import random

from .layers import normal, program_of, run

SEQUENCES = ShapedArray((2, 6, 12), "float32")


def attention_reference(params, x, heads, shared, causal):
    """In float64, head by head."""
    size = x.shape[-1] // heads
    y = x.astype(np.float64) @ params["qkv"]["w"] + params["qkv"].get("b", 0)
    q, k, v = np.split(y, (heads * size, (heads + shared) * size), axis=-1)
    found = []
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        of_keys = head * shared // heads
        theirs = slice(of_keys * size, (of_keys + 1) * size)
        scores = q[..., own] @ k[..., theirs].swapaxes(1, 2) / np.sqrt(size)
        if causal:
            scores = np.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        found.append(weights / weights.sum(-1, keepdims=True) @ v[..., theirs])
    return np.concatenate(found, axis=-1) @ params["out"]["w"] + params["out"].get("b", 0)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("heads", "shared"), [(1, None), (4, None), (4, 2), (3, 1)])
def test_heads_attend_each_for_itself(heads, shared, causal, bias):
    layer = nn.multi_head_attention(heads, causal, bias, key_heads=shared)
    params, state, out = layer.init(random.key(0), SEQUENCES)
    x = normal(SEQUENCES)
    y, _ = layer.apply(params, state, x, train=True)
    assert out == SEQUENCES
    assert set(params["qkv"]) == ({"w", "b"} if bias else {"w"})
    want = attention_reference(params, x, heads, shared or heads, causal)
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-6)


def test_a_block_adds_attention_and_then_an_mlp_to_what_it_gets():
    layer = nn.transformer_block(3, causal=True, hidden=20, activation=nn.relu)
    params, state, _ = layer.init(random.key(0), SEQUENCES)
    x = normal(SEQUENCES)

    def norm(x):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)

    h = x + attention_reference(params["attention"]["attend"], norm(x), 3, 3, True)
    mlp = params["mlp"]
    hidden = np.maximum(norm(h) @ mlp["up"]["w"] + mlp["up"]["b"], 0)
    want = h + hidden @ mlp["down"]["w"] + mlp["down"]["b"]
    np.testing.assert_allclose(
        layer.apply(params, state, x, train=True, key=random.key(0))[0], want, rtol=1e-4, atol=1e-5
    )
    assert mlp["up"]["w"].shape == (12, 20)


def test_dropout_of_a_block_acts_when_training_only():
    x = normal(SEQUENCES)
    layer = nn.transformer_block(3, dropout_rate=0.5)
    params, state, _ = layer.init(random.key(0), SEQUENCES)
    still, _ = layer.apply(params, state, x, train=False)
    first, other = (layer.apply(params, state, x, train=True, key=random.key(k))[0] for k in (0, 1))
    assert not np.allclose(first, still)
    assert not np.allclose(first, other)
    with pytest.raises(ValueError, match="dropout: training must have a key"):
        layer.apply(params, state, x, train=True)


def test_matrices_begin_as_they_are_told_to():
    layer = nn.transformer_block(
        2, initial_weights=nn.initializers.constant(1.0), initial_out=nn.initializers.constant(2.0)
    )
    params, _, _ = layer.init(random.key(0), SEQUENCES)
    attend, mlp = params["attention"]["attend"], params["mlp"]
    assert {float(w) for part in (attend["qkv"], mlp["up"]) for w in part["w"].reshape(-1)} == {1}
    assert {float(w) for part in (attend["out"], mlp["down"]) for w in part["w"].reshape(-1)} == {2}
    assert not attend["qkv"]["b"].any()


def test_layers_of_programs_are_named_by_their_parts():
    names = {eqn.layer for eqn in program_of(nn.transformer_block(2), SEQUENCES, train=False).eqns}
    assert {"attention/norm", "attention/attend/qkv", "attention/attend", "attention/attend/out", "mlp/up"} <= names


def test_positions_are_added_and_shorter_sequences_take_the_first():
    layer = nn.position_embedding(9)
    params, state, _ = layer.init(random.key(0), SEQUENCES)
    assert params["w"].shape == (9, 12)
    x = normal(SEQUENCES)
    np.testing.assert_array_equal(layer.apply(params, state, x, train=True)[0], x + params["w"][:6])
    np.testing.assert_array_equal(layer.apply(params, state, x[:, :2], train=True)[0], x[:, :2] + params["w"][:2])


def test_tied_logits_are_products_with_the_embeddings_rows_and_both_uses_have_gradients():
    tokens = np.int32([[1, 2, 0], [4, 4, 3]])
    layer = nn.tied_embedding(5, 4, nn.serial(nn.linear(4)))
    params, state, out = layer.init(random.key(0), ShapedArray(tokens.shape, "int32"))
    logits, _ = layer.apply(params, state, tokens, train=True)
    assert (out.shape, logits.shape) == ((2, 3, 5),) * 2
    w, linear = params["embedding"]["w"], params["body"]["0"]
    np.testing.assert_allclose(logits, (w[tokens] @ linear["w"] + linear["b"]) @ w.T, rtol=1e-5, atol=1e-6)
    weights = normal(out)

    def loss(params):
        return (layer.apply(params, state, tokens, train=True)[0] * weights).sum()

    grads = lwps.grad(loss)(params)
    towards = tree.map(lambda p: normal(ShapedArray(p.shape, p.dtype), seed=p.size), params)
    ahead = loss(tree.map(lambda p, d: p + 1e-2 * d, params, towards))
    behind = loss(tree.map(lambda p, d: p - 1e-2 * d, params, towards))
    ruled = sum((g * d).sum() for g, d in zip(tree.leaves(grads), tree.leaves(towards), strict=True))
    np.testing.assert_allclose(ruled, (ahead - behind) / 2e-2, rtol=1e-2)
    assert grads["embedding"]["w"][[0, 1, 2, 3, 4]].any(axis=1).all()


def test_a_body_that_changes_the_features_is_refused():
    layer = nn.tied_embedding(5, 4, nn.serial(nn.linear(3)))
    match = r"tied_embedding: body must give what it gets, float32\[2,4\], got float32\[2,3\]; add a linear layer"
    with pytest.raises(TypeError, match=match):
        layer.init(random.key(0), ShapedArray((2,), "int32"))


def test_attention_of_one_width_refuses_another():
    layer = nn.multi_head_attention(2)
    params, state, _ = layer.init(random.key(0), SEQUENCES)
    with pytest.raises(TypeError, match=r"multi_head_attention: x must be sequences"):
        layer.apply(params, state, np.zeros((2, 12), np.float32), train=True)
    assert run(layer, normal(SEQUENCES))[0].shape == SEQUENCES.shape
