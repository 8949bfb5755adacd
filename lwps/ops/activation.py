"""Activations: functions that networks apply to every element."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from lwps.core import ShapedArray, aval_of
from lwps.ops.arithmetic import add, minimum, mul, square, sub
from lwps.ops.blocks import in_blocks
from lwps.ops.compare import greater, where
from lwps.ops.exponential import exp
from lwps.ops.rules import c_literal, elementwise
from lwps.ops.values import float_unary, promote_floats

_FILE = "activation.cl"


def _relu_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.maximum(x, x.dtype.type(0), out=out)


def _relu_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (where(greater(outs[0], 0), cts[0], 0),)  # reads y only, so that x can be freed


def _tanh_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (mul(cts[0], sub(1, square(outs[0]))),)


relu_p = elementwise("relu", numpy=_relu_numpy, expr="({0} <= 0 ? 0 : {0})", vjp=_relu_vjp)
tanh_p = elementwise("tanh", numpy=np.tanh, expr="lwps_tanh({0})", vjp=_tanh_vjp, file=_FILE)
relu, tanh = float_unary(relu_p), float_unary(tanh_p)


# --- sigmoid and what is made of it -----------------------------------------------------------------


@np.errstate(over="ignore")  # 1 / (1 + inf) is the 0 that it should be
def _sigmoid_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.reciprocal(out, out=out)


@np.errstate(over="ignore")
def _silu_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.divide(x, out, out=out)


def _softplus_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.logaddexp(x, x.dtype.type(0), out=out)


def _sigmoid_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (y,) = cts, outs
    return (mul(ct, mul(y, sub(1, y))),)


def _silu_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x,) = cts, ins  # with s = sigmoid(x): d(x s)/dx = s + x s (1 - s)
    s = sigmoid(x)
    return (mul(ct, mul(s, add(1, mul(x, sub(1, s))))),)


def _softplus_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (mul(cts[0], sigmoid(ins[0])),)


sigmoid_p = elementwise("sigmoid", numpy=_sigmoid_numpy, expr="lwps_sigmoid({0})", vjp=_sigmoid_vjp, file=_FILE)
silu_p = elementwise(
    "silu", numpy=_silu_numpy, expr="({0} * lwps_sigmoid({0}))", vjp=_silu_vjp, overwrites=(), file=_FILE
)
softplus_p = elementwise("softplus", numpy=_softplus_numpy, expr="lwps_softplus({0})", vjp=_softplus_vjp, file=_FILE)
sigmoid, silu, softplus = map(float_unary, (sigmoid_p, silu_p, softplus_p))


# --- the error function and gelu (D. Hendrycks and K. Gimpel, arXiv:1606.08415) ---------------------

_SLOPE = math.sqrt(2 / math.pi)  # of tanh's argument at 0
_CUBIC = 0.044715


def _gelu_numpy(x: np.ndarray, out: np.ndarray) -> None:
    special.ndtr(x, out=out)
    out *= x


def _gelu_tanh_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.multiply(x, x, out=out)
    out *= _SLOPE * _CUBIC
    out += _SLOPE
    out *= x
    np.tanh(out, out=out)
    out += 1
    out *= x
    out *= 0.5


def _erf_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x,) = cts, ins
    return (mul(ct, mul(exp(mul(x, mul(x, -1.0))), 2 / math.sqrt(math.pi))),)


def _gelu_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x,) = cts, ins  # d(x P(x))/dx = P(x) + x p(x) with the normal distribution P and its density p
    below = mul(add(erf(mul(x, math.sqrt(0.5))), 1), 0.5)
    density = mul(exp(mul(square(x), -0.5)), 1 / math.sqrt(2 * math.pi))
    return (mul(ct, add(below, mul(x, density))),)


def _gelu_tanh_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x,) = cts, ins  # with t = tanh(u): (1 + t) / 2 + x (1 - t^2) u' / 2
    cubic = mul(square(x), _SLOPE * _CUBIC)
    t = tanh(mul(x, add(cubic, _SLOPE)))
    inner = mul(mul(x, sub(1, square(t))), add(mul(cubic, 3.0), _SLOPE))
    return (mul(ct, mul(add(add(t, 1), inner), 0.5)),)


erf_p = elementwise("erf", numpy=special.erf, expr="lwps_erf({0})", vjp=_erf_vjp, file=_FILE)
gelu_p = elementwise("gelu", numpy=_gelu_numpy, expr="lwps_gelu({0})", vjp=_gelu_vjp, overwrites=(), file=_FILE)
gelu_tanh_p = elementwise(
    "gelu_tanh", numpy=_gelu_tanh_numpy, expr="lwps_gelu_tanh({0})", vjp=_gelu_tanh_vjp, overwrites=(), file=_FILE
)
erf, _gelu, _gelu_tanh = map(float_unary, (erf_p, gelu_p, gelu_tanh_p))


def gelu(x: Any, approximate: bool = True) -> Any:
    """`x` times the probability that a normal number is below it; `approximate` by a tanh, as in JAX."""
    return _gelu_tanh(x) if approximate else _gelu(x)


# --- with a param -----------------------------------------------------------------------------------


def _leaky_relu_numpy(out: np.ndarray, x: np.ndarray, *, slope: float) -> None:
    above = np.maximum(x, x.dtype.type(0))
    np.minimum(x, x.dtype.type(0), out=out)
    out *= slope
    out += above


def _elu_numpy(out: np.ndarray, x: np.ndarray, *, alpha: float) -> None:
    above = np.maximum(x, x.dtype.type(0))
    np.minimum(x, x.dtype.type(0), out=out)
    np.expm1(out, out=out)
    out *= alpha
    out += above


def _leaky_relu_expr(x: ShapedArray, *, slope: float) -> str:
    return "({0} <= 0 ? {0} * " + c_literal(slope, "float32") + " : {0})"


def _elu_expr(x: ShapedArray, *, alpha: float) -> str:
    return "lwps_elu({0}, " + c_literal(alpha, "float32") + ")"


def _leaky_relu_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, slope: float) -> Sequence[Any]:
    return (where(greater(ins[0], 0), cts[0], mul(cts[0], slope)),)


def _elu_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, alpha: float) -> Sequence[Any]:
    (ct,), (x,) = cts, ins
    return (where(greater(x, 0), ct, mul(ct, mul(exp(x), alpha))),)


leaky_relu_p = elementwise("leaky_relu", numpy=in_blocks(_leaky_relu_numpy), expr=_leaky_relu_expr, vjp=_leaky_relu_vjp)
elu_p = elementwise("elu", numpy=in_blocks(_elu_numpy), expr=_elu_expr, vjp=_elu_vjp, file=_FILE)


def _number(op: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        got = aval_of(value) if hasattr(value, "aval") else repr(value)
        raise ValueError(f"{op}: {name} must be a Python number, got {got}; for another one use where")
    return float(value)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """`x`, times `negative_slope` where it is below 0."""
    (y,) = leaky_relu_p.bind(
        *promote_floats("leaky_relu", x), slope=_number("leaky_relu", "negative_slope", negative_slope)
    )
    return y


def elu(x: Any, alpha: float = 1.0) -> Any:
    """`x` where it is above 0, `alpha` (exp(x) - 1) elsewhere (D.-A. Clevert et al., arXiv:1511.07289)."""
    (y,) = elu_p.bind(*promote_floats("elu", x), alpha=_number("elu", "alpha", alpha))
    return y


def relu6(x: Any) -> Any:
    """min(max(x, 0), 6) (Howard et al., arXiv:1704.04861)."""
    return minimum(relu(x), 6.0)
