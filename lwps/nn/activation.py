"""Activations: elementwise functions as layers."""

from lwps.nn.layer import Layer, stateless
from lwps.ops import elementwise


def relu() -> Layer:
    """max(x, 0), elementwise."""
    return stateless(elementwise.relu)


def tanh() -> Layer:
    """The hyperbolic tangent, elementwise."""
    return stateless(elementwise.tanh)
