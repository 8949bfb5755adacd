"""Parameters picked by their paths: masks, partitions, frozen parts."""

import numpy as np
import pytest

import lwps
from lwps import nn, optim, tree
from lwps.core import ShapedArray, evaluate_program

PARAMS = {
    "conv": {"w": np.ones((2, 2), np.float32), "b": np.ones(2, np.float32)},
    "head": [{"w": np.ones(3, np.float32)}],
}
ONES = tree.map(np.ones_like, PARAMS)


def updates_of(optimizer, grads=ONES, params=PARAMS):
    updates, state = optimizer.update(grads, optimizer.init(params), params)
    return updates, state


@pytest.mark.parametrize("mask", ["conv/*", lambda path, p: path.startswith("conv"), lambda path, p: p.shape != (3,)])
def test_a_mask_is_a_pattern_or_a_function_of_path_and_aval(mask):
    updates, state = updates_of(optim.masked(optim.accumulate(0.5), mask))
    assert tree.structure(updates) == tree.structure(PARAMS)
    assert tree.paths(state["momentum"]) == [("conv", "b"), ("conv", "w")]  # the others have no state
    updates, _ = optim.masked(optim.accumulate(0.5), mask).update(ONES, state, PARAMS)
    np.testing.assert_array_equal(updates["conv"]["w"], 1.5)
    np.testing.assert_array_equal(updates["head"][0]["w"], 1)


def test_each_parameter_is_treated_by_the_first_pattern_that_fits():
    optimizer = optim.partition({"*/b": optim.sgd(3.0), "conv/*": optim.sgd(2.0), "*": optim.adam(1.0)})
    updates, state = updates_of(optimizer)
    np.testing.assert_array_equal(updates["conv"]["b"], -3)
    np.testing.assert_array_equal(updates["conv"]["w"], -2)
    np.testing.assert_allclose(updates["head"][0]["w"], -1, rtol=1e-6)
    assert tree.paths(state[2][0]["m"]) == [("head", "0", "w")]


def test_frozen_parameters_stay_and_cost_nothing():
    model = nn.serial(body=nn.linear(8), head=nn.linear(3))
    params, _, _ = model.init(lwps.random.key(0), ShapedArray((4, 5), "float32"))
    optimizer = optim.chain(
        optim.partition({"head/*": optim.adam(0.1), "*": optim.set_to_zero()}),
        optim.accumulate(0.5),  # stages behind leave alone what is not to change
    )
    state = optimizer.init(params)

    def step(params, state, x):
        grads = lwps.grad(lambda p: (model.apply(p, {"body": {}, "head": {}}, x, train=True)[0] ** 2).mean())(params)
        updates, state = optimizer.update(grads, state, params)
        return optim.apply_updates(params, updates), state

    x = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    args = (params, state, x)
    program = lwps.optimize(lwps.trace(step, *args, donate_argnums=(0, 1)))
    assert {eqn.layer for eqn in program.eqns if eqn.phase != "forward"} - {""} == {"head"}
    new, _ = tree.unflatten(program.out_tree, evaluate_program(program, tree.leaves(args)))
    for name in "wb":
        np.testing.assert_array_equal(new["body"][name], params["body"][name])
        assert np.all(new["head"][name] != params["head"][name])


def test_a_gradient_none_leaves_parameter_and_state_alone():
    grads = {"conv": {"w": ONES["conv"]["w"], "b": None}, "head": [{"w": None}]}
    for optimizer in (optim.adamw(0.1), optim.sgd(0.1, 0.9, 0.1), optim.clip_by_global_norm(1.0)):
        updates, _ = updates_of(optimizer, grads)
        new = optim.apply_updates(PARAMS, updates)
        assert updates["conv"]["b"] is None
        np.testing.assert_array_equal(new["conv"]["b"], PARAMS["conv"]["b"])
        assert np.all(updates["conv"]["w"] != 0)


def test_patterns_that_miss_are_refused():
    with pytest.raises(ValueError, match=r"masked: 'cnov/\*' must fit a parameter, got conv/b, conv/w, head/0/w"):
        optim.masked(optim.clip(1), "cnov/*").init(PARAMS)
    with pytest.raises(ValueError, match=r"partition: every parameter must fit a pattern of .*, got head/0/w; add"):
        optim.partition({"conv/*": optim.sgd(1)}).init(PARAMS)
    with pytest.raises(ValueError, match=r"partition: 'conv/w' must be the first to fit a parameter, got conv/b"):
        optim.partition({"*": optim.sgd(1), "conv/w": optim.sgd(1)}).init(PARAMS)
