"""Small models and data to train on, and runs that are compared to the bit."""

import numpy as np

from lwps import nn
from lwps.data.standardise import standardised
from lwps.data.text import Text
from lwps.train import Settings, train


def images(n=40, *, seed=0, name="small"):
    """Three classes that differ in how bright they are."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    pixels = (labels[:, None, None, None] * 60 + rng.integers(0, 90, (n, 4, 4, 1))).astype(np.uint8)
    return standardised(pixels, labels, pixels[:10], labels[:10], name)


def text(content="abcabcabdabcabcabe" * 12, context=8):
    vocabulary = "".join(sorted(set(content)))
    tokens = np.array([vocabulary.index(c) for c in content], np.int32)
    return Text(tokens[:-40], tokens[-40:], vocabulary, context, "a text")


def drawing():
    """Convolution, running statistics and dropout: params, state and random draws."""
    return nn.serial(nn.conv2d(4, 3), nn.batch_norm(), nn.relu(), nn.flatten(), nn.dropout(0.3), nn.linear(3))


def characters(vocabulary):
    """Tokens int32[N, T] -> logits[N, T, vocabulary], of each token by itself."""
    return nn.serial(nn.embedding(vocabulary, 8), nn.linear(vocabulary))


SHORT = Settings(batch=8, steps=7, placement="cpu")


def run(model, dataset, settings=SHORT, **how):
    """The result of training, notes failing the test."""

    def note(text):
        raise AssertionError(text)

    return train(model, dataset, settings, how.pop("machine", None), note=how.pop("note", note), **how)
