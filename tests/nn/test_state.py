"""Layers whose training differs from their evaluation: batch_norm and dropout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps import nn, tracing
from lwps.core import ShapedArray, evaluate_program
from lwps.ops import random, reduce
from lwps.ops.elementwise import mul
from lwps.transforms.vjp import vjp

from .layers import ROWS, normal


@given(rows=st.integers(2, 9), decay=st.sampled_from([0.0, 0.5, 0.9, 1.0]), seed=st.integers(0, 99))
def test_running_statistics_move_towards_the_batchs_mean_and_unbiased_variance(rows, decay, seed):
    layer = nn.batch_norm(decay)
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((rows, 3)) * 5 + 2).astype(np.float32)
    params, _, _ = layer.init(random.key(0), ShapedArray(x.shape, "float32"))
    old = {"mean": np.float32([1, -1, 0]), "var": np.float32([2, 1, 0.5])}
    _, new = layer.apply(params, old, x, train=True)
    batch = {"mean": x.astype(np.float64).mean(0), "var": x.astype(np.float64).var(0, ddof=1)}
    for name in old:
        np.testing.assert_allclose(new[name], decay * old[name] + (1 - decay) * batch[name], rtol=1e-5, atol=1e-5)


def test_training_normalises_by_the_batch_and_evaluation_by_the_running_statistics():
    layer = nn.batch_norm()
    x = normal(ROWS) * 3 + 1
    params, state, _ = layer.init(random.key(0), ROWS)
    y, _ = layer.apply(params, state, x, train=True)
    np.testing.assert_allclose(y, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), rtol=1e-4, atol=1e-5)
    state = {"mean": np.full(7, 2, np.float32), "var": np.full(7, 4, np.float32)}
    y, _ = layer.apply(params, state, x, train=False)
    np.testing.assert_allclose(y, (x - 2) / np.sqrt(4 + 1e-5), rtol=1e-5, atol=1e-5)


def test_one_row_can_be_evaluated_though_it_cannot_be_trained_on():
    params, state, out = nn.batch_norm().init(random.key(0), ShapedArray((1, 7), "float32"))
    assert out.shape == (1, 7)
    nn.batch_norm().apply(params, state, np.ones((1, 7), np.float32), train=False)


def test_no_gradient_flows_through_running_statistics():
    layer = nn.batch_norm()
    params, state, _ = layer.init(random.key(0), ROWS)

    def of_state(x):
        _, new = layer.apply(params, state, x, train=True)
        return reduce.sum(mul(new["mean"], new["var"]))

    _, gradient = evaluate_program(vjp(tracing.trace(of_state, ROWS)), [normal(ROWS), np.ones((), np.float32)])
    assert not gradient.any()


def test_dropout_keeps_the_mean_and_drops_its_share():
    x = np.ones((100, 100), np.float32)
    y, _ = nn.dropout(0.25).apply({}, {}, x, train=True, key=random.key(5))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.75], rtol=1e-6)
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.02)  # 10,000 draws: a deviation of 0.0043


def test_dropout_is_nothing_in_evaluation_or_at_rate_zero():
    x = normal(ROWS)
    assert nn.dropout(0.5).apply({}, {}, x, train=False)[0] is x
    assert nn.dropout(0.0).apply({}, {}, x, train=True)[0] is x


def test_dropout_without_a_key_is_refused_when_training():
    with pytest.raises(
        ValueError, match=r"dropout: training must have a key, got None; use apply\(\.\.\., train=True, key=key\)"
    ):
        nn.dropout(0.5).apply({}, {}, normal(ROWS), train=True)


def test_each_dropout_of_a_serial_draws_its_own_elements():
    model = nn.serial(nn.dropout(0.5), nn.serial(nn.dropout(0.5)))
    x = np.ones((64, 64), np.float32)
    params, state, _ = model.init(random.key(0), ShapedArray(x.shape, "float32"))
    first, _ = model.apply(params, state, x, train=True, key=random.key(1))
    again, _ = model.apply(params, state, x, train=True, key=random.key(1))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first != 0) == pytest.approx(0.25, abs=0.04)  # of one mask twice it would be 0.5


def test_keys_are_folded_only_where_one_is_given():
    def names(key):
        model = nn.serial(nn.relu(), nn.relu())
        program = tracing.trace(
            lambda x: model.apply({"0": {}, "1": {}}, {"0": {}, "1": {}}, x, train=True, key=key)[0], ROWS
        )
        return {eqn.primitive.name for eqn in program.eqns}

    assert names(None) == {"relu"}
    assert names(random.key(0)) > {"relu"}
