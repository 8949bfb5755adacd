"""One layer of each kind with an input it takes; what tests of layers share."""

import numpy as np

from lwps import nn, tracing
from lwps.core import ShapedArray
from lwps.ops import random

IMAGES = ShapedArray((2, 6, 5, 3), "float32")
SEQUENCES = ShapedArray((3, 4, 2), "float32")
ROWS = ShapedArray((4, 7), "float32")

# strides and windows that do not divide the images, so that shapes round
LAYERS = {
    "linear": (nn.linear(3), ROWS),
    "linear of a vector": (nn.linear(3, bias=False), ShapedArray((7,), "float32")),
    "conv2d": (nn.conv2d(4, (3, 2), strides=2), IMAGES),
    "conv2d, explicit padding": (nn.conv2d(4, 3, (1, 2), ((2, 0), (0, 1)), bias=False), IMAGES),
    "conv2d, dilated and in groups": (nn.conv2d(6, 3, dilation=(2, 1), groups=3), IMAGES),
    "depthwise_conv2d": (nn.depthwise_conv2d(3, 2, multiplier=2), IMAGES),
    "conv2d_transpose": (nn.conv2d_transpose(4, 3, 2), IMAGES),
    "conv1d": (nn.conv1d(4, 3, padding="CAUSAL"), SEQUENCES),
    "conv1d_transpose": (nn.conv1d_transpose(4, 3, 2, padding=1), SEQUENCES),
    "batch_norm of images": (nn.batch_norm(), IMAGES),
    "batch_norm of rows": (nn.batch_norm(), ROWS),
    "layer_norm": (nn.layer_norm(), ROWS),
    "layer_norm of images": (nn.layer_norm(axis=(-3, -2, -1), bias=False), IMAGES),
    "group_norm": (nn.group_norm(3), IMAGES),
    "instance_norm": (nn.instance_norm(), IMAGES),
    "rms_norm": (nn.rms_norm(), ROWS),
    "multi_head_attention": (nn.multi_head_attention(2, causal=True), SEQUENCES),
    "transformer_block": (nn.transformer_block(2, dropout_rate=0.1, norm=nn.rms_norm), SEQUENCES),
    "position_embedding": (nn.position_embedding(9), SEQUENCES),
    "relu": (nn.relu(), IMAGES),
    "relu6": (nn.relu6(), IMAGES),
    "tanh": (nn.tanh(), ROWS),
    "elu": (nn.elu(0.5), ROWS),
    "leaky_relu": (nn.leaky_relu(0.2), ROWS),
    "sigmoid": (nn.sigmoid(), ROWS),
    "silu": (nn.silu(), ROWS),
    "softplus": (nn.softplus(), ROWS),
    "gelu": (nn.gelu(), ROWS),
    "gelu, exact": (nn.gelu(approximate=False), ROWS),
    "max_pool": (nn.max_pool(2), IMAGES),
    "max_pool, padded": (nn.max_pool(3, 2, padding=1), IMAGES),
    "avg_pool": (nn.avg_pool(3, 2, padding=1, count_include_pad=False), IMAGES),
    "max_pool1d": (nn.max_pool1d(2), SEQUENCES),
    "avg_pool1d": (nn.avg_pool1d(3, 1, padding="SAME"), SEQUENCES),
    "global_max_pool": (nn.global_max_pool(), IMAGES),
    "global_avg_pool": (nn.global_avg_pool(), IMAGES),
    "flatten": (nn.flatten(), IMAGES),
    "dropout": (nn.dropout(0.5), IMAGES),
    "upsample": (nn.upsample((2, 3), "bilinear"), IMAGES),
    "serial": (nn.serial(nn.conv2d(4, 3), nn.batch_norm(), nn.relu(), head=nn.global_avg_pool()), IMAGES),
    "gru": (nn.gru(5), SEQUENCES),
    "lstm": (nn.lstm(5), SEQUENCES),
    "recurrent": (nn.recurrent(nn.rnn_cell(5)), SEQUENCES),
    "skip": (nn.skip(nn.serial(nn.conv2d(4, 3), nn.batch_norm())), IMAGES),
    "residual": (nn.residual(nn.serial(nn.conv2d(3, 3), nn.batch_norm())), IMAGES),
    "residual, shortcut": (nn.residual(nn.serial(nn.conv2d(4, 3, 2)), nn.serial(nn.conv2d(4, 1, 2))), IMAGES),
}


def normal(aval, seed=0):
    return np.random.default_rng(seed).standard_normal(aval.shape).astype(aval.dtype)


def run(layer, x, *, train=False, seed=0):
    """(y, new state) of a layer as it begins."""
    params, state, _ = layer.init(random.key(seed), ShapedArray(x.shape, x.dtype))
    return layer.apply(params, state, x, train=train, key=random.key(seed + 1))


def program_of(layer, aval, train=True):
    """The program of a layer's apply."""
    params, state, _ = layer.init(random.key(0), aval)
    return tracing.trace(lambda p, s, x: layer.apply(p, s, x, train=train), params, state, aval)
