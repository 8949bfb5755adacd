"""Recurrent cells against their equations in float64, and what unrolling makes of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lwps
from lwps import nn, testing, tree
from lwps.core import ShapedArray
from lwps.ops import random

from .layers import program_of

CELLS = {"rnn": nn.rnn_cell, "gru": nn.gru_cell, "lstm": nn.lstm_cell}
of_each_cell = pytest.mark.parametrize("name", CELLS)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(name, params, x):
    """All results and the last carry, in float64."""
    p = {key: np.float64(value) for key, value in params.items()}
    h = c = np.zeros((x.shape[0], p["w_hh"].shape[0]))
    results = []
    for t in range(x.shape[1]):
        z, hidden = x[:, t] @ p["w_ih"] + p["b_ih"], h @ p["w_hh"] + p["b_hh"]
        if name == "rnn":
            h = np.tanh(z + hidden)
        elif name == "gru":
            (xr, xu, xn), (hr, hu, hn) = np.split(z, 3, 1), np.split(hidden, 3, 1)
            u = sigmoid(xu + hu)
            h = (1 - u) * np.tanh(xn + sigmoid(xr + hr) * hn) + u * h
        else:
            i, f, g, o = np.split(z + hidden, 4, 1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        results.append(h)
    return np.stack(results, 1), (h, c) if name == "lstm" else h


def given_cell(name, N, T, C, features, seed=0, size=1.0, dtype="float32"):
    cell = CELLS[name](features)
    params = cell.init(random.key(seed), ShapedArray((N, C), dtype))
    return cell, params, (size * np.random.default_rng(seed).standard_normal((N, T, C))).astype(dtype)


@of_each_cell
@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.integers(1, 5)),
    seed=st.integers(0, 99),
    size=st.sampled_from([1.0, 100.0]),  # 100: gates shut, exp overflows where a sigmoid is made naively
)
def test_results_are_those_of_the_equations(name, sizes, seed, size):
    cell, params, x = given_cell(name, *sizes, seed, size)
    got, carry = nn.unroll(cell, params, x)
    want, last = reference(name, params, np.float64(x))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    for a, b in zip(tree.leaves(carry), tree.leaves(last), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@of_each_cell
@pytest.mark.parametrize("processor", testing.PROCESSORS)
def test_gradients_are_those_of_the_equations_on_every_processor(name, processor):
    cell, params, x = given_cell(name, 2, 4, 3, 5)
    weights = np.random.default_rng(1).standard_normal((2, 4, 5))

    def loss(params, x):
        return (nn.unroll(cell, params, x)[0] * np.float32(weights)).sum()

    got = tree.leaves(lwps.jit(lwps.grad(loss, (0, 1)), placement=processor)(params, x))
    wide = tree.map(np.float64, (params, x))
    for k, ct in enumerate(got):
        towards = np.random.default_rng(k).standard_normal(ct.shape)

        def along(t, k=k, towards=towards):
            leaves = tree.leaves(wide)
            leaves[k] = leaves[k] + t * towards
            return (reference(name, *tree.unflatten(tree.structure(wide), leaves))[0] * weights).sum()

        slope = (along(1e-6) - along(-1e-6)) / 2e-6
        np.testing.assert_allclose((np.asarray(ct) * towards).sum(), slope, rtol=1e-4, atol=1e-4)


@of_each_cell
def test_a_sequence_in_two_parts_is_one_with_the_carry_between(name):
    cell, params, x = given_cell(name, 2, 5, 3, 4, dtype="float64")
    whole, last = nn.unroll(cell, params, x)
    first, carry = nn.unroll(cell, params, x[:, :2])
    second, end = nn.unroll(cell, params, x[:, 2:], carry)
    np.testing.assert_allclose(np.concatenate([first, second], 1), whole, rtol=1e-12)
    for a, b in zip(tree.leaves(end), tree.leaves(last), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    carry, y = cell.apply(params, cell.carry((2,), "float64"), x[:, 0])
    np.testing.assert_allclose(y, whole[:, 0], rtol=1e-12)


def test_steps_belong_to_the_layer_and_inputs_are_one_product():
    model = nn.serial(nn.lstm(5), head=nn.linear(2))
    program = program_of(model, ShapedArray((2, 4, 3), "float32"))
    products = [e for e in program.eqns if e.primitive.name == "matmul" and e.layer == "0"]
    assert len(products) == 1 + 4
    assert {e.layer for e in program.eqns} == {"0", "head"}


def test_params_have_the_shapes_and_the_range_of_pytorchs():
    params, _, aval = nn.gru(16).init(random.key(0), ShapedArray((2, 7, 3), "float32"))
    shapes = {name: w.shape for name, w in params.items()}
    assert shapes == {"w_ih": (3, 48), "w_hh": (16, 48), "b_ih": (48,), "b_hh": (48,)}
    assert aval == ShapedArray((2, 7, 16), "float32")
    for w in params.values():
        assert 0.2 < abs(w).max() <= 0.25


def test_what_cannot_be_unrolled_is_refused():
    with pytest.raises(ValueError, match="lstm_cell: features must be at least 1, got 0"):
        nn.lstm(0)
    layer, key = nn.gru(3), random.key(0)
    for shape in ((2, 3), (2, 0, 3)):
        with pytest.raises(TypeError, match=r"recurrent: x must be sequences \[N, T, C\] of at least one step, got"):
            layer.init(key, ShapedArray(shape, "float32"))
    with pytest.raises(TypeError, match=r"recurrent: x must be float32 or float64, got int32\[2,3,4\]; use astype"):
        layer.init(key, ShapedArray((2, 3, 4), "int32"))
    with pytest.raises(TypeError, match=r"gru_cell: x must have at least one axis, got float32\[\]"):
        nn.gru_cell(3).init(key, ShapedArray((), "float32"))
    params = layer.init(key, ShapedArray((2, 3, 4), "float32"))[0]
    with pytest.raises(TypeError, match=r"unroll: x must be sequences .*, got float32\[2,4\]"):
        nn.unroll(nn.gru_cell(3), params, np.zeros((2, 4), np.float32))
