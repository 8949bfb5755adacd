"""Exponentials, logarithms and roots."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.ops.arithmetic import add, div, mul, square, sub
from lwps.ops.broadcast import unbroadcast
from lwps.ops.compare import equal, where
from lwps.ops.rules import elementwise
from lwps.ops.values import float_binary, float_unary, promote_floats


def _rsqrt_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.sqrt(x, out=out)
    np.reciprocal(out, out=out)


def _exp_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (mul(cts[0], outs[0]),)


def _expm1_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (mul(cts[0], add(outs[0], 1)),)


def _log_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (div(cts[0], ins[0]),)


def _log2_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (div(cts[0], mul(ins[0], math.log(2))),)


def _log1p_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (div(cts[0], add(ins[0], 1)),)


def _sqrt_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (div(mul(cts[0], 0.5), outs[0]),)


def _rsqrt_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (y,) = cts, outs  # d x^(-1/2) = -1/2 y^3
    return (mul(mul(ct, -0.5), mul(y, square(y))),)


def _logaddexp_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (x, y) = cts, ins  # dz/dx = exp(x) / (exp(x) + exp(y)) = 1 / (1 + exp(y - x)), for equal infinities too

    def share(own: Any, other: Any) -> Any:
        return unbroadcast(mul(ct, where(equal(own, other), 0.5, div(1, add(1, exp(sub(other, own)))))), own)

    return share(x, y) if needed[0] else None, share(y, x) if needed[1] else None


def _hypot_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    (ct,), (z,) = cts, outs
    each = div(ct, where(equal(z, 0), np.inf, z))  # 0 where both are
    return tuple(unbroadcast(mul(each, x), x) if need else None for x, need in zip(ins, needed, strict=True))


_FILE = "exponential.cl"
exp_p = elementwise("exp", numpy=np.exp, expr="lwps_exp({0})", vjp=_exp_vjp, file=_FILE)
expm1_p = elementwise("expm1", numpy=np.expm1, expr="lwps_expm1({0})", vjp=_expm1_vjp, file=_FILE)
log_p = elementwise("log", numpy=np.log, expr="lwps_log({0})", vjp=_log_vjp, file=_FILE)
log2_p = elementwise("log2", numpy=np.log2, expr="lwps_log2({0})", vjp=_log2_vjp, file=_FILE)
log1p_p = elementwise("log1p", numpy=np.log1p, expr="lwps_log1p({0})", vjp=_log1p_vjp, file=_FILE)
sqrt_p = elementwise("sqrt", numpy=np.sqrt, expr="lwps_sqrt({0})", vjp=_sqrt_vjp, file=_FILE)
rsqrt_p = elementwise("rsqrt", numpy=_rsqrt_numpy, expr="(1.0f / lwps_sqrt({0}))", vjp=_rsqrt_vjp, file=_FILE)
logaddexp_p = elementwise(
    "logaddexp", numpy=np.logaddexp, expr="lwps_logaddexp({0}, {1})", vjp=_logaddexp_vjp, file=_FILE
)
hypot_p = elementwise("hypot", numpy=np.hypot, expr="lwps_hypot({0}, {1})", vjp=_hypot_vjp, file=_FILE)
exp, expm1, log, log2, log1p = map(float_unary, (exp_p, expm1_p, log_p, log2_p, log1p_p))
sqrt, rsqrt = float_unary(sqrt_p), float_unary(rsqrt_p)
logaddexp, hypot = float_binary(logaddexp_p), float_binary(hypot_p)


def log10(x: Any) -> Any:
    """The logarithm to base 10."""
    return mul(log2(x), math.log10(2))


def logaddexp2(x: Any, y: Any) -> Any:
    """log2(2^x + 2^y), without overflow."""
    x, y = promote_floats("logaddexp2", x, y)
    return mul(logaddexp(mul(x, math.log(2)), mul(y, math.log(2))), 1 / math.log(2))
