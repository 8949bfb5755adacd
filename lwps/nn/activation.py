"""Activations: elementwise functions as layers."""

from lwps.nn.layer import Layer, stateless
from lwps.ops import elementwise


def relu() -> Layer:
    """max(x, 0), elementwise."""
    return stateless(elementwise.relu)


def relu6() -> Layer:
    """min(max(x, 0), 6), elementwise."""
    return stateless(elementwise.relu6)


def leaky_relu(negative_slope: float = 0.01) -> Layer:
    """`x`, times `negative_slope` where it is below 0."""
    return stateless(lambda x: elementwise.leaky_relu(x, negative_slope))


def elu(alpha: float = 1.0) -> Layer:
    """`x` where it is above 0, alpha (exp(x) - 1) elsewhere."""
    return stateless(lambda x: elementwise.elu(x, alpha))


def tanh() -> Layer:
    """The hyperbolic tangent, elementwise."""
    return stateless(elementwise.tanh)


def sigmoid() -> Layer:
    """1 / (1 + exp(-x)), elementwise."""
    return stateless(elementwise.sigmoid)


def silu() -> Layer:
    """x sigmoid(x), elementwise."""
    return stateless(elementwise.silu)


def softplus() -> Layer:
    """log(1 + exp(x)), elementwise."""
    return stateless(elementwise.softplus)


def gelu(approximate: bool = True) -> Layer:
    """`x` times the probability that a normal number is below it; `approximate` by a tanh, as in JAX."""
    return stateless(lambda x: elementwise.gelu(x, approximate))
