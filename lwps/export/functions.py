"""Elementwise primitives that are several ONNX operators, or one with attributes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lwps.core import Eqn, Primitive
from lwps.export.elementwise import Builder, operands
from lwps.export.graph import Emitter
from lwps.ops import activation, arithmetic, bits, exponential, power, rounding
from lwps.ops import elementwise as ew

SLOPE, CUBIC = math.sqrt(2 / math.pi), 0.044715  # of gelu by tanh: tanh(SLOPE (x + CUBIC x^3))
Op = Callable[..., str]  # op("Add", x, 1.0): the name of the result; numbers get the dtype of the first input


def _function(body: Callable[..., str]) -> Builder:
    """The builder of `body(op, *ins, **params) -> result`, all in names of tensors."""

    def build(emit: Emitter, eqn: Eqn, **params: Any) -> None:
        ins, axes = operands(emit, eqn)
        dtype = eqn.ins[0].aval.dtype

        def op(name: str, *args: str | float, **attributes: Any) -> str:
            names = (x if isinstance(x, str) else emit.constant(x, dtype=dtype) for x in args)
            return emit.node(name, *names, **attributes)

        emit.put(eqn.outs[0], body(op, *ins, **params), axes)

    return build


def _by_kind(integers: Callable[..., str], floats: Callable[..., str]) -> Builder:
    """One body for integers, another for floats."""
    of_integers, of_floats = _function(integers), _function(floats)

    def build(emit: Emitter, eqn: Eqn, **params: Any) -> None:
        (of_floats if eqn.ins[0].aval.dtype.kind == "f" else of_integers)(emit, eqn, **params)

    return build


def _bitwise(of_bools: str, of_integers: str) -> Builder:
    def build(emit: Emitter, eqn: Eqn) -> None:
        ins, axes = operands(emit, eqn)
        name = of_bools if eqn.ins[0].aval.dtype == np.bool_ else of_integers
        emit.put(eqn.outs[0], emit.node(name, *ins), axes)

    return build


# --- bodies -----------------------------------------------------------------------------------------------


def _gelu(op: Op, x: str) -> str:
    return op("Mul", op("Mul", x, 0.5), op("Add", op("Erf", op("Mul", x, math.sqrt(0.5))), 1.0))


def _gelu_tanh(op: Op, x: str) -> str:
    cubic = op("Add", op("Mul", op("Mul", x, x), SLOPE * CUBIC), SLOPE)
    return op("Mul", op("Mul", x, 0.5), op("Add", op("Tanh", op("Mul", x, cubic)), 1.0))


def _logaddexp(op: Op, x: str, y: str) -> str:
    distance = op("Abs", op("Sub", x, y))
    return op("Add", op("Max", x, y), op("Log", op("Add", op("Exp", op("Neg", distance)), 1.0)))


def _hypot(op: Op, x: str, y: str) -> str:
    """By the larger one, so that no square is too large."""
    largest, least = op("Max", op("Abs", x), op("Abs", y)), op("Min", op("Abs", x), op("Abs", y))
    share = op("Div", least, op("Max", largest, 1e-37))
    return op("Mul", largest, op("Sqrt", op("Add", op("Mul", share, share), 1.0)))


def _remainder(op: Op, x: str, y: str) -> str:
    """Mod of floats has the sign of x, as in C; here it has that of y."""
    rest = op("Mod", x, y, fmod=1)
    other_sign = op("Less", op("Mul", op("Sign", rest), op("Sign", y)), 0.0)
    return op("Where", other_sign, op("Add", rest, y), rest)


def _integer_remainder(op: Op, x: str, y: str) -> str:
    return op("Mod", x, y)


def _floor_divide(op: Op, x: str, y: str) -> str:
    return op("Round", op("Div", op("Sub", x, _remainder(op, x, y)), y))


def _integer_floor_divide(op: Op, x: str, y: str) -> str:
    return op("Div", op("Sub", x, op("Mod", x, y)), y)  # Div alone rounds towards zero


FUNCTIONS: dict[Primitive, Builder] = {
    activation.silu_p: _function(lambda op, x: op("Mul", x, op("Sigmoid", x))),
    activation.gelu_p: _function(_gelu),
    activation.gelu_tanh_p: _function(_gelu_tanh),
    activation.leaky_relu_p: _function(lambda op, x, *, slope: op("LeakyRelu", x, alpha=slope)),
    activation.elu_p: _function(lambda op, x, *, alpha: op("Elu", x, alpha=alpha)),
    arithmetic.clip_p: _function(lambda op, x, low, high: op("Min", op("Max", x, low), high)),
    exponential.expm1_p: _function(lambda op, x: op("Sub", op("Exp", x), 1.0)),
    exponential.log1p_p: _function(lambda op, x: op("Log", op("Add", x, 1.0))),
    exponential.log2_p: _function(lambda op, x: op("Mul", op("Log", x), 1 / math.log(2))),
    exponential.logaddexp_p: _function(_logaddexp),
    power.integer_pow_p: _function(lambda op, x, *, exponent: op("Pow", x, exponent)),
    rounding.trunc_p: _function(lambda op, x: op("Mul", op("Sign", x), op("Floor", op("Abs", x)))),
    ew.hypot_p: _function(_hypot),
    ew.fmod_p: _function(lambda op, x, y: op("Mod", x, y, fmod=1)),
    rounding.remainder_p: _by_kind(_integer_remainder, _remainder),
    rounding.floor_divide_p: _by_kind(_integer_floor_divide, _floor_divide),
    bits.bitwise_and_p: _bitwise("And", "BitwiseAnd"),
    bits.bitwise_or_p: _bitwise("Or", "BitwiseOr"),
    bits.bitwise_xor_p: _bitwise("Xor", "BitwiseXor"),
    bits.bitwise_not_p: _bitwise("Not", "BitwiseNot"),
}
