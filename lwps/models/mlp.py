"""The multi-layer perceptron."""

from collections.abc import Sequence

from lwps import nn


def mlp(features: Sequence[int]) -> nn.Layer:
    """x[N, ...] -> logits[N, features[-1]]: linear layers of so many features, relu between them."""
    if len(features) == 0:
        raise ValueError(f"mlp: features must name at least one layer, got {features}")
    layers: dict[str, nn.Layer] = {"flatten": nn.flatten()}
    for i, n in enumerate(features, 1):
        layers[f"linear{i}"] = nn.linear(n)
        if i < len(features):
            layers[f"relu{i}"] = nn.relu()
    return nn.serial(**layers)
