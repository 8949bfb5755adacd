"""Normalisations without state."""

import numpy as np
import pytest

from lwps import nn, tree
from lwps.core import ShapedArray
from lwps.ops import random

from .layers import run


def test_rows_have_no_mean_and_variance_one():
    x = np.random.default_rng(0).standard_normal((4, 50), np.float32) * 3 + 7
    for train in (False, True):
        y, state = run(nn.layer_norm(), x, train=train)
        assert state == {}
        np.testing.assert_allclose(y.mean(-1), 0, atol=1e-6)
        np.testing.assert_allclose(y.std(-1), 1, rtol=1e-4)
    np.testing.assert_allclose((run(nn.rms_norm(), x)[0] ** 2).mean(-1), 1, rtol=1e-4)


def test_groups_and_instances():
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 4), np.float32) * 3 + np.float32([0, 10, 20, 30])
    y, _ = run(nn.group_norm(2), x)
    np.testing.assert_allclose(y.reshape(2, 30, 2, 2).mean((1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.reshape(2, 30, 2, 2).std((1, 3)), 1, rtol=1e-4)
    y, _ = run(nn.instance_norm(), x)
    np.testing.assert_allclose(y.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((1, 2)), 1, rtol=1e-4)


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (nn.layer_norm(), {"scale", "bias"}),
        (nn.layer_norm(bias=False), {"scale"}),
        (nn.layer_norm(scale=False), {"bias"}),
        (nn.group_norm(1), {"scale", "bias"}),
        (nn.instance_norm(bias=False), {"scale"}),
        (nn.rms_norm(), {"scale"}),
        (nn.rms_norm(scale=False), set()),
    ],
)
def test_params_are_those_that_are_wanted_and_are_used(layer, names):
    aval = ShapedArray((2, 4, 5), "float32")
    params, _, _ = layer.init(random.key(0), aval)
    assert set(params) == names
    x = np.random.default_rng(0).standard_normal(aval.shape, np.float32)
    before, _ = layer.apply(params, {}, x, train=True)
    after, _ = layer.apply(tree.map(lambda p: p + 1, params), {}, x, train=True)
    expected = before * (2 if "scale" in names else 1) + (1 if "bias" in names else 0)
    np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)


def test_params_of_several_axes_have_their_shape():
    params, _, _ = nn.layer_norm(axis=(-2, -1)).init(random.key(0), ShapedArray((2, 5, 3), "float32"))
    assert params["scale"].shape == params["bias"].shape == (5, 3)


def test_an_axis_that_is_not_among_the_last_is_refused():
    with pytest.raises(ValueError, match="layer_norm: axis must name the last axis or the last few, got 0"):
        nn.layer_norm(axis=0).init(random.key(0), ShapedArray((2, 5), "float32"))
