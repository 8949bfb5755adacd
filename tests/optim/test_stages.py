"""Stages alone and chained: clipping, scaling, averages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps import optim, tracing, tree
from lwps.core import ShapedArray, evaluate_program

PARAMS = {"a": {"w": np.zeros((2, 3), np.float32)}, "b": np.zeros((), np.float32)}


def gradients(seed, size=1.0):
    rng = np.random.default_rng(seed)
    return tree.map(lambda p: np.asarray(size * rng.standard_normal(p.shape), np.float32), PARAMS)


def norm(grads):
    return np.sqrt(sum(np.sum(np.float64(g) ** 2) for g in tree.leaves(grads)))


def updates_of(stage, grads, params=PARAMS):
    return stage.update(grads, stage.init(params), params)[0]


@given(seed=st.integers(0, 99), size=st.sampled_from([1e-3, 1, 1e6]), limit=st.floats(0.125, 10))
def test_gradients_above_the_norm_are_brought_to_it_and_others_stay(seed, size, limit):
    grads = gradients(seed, size)
    got = updates_of(optim.clip_by_global_norm(limit), grads)
    np.testing.assert_allclose(optim.global_norm(grads), norm(grads), rtol=1e-6)
    if norm(grads) < limit * (1 - 1e-6):
        for x, y in zip(tree.leaves(got), tree.leaves(grads), strict=True):
            np.testing.assert_array_equal(x, y)
    else:
        np.testing.assert_allclose(norm(got), min(limit, norm(grads)), rtol=1e-5)
        first = tree.leaves(grads)[0]
        np.testing.assert_allclose(tree.leaves(got)[0], first * (limit / norm(grads)), rtol=1e-5)


def test_gradients_of_zero_stay_and_a_nan_makes_all_nan():
    zeros = tree.map(np.zeros_like, PARAMS)
    assert not np.any(updates_of(optim.clip_by_global_norm(1), zeros)["a"]["w"])
    got = updates_of(optim.clip_by_global_norm(1), zeros | {"b": np.float32(np.nan)})
    assert np.isnan(got["a"]["w"]).all()
    assert optim.global_norm({}) == 0


def test_clip_brings_elements_to_the_limit_and_keeps_nan():
    got = updates_of(optim.clip(0.5), np.float32([-3, -0.5, 0.25, np.inf, np.nan]), np.zeros(5, np.float32))
    np.testing.assert_array_equal(got, np.float32([-0.5, -0.5, 0.25, 0.5, np.nan]))


def test_stages_follow_one_another_and_keep_their_states_in_order():
    count_twice = optim.chain(optim.scale_by_schedule(lambda n: n + 1.0), optim.scale(2.0), optim.accumulate(0.5))
    state = count_twice.init(PARAMS)
    one = tree.map(np.ones_like, PARAMS)
    for want in (2.0, 5.0, 8.5):  # 2, 4 + 2/2, 6 + 5/2
        updates, state = count_twice.update(one, state, PARAMS)
        np.testing.assert_allclose(updates["b"], want)
    assert state[0]["count"] == 3
    assert state[1] == {}
    np.testing.assert_allclose(state[2]["momentum"]["b"], 8.5)


def test_a_state_of_another_chain_is_refused():
    with pytest.raises(ValueError, match="chain: the state must be that of 2 stages, got 1; use init"):
        optim.chain(optim.scale(1), optim.scale(2)).update(PARAMS, ({},), PARAMS)


def test_decayed_weights_are_added():
    params = tree.map(lambda p: p + np.float32(2), PARAMS)
    got = optim.add_decayed_weights(np.float32(0.25), mask="a/*").update(PARAMS, {}, params)[0]
    assert got["b"] == 0
    np.testing.assert_array_equal(got["a"]["w"], 0.5)


@given(seed=st.integers(0, 99), decay=st.sampled_from([0.0, 0.5, 0.999]), steps=st.integers(1, 5))
def test_an_average_weighs_later_parameters_more(seed, decay, steps):
    average, values = optim.ema(decay), [gradients(seed + k) for k in range(steps)]
    state = average.init(PARAMS)
    for params in values:
        means, state = average.update(params, state)
    weights = decay ** np.arange(steps - 1, -1, -1.0)
    for k, got in enumerate(tree.leaves(means)):
        rows = [np.float64(tree.leaves(params)[k]) for params in values]
        np.testing.assert_allclose(got, np.average(rows, 0, weights), rtol=1e-4, atol=1e-6)
        assert got.dtype == np.float32


def test_averages_belong_to_the_update_of_their_layer():
    wide = {"a": {"w": ShapedArray((3,), "float64")}}
    program = tracing.trace(optim.ema(0.9).update, wide, {"count": ShapedArray((), "int32"), "mean": wide})
    assert {(e.layer, e.phase) for e in program.eqns} == {("", "update"), ("a", "update")}
    assert evaluate_program(program, [np.ones(3), np.int32(0), np.zeros(3)])[0].dtype == np.float64
