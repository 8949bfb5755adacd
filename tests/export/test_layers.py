"""Layers compute in an exported model what they compute here, for batches of any size."""

import numpy as np
import pytest

from lwps import nn
from lwps.core import ShapedArray
from tests.export.agreement import agrees, images, logits_of, normals, settled

IMAGE_LAYERS = {
    "conv2d": lambda: nn.conv2d(5, 3, strides=2),
    "depthwise": lambda: nn.depthwise_conv2d(3),
    "dilated": lambda: nn.conv2d(5, 3, dilation=2),
    "conv2d_transpose": lambda: nn.conv2d_transpose(3, 4, strides=2),
    "avg_pool": lambda: nn.avg_pool(3, 2, padding=1),
    "group_norm": lambda: nn.group_norm(2),
    "batch_norm": lambda: nn.serial(nn.relu(), nn.batch_norm(), nn.conv2d(3, 1), nn.batch_norm()),
    "upsample": lambda: nn.serial(nn.upsample(2), nn.conv2d(3, 3), nn.relu()),
    "dropout": lambda: nn.serial(nn.dropout(0.5), nn.conv2d(3, 1)),
}


@pytest.mark.parametrize("name", IMAGE_LAYERS)
def test_layers_of_images(name):
    layer = IMAGE_LAYERS[name]()
    x = images()
    agrees(
        logits_of(layer), x, weights=settled(layer, ShapedArray(x.shape, "float32")), dynamic=True, rtol=1e-4, atol=1e-4
    )


SEQUENCE_LAYERS = {
    "gru": lambda: nn.gru(6),
    "lstm": lambda: nn.serial(nn.lstm(6), nn.layer_norm(), nn.linear(2)),
    "conv1d": lambda: nn.conv1d(5, 3),
    "rms_norm": lambda: nn.serial(nn.rms_norm(), nn.gelu(), nn.linear(3)),
}


@pytest.mark.parametrize("name", SEQUENCE_LAYERS)
def test_layers_of_sequences(name):
    layer = SEQUENCE_LAYERS[name]()
    x = normals(4, 5, 3)
    agrees(
        logits_of(layer), x, weights=settled(layer, ShapedArray(x.shape, "float32")), dynamic=True, rtol=1e-4, atol=1e-5
    )


def test_tokens():
    layer = nn.serial(nn.embedding(11, 4), nn.linear(3))
    tokens = np.int32([[1, 10, -1], [0, 3, 2]])
    agrees(logits_of(layer), tokens, weights=settled(layer, ShapedArray(tokens.shape, "int32")), dynamic=True)
