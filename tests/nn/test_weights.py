"""Linear and convolution layers: what they compute and how their weights begin."""

import math

import numpy as np
import pytest

from lwps import nn
from lwps.core import ShapedArray
from lwps.nn.initial import he_normal, he_normal_out, uniform_in
from lwps.ops import random
from lwps.ops.conv import conv2d
from lwps.ops.conv1d import conv1d, conv1d_transpose
from lwps.ops.conv_transpose import conv2d_transpose

from .layers import IMAGES, ROWS, SEQUENCES, normal


def test_linear_is_xw_plus_b():
    params, state, _ = nn.linear(3).init(random.key(0), ROWS)
    x = normal(ROWS)
    y, _ = nn.linear(3).apply(params, state, x, train=True)
    np.testing.assert_allclose(y, x.astype(np.float64) @ params["w"] + params["b"], rtol=1e-5, atol=1e-6)


def test_a_convolution_of_one_pixel_is_a_linear_layer_with_a_bias_of_zeros():
    layer = nn.conv2d(4, 1)
    params, state, _ = layer.init(random.key(0), IMAGES)
    assert not params["b"].any()
    params["b"] = params["b"] + np.float32(2)
    x = normal(IMAGES)
    y, _ = layer.apply(params, state, x, train=True)
    np.testing.assert_allclose(y, x.astype(np.float64) @ params["w"][0, 0] + 2, rtol=1e-5, atol=1e-5)


def test_params_have_the_shapes_of_the_docstrings():
    def shapes(layer, aval):
        return {name: x.shape for name, x in layer.init(random.key(0), aval)[0].items()}

    assert shapes(nn.linear(3), ROWS) == {"w": (7, 3), "b": (3,)}
    assert shapes(nn.linear(3, bias=False), ROWS) == {"w": (7, 3)}
    assert shapes(nn.conv2d(8, (3, 2)), IMAGES) == {"w": (3, 2, 3, 8), "b": (8,)}
    assert shapes(nn.conv2d(8, 5, bias=False), IMAGES) == {"w": (5, 5, 3, 8)}
    assert shapes(nn.conv2d(6, 3, groups=3), IMAGES) == {"w": (3, 3, 1, 6), "b": (6,)}
    assert shapes(nn.depthwise_conv2d((3, 2), multiplier=2), IMAGES) == {"w": (3, 2, 1, 6), "b": (6,)}
    assert shapes(nn.conv2d_transpose(8, (3, 2), 2), IMAGES) == {"w": (3, 2, 3, 8), "b": (8,)}
    assert shapes(nn.conv1d(8, 5), SEQUENCES) == {"w": (5, 2, 8), "b": (8,)}
    assert shapes(nn.conv1d_transpose(6, 5, groups=2, bias=False), SEQUENCES) == {"w": (5, 1, 6)}
    assert shapes(nn.batch_norm(), IMAGES) == {"scale": (3,), "bias": (3,)}


@pytest.mark.parametrize(("rule", "fan"), [(he_normal, 9 * 16), (he_normal_out, 9 * 64)])
def test_he_normal_has_the_variance_two_by_fan(rule, fan):
    w = rule(random.key(1), (3, 3, 16, 64))
    # 9,216 draws: the deviation of their mean square is 1.5 %, of their mean 1 %
    assert np.mean(np.square(w)) == pytest.approx(2 / fan, rel=0.06)
    assert abs(np.mean(w)) < 0.05 * math.sqrt(2 / fan)


def test_linear_weights_and_biases_fill_the_range_of_pytorchs():
    params, _, _ = nn.linear(500).init(random.key(2), ShapedArray((1, 25), "float32"))
    for x in params.values():
        assert abs(x).max() <= 0.2  # 1 / sqrt(25)
        assert x.min() < -0.19
        assert x.max() > 0.19
    assert not np.array_equal(params["w"][0], params["b"])  # a key of its own each
    assert abs(uniform_in(random.key(2), (4, 9))).max() <= 0.5


def test_conv2d_begins_as_it_is_told():
    layer = nn.conv2d(2, 3, initial_weights=lambda key, shape: np.full(shape, 0.5, np.float32))
    params, _, _ = layer.init(random.key(0), IMAGES)
    assert (params["w"] == 0.5).all()


@pytest.mark.parametrize(
    ("layer", "op"),
    [
        (nn.conv2d(6, 3, 2, 1, dilation=2, groups=3), lambda x, w: conv2d(x, w, 2, ((1, 1), (1, 1)), 2, 3)),
        (nn.depthwise_conv2d(3, 2, 1, dilation=2), lambda x, w: conv2d(x, w, 2, ((1, 1), (1, 1)), 2, 3)),
        (nn.conv2d_transpose(6, 3, 2, 1, dilation=2), lambda x, w: conv2d_transpose(x, w, 2, ((1, 1), (1, 1)), 2)),
    ],
)
def test_layers_of_images_pass_their_settings_on(layer, op):
    params, state, _ = layer.init(random.key(0), IMAGES)
    x = normal(IMAGES)
    np.testing.assert_array_equal(layer.apply(params, state, x, train=True)[0], op(x, params["w"]))


@pytest.mark.parametrize(
    ("layer", "op"),
    [
        (nn.conv1d(6, 3, 2, 1, dilation=2, groups=2), lambda x, w: conv1d(x, w, 2, (1, 1), 2, 2)),
        (nn.conv1d_transpose(6, 3, 2, 1, dilation=2, groups=2), lambda x, w: conv1d_transpose(x, w, 2, (1, 1), 2, 2)),
    ],
)
def test_layers_of_sequences_pass_their_settings_on(layer, op):
    params, state, _ = layer.init(random.key(0), SEQUENCES)
    x = normal(SEQUENCES)
    np.testing.assert_array_equal(layer.apply(params, state, x, train=True)[0], op(x, params["w"]))
