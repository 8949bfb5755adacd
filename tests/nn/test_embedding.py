"""The embedding layer: rows of its weights, and the sums of cotangents of each row."""

import numpy as np
import pytest

import lwps
from lwps import nn
from lwps.core import ShapedArray
from lwps.ops import random

TOKENS = np.array([[3, 0, 3], [-1, 4, 3]], np.int32)


def test_it_picks_rows_and_keeps_their_axes():
    layer = nn.embedding(5, 8)
    params, state, out = layer.init(random.key(0), ShapedArray(TOKENS.shape, "int32"))
    assert (out, state) == (ShapedArray((2, 3, 8), "float32"), {})
    y, _ = layer.apply(params, state, TOKENS, train=True)
    np.testing.assert_array_equal(y, params["w"][TOKENS])


def test_weights_begin_with_the_deviation_asked_for():
    w = nn.embedding(1000, 50, std=0.02).init(random.key(0), ShapedArray((1,), "int32"))[0]["w"]
    assert w.dtype == np.float32
    np.testing.assert_allclose([w.std(), w.mean()], [0.02, 0], atol=2e-4)


@pytest.mark.parametrize("placement", [None, "auto"])
def test_a_row_gets_the_sum_of_the_cotangents_of_its_tokens(placement):
    layer = nn.embedding(5, 2)
    params, state, _ = layer.init(random.key(0), ShapedArray(TOKENS.shape, "int32"))
    weights = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    gradient = lwps.grad(lambda params, x: (layer.apply(params, state, x, train=True)[0] * weights).sum())
    step = lwps.jit(gradient, placement=placement or lwps.default_machine().names[-1])
    want = np.zeros((5, 2), np.float32)
    np.add.at(want, TOKENS, weights)
    np.testing.assert_array_equal(np.asarray(step(params, TOKENS)["w"]), want)


def test_a_token_that_is_not_there_has_a_row_of_nan():
    layer = nn.embedding(5, 2)
    params, state, _ = layer.init(random.key(0), ShapedArray((2,), "int32"))
    y, _ = layer.apply(params, state, np.array([5, 4], np.int32), train=False)
    np.testing.assert_array_equal(np.isnan(y).all(axis=-1), [True, False])


def test_refusals_say_what_must_hold():
    with pytest.raises(ValueError, match="embedding: vocab and features must be at least 1, got 0 and 3"):
        nn.embedding(0, 3)
    with pytest.raises(TypeError, match=r"embedding: x must be integers, got float32\[2\]; use astype"):
        nn.embedding(2, 3).init(random.key(0), ShapedArray((2,), "float32"))
