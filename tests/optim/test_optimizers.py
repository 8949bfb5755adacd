"""Optimizers against plain loops in float64, what a learning rate may be, and where their eqns belong."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lwps
from lwps import optim, tracing, tree
from lwps.core import ShapedArray, evaluate_program

STEPS = 5


def params_of(rng, dtype):
    """Leaves of every depth, one of them 0-d."""
    return {
        "conv1": {"w": rng.standard_normal((2, 3)).astype(dtype), "b": rng.standard_normal(3).astype(dtype)},
        "layer1": [{"scale": np.asarray(rng.standard_normal(), dtype)}],
    }


def gradients(params, rng):
    # magnitudes from 1e-4 to 1e4: Adam divides by their size, SGD does not
    return [
        tree.map(lambda p: np.asarray(rng.standard_normal(p.shape) * 10 ** rng.uniform(-4, 4), p.dtype), params)
        for _ in range(STEPS)
    ]


def run(optimizer, params, grads):
    state = optimizer.init(params)
    for g in grads:
        updates, state = optimizer.update(g, state, params)
        params = optim.apply_updates(params, updates)
    return params


def sgd_loop(p, grads, lr, momentum, decay, nesterov):
    m = np.zeros_like(p)
    for g in grads:
        g = g + decay * p
        m = momentum * m + g
        p = p - lr * (g + momentum * m if nesterov else m)
    return p


def adam_loop(p, grads, lr, b1, b2, eps, decay=0, nesterov=False):
    m = v = np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        ahead = m / (1 - b1**t)
        if nesterov:
            ahead = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        p = p - lr * (ahead / (np.sqrt(v / (1 - b2**t)) + eps) + decay * p)
    return p


def rmsprop_loop(p, grads, lr, decay, eps, centered, momentum, nesterov):
    v = mean = heavy = np.zeros_like(p)
    for g in grads:
        v = decay * v + (1 - decay) * g**2
        mean = decay * mean + (1 - decay) * g
        u = g / (np.sqrt(v - mean**2 if centered else v) + eps)
        heavy = momentum * heavy + u
        p = p - lr * (u + momentum * heavy if nesterov else heavy)
    return p


def check(optimizer, loop, dtype, seed, *settings):
    rng = np.random.default_rng(seed)
    params = params_of(rng, dtype)
    grads = gradients(params, rng)
    got = run(optimizer, params, grads)
    rtol = 1e-5 if dtype == "float32" else 1e-12
    for k, p in enumerate(tree.leaves(params)):
        want = loop(np.float64(p), [np.float64(tree.leaves(g)[k]) for g in grads], *settings)
        leaf = tree.leaves(got)[k]
        assert leaf.dtype == dtype
        np.testing.assert_allclose(leaf, want, rtol=rtol, atol=rtol * max(1, np.max(np.abs(want))))


of_each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
seeds = st.integers(0, 2**32 - 1)


@of_each_dtype
@given(seed=seeds, momentum=st.sampled_from([0.0, 0.9]), decay=st.sampled_from([0.0, 0.1]), nesterov=st.booleans())
def test_sgd_is_the_loop(dtype, seed, momentum, decay, nesterov):
    nesterov = nesterov and momentum > 0
    check(optim.sgd(0.1, momentum, decay, nesterov), sgd_loop, dtype, seed, 0.1, momentum, decay, nesterov)


@of_each_dtype
@given(seed=seeds, b1=st.sampled_from([0.0, 0.9]), b2=st.sampled_from([0.0, 0.999]), nesterov=st.booleans())
def test_adam_is_the_loop(dtype, seed, b1, b2, nesterov):
    check(optim.adam(0.1, b1, b2, nesterov=nesterov), adam_loop, dtype, seed, 0.1, b1, b2, 1e-8, 0, nesterov)


@of_each_dtype
@given(seed=seeds, decay=st.sampled_from([0.0, 0.3]))
def test_adamw_is_the_loop(dtype, seed, decay):
    check(optim.adamw(0.1, weight_decay=decay), adam_loop, dtype, seed, 0.1, 0.9, 0.999, 1e-8, decay)


@of_each_dtype
@given(seed=seeds, centered=st.booleans(), momentum=st.sampled_from([0.0, 0.9]), nesterov=st.booleans())
def test_rmsprop_is_the_loop(dtype, seed, centered, momentum, nesterov):
    settings = 0.8, 1e-8, centered, momentum, nesterov and momentum > 0
    # two gradients alike would leave a difference of rounding only under the root: the magnitudes differ by step
    check(optim.rmsprop(0.1, *settings), rmsprop_loop, dtype, seed, 0.1, *settings)


def test_a_centered_mean_of_equal_gradients_is_no_nan():
    # v = m^2 but for rounding, which takes the difference below 0 for some of these
    opt, params = optim.rmsprop(0.1, centered=True), {"w": np.linspace(0.1, 9, 500, dtype=np.float32)}
    state = opt.init(params)
    for _ in range(40):
        updates, state = opt.update(params, state, params)
    assert np.isfinite(updates["w"]).all()


def test_adamw_decays_the_parameters_of_its_mask_only():
    params = {"w": np.ones((2, 2), np.float32), "b": np.ones(2, np.float32)}
    opt = optim.adamw(0.5, weight_decay=0.1, mask=lambda path, p: p.ndim > 1)
    updates, _ = opt.update(tree.map(np.zeros_like, params), opt.init(params), params)
    np.testing.assert_allclose(updates["w"], -0.05)
    np.testing.assert_array_equal(updates["b"], 0)


def test_adam_counts_its_steps_and_corrects_less_and_less():
    # with one gradient throughout the corrected averages are that gradient: every step is 1
    opt, params, grads = optim.scale_by_adam(), {"w": np.float32([1, -1])}, {"w": np.float32([3, -2e-3])}
    state = opt.init(params)
    assert (state["count"].dtype, state["count"].shape) == (np.int32, ())
    for t in range(1, 4):
        updates, state = opt.update(grads, state, params)
        assert state["count"] == t
        np.testing.assert_allclose(updates["w"], [1, -1], rtol=2e-5)


def test_adam_after_many_steps_needs_no_correction():
    opt, params = optim.scale_by_adam(), {"w": np.ones(1, np.float32)}
    state = opt.init(params) | {
        "count": np.int32(10**8),
        "m": {"w": np.ones(1, np.float32)},
        "v": {"w": np.ones(1, np.float32)},
    }
    updates, _ = opt.update({"w": np.ones(1, np.float32)}, state, params)
    np.testing.assert_allclose(updates["w"], [1], rtol=1e-5)


OPTIMIZERS = {
    "sgd": optim.sgd,
    "momentum": lambda lr: optim.sgd(lr, 0.9, 1e-4, nesterov=True),
    "adam": optim.adam,
    "adamw": lambda lr: optim.adamw(lr, mask="*w"),
    "rmsprop": lambda lr: optim.rmsprop(lr, centered=True, momentum=0.9),
    "clipped": lambda lr: optim.chain(optim.clip_by_global_norm(0.1), optim.clip(0.05), optim.adam(lr)),
    "parts": lambda lr: optim.partition({"conv1/*": optim.adam(lr), "*": optim.sgd(lr)}),
}
of_each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def traced_step(make, params):
    state = make(0.1).init(params)

    def step(params, state, grads, lr):
        updates, state = make(lr).update(grads, state, params)
        return optim.apply_updates(params, updates), state

    args = (params, state, params, np.float32(0.1))
    return tracing.trace(step, *args), args


@of_each_optimizer
def test_a_traced_learning_rate_gives_what_a_number_gives(make):
    params = params_of(np.random.default_rng(0), "float32")
    program, args = traced_step(make, params)
    got = evaluate_program(program, tree.leaves(args))
    updates, state = make(0.1).update(params, make(0.1).init(params), params)
    want = tree.leaves((optim.apply_updates(params, updates), state))
    for x, y in zip(got, want, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=1e-6)


@of_each_optimizer
def test_updates_belong_to_the_layer_of_their_parameter_and_to_their_phase(make):
    program, _ = traced_step(make, params_of(np.random.default_rng(0), "float32"))
    assert {eqn.phase for eqn in program.eqns} == {"update"}
    assert {eqn.layer for eqn in program.eqns} - {""} == {"conv1", "layer1/0"}
    for eqn in program.eqns:
        if eqn.layer == "":  # what all share: Adam's count and its corrections
            assert all(v.aval.shape == () for v in eqn.outs)


@of_each_optimizer
def test_a_schedule_gives_what_its_numbers_give(make):
    rng = np.random.default_rng(0)
    params = params_of(rng, "float32")
    by_schedule, state = make(lambda count: 0.5 / (count + 2)), make(0.1).init(params)
    scheduled = by_schedule.init(params)
    got = want = params
    for n, g in enumerate(gradients(params, rng)):
        updates, scheduled = by_schedule.update(g, scheduled, got)
        got = optim.apply_updates(got, updates)
        updates, state = make(0.5 / (n + 2)).update(g, state, want)
        want = optim.apply_updates(want, updates)
    for x, y in zip(tree.leaves(got), tree.leaves(want), strict=True):
        assert x.dtype == np.float32
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw", "rmsprop"])
def test_a_leaf_takes_one_pass_over_memory(name):
    program, _ = traced_step(OPTIMIZERS[name], params_of(np.random.default_rng(0), "float32"))
    work = [e for e in lwps.optimize(program).eqns if e.runs and e.layer]
    assert [(e.primitive.name, e.layer) for e in work if e.outs[0].aval.shape] == [("fused", "conv1")] * 2


@of_each_optimizer
def test_a_learning_rate_of_another_dtype_does_not_change_the_parameters(make):
    params = params_of(np.random.default_rng(0), "float32")
    updates, _ = make(np.full((), 0.1, np.float64)).update(params, make(0.1).init(params), params)
    assert {u.dtype for u in tree.leaves(updates)} == {np.dtype("float32")}


def test_params_that_are_one_leaf_belong_to_the_top():
    x = ShapedArray((3,), "float32")
    program = tracing.trace(lambda p, g: optim.sgd(0.1).update(g, {}, p)[0], x, x)
    assert {eqn.layer for eqn in program.eqns} == {""}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.sgd(0.1, momentum=1.0), r"sgd: momentum must be from 0 to below 1, got 1\.0"),
        (lambda: optim.sgd(0.1, weight_decay=-1), "sgd: weight_decay must be at least 0, got -1"),
        (lambda: optim.sgd(0.1, nesterov=True), r"sgd: nesterov must have a momentum above 0, got 0\.0"),
        (lambda: optim.accumulate(-0.1), r"accumulate: momentum must be from 0 to below 1, got -0\.1"),
        (lambda: optim.adam(0.1, b1=1), "adam: b1 must be from 0 to below 1, got 1"),
        (lambda: optim.adam(0.1, b2=-0.5), r"adam: b2 must be from 0 to below 1, got -0\.5"),
        (lambda: optim.adam(0.1, eps=-1), "adam: eps must be at least 0, got -1"),
        (lambda: optim.adamw(0.1, weight_decay=-1), "add_decayed_weights: weight_decay must be at least 0, got -1"),
        (lambda: optim.rmsprop(0.1, decay=1), "rmsprop: decay must be from 0 to below 1, got 1"),
        (lambda: optim.rmsprop(0.1, eps=float("nan")), "rmsprop: eps must be at least 0, got nan"),
        (lambda: optim.rmsprop(0.1, momentum=2), "rmsprop: momentum must be from 0 to below 1, got 2"),
        (lambda: optim.rmsprop(0.1, nesterov=True), r"rmsprop: nesterov must have a momentum above 0, got 0\.0"),
        (lambda: optim.chain(), "chain: there must be at least one stage, got none"),
        (lambda: optim.clip(-1), "clip: max_delta must be at least 0, got -1"),
        (lambda: optim.clip_by_global_norm(0), "clip_by_global_norm: max_norm must be above 0, got 0"),
        (lambda: optim.ema(1.0), r"ema: decay must be from 0 to below 1, got 1\.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_gradients_of_another_model_are_refused():
    params, one = {"a": {"w": np.ones(2, np.float32)}}, np.ones(2, np.float32)
    with pytest.raises(ValueError, match=r"update: pytrees must have the same structure, got .*'w'.* and .*'b'"):
        optim.sgd(0.1).update({"a": {"b": one}}, {}, params)
    with pytest.raises(
        TypeError, match=r"update: .* must share one float aval, got float32\[2\], float32\[3\] for a/w"
    ):
        optim.sgd(0.1).update({"a": {"w": np.ones(3, np.float32)}}, {}, params)
    whole = {"a": {"w": np.ones(2, np.int32)}}
    with pytest.raises(TypeError, match=r"apply_updates: .* got int32\[2\], int32\[2\] for a/w"):
        optim.apply_updates(whole, whole)


def test_no_parameters_are_no_work():
    for make in OPTIMIZERS.values():
        updates, _ = make(0.1).update({}, make(0.1).init({}), {})
        assert optim.apply_updates({}, updates) == {}


def test_minimising_a_square_ends_at_its_minimum():
    for opt in (optim.sgd(0.1, 0.5, nesterov=True), optim.adam(0.1), optim.adamw(0.1), optim.rmsprop(0.0125)):
        params = {"w": np.float32([3, -2])}
        state = opt.init(params)
        for _ in range(300):
            updates, state = opt.update({"w": 2 * params["w"]}, state, params)
            params = optim.apply_updates(params, updates)
        assert math.hypot(*params["w"]) < 0.02
