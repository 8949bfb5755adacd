"""Elementwise primitives as ONNX operators; results are stored as the operands are."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lwps.core import Eqn, Primitive, Var
from lwps.export.graph import Axes, Emitter
from lwps.export.inference import Shape
from lwps.ops import activation, arithmetic, compare, power, rounding, trigonometry
from lwps.ops import elementwise as ew

Builder = Callable[..., None]  # (emitter, eqn, **params): params with what depends on the batch size as Dims


def operands(emit: Emitter, eqn: Eqn) -> tuple[list[str], Axes]:
    """The names of the inputs in forms that broadcast together, and the form of a result made of them."""
    ndim = eqn.outs[0].aval.ndim
    identity = tuple(range(ndim))
    forms = [emit.form(v) for v in eqn.ins if v.aval.ndim == ndim and v not in emit.known]
    axes = next((f for f in forms if f != identity), identity)
    return [aligned(emit, v, axes) for v in eqn.ins], axes


def aligned(emit: Emitter, var: Var, axes: Axes) -> str:
    """`var` so that it broadcasts with an array whose axes are stored in the order `axes`."""
    missing = len(axes) - var.aval.ndim
    if missing == 0:
        return emit.get(var, axes)
    if var.aval.ndim == 0 or axes == tuple(range(len(axes))):
        return emit.get(var)
    if var in emit.known:
        value = emit.known[var]
        value = value.reshape((1,) * missing + value.shape).transpose(axes)
        return emit.constant(
            value.reshape(value.shape[_leading_ones(value.shape) :]), emit.inference.names.get(var, "")
        )
    shape = (1,) * missing + emit.shape(var)
    if sum(n != 1 for n in shape) <= 1:
        return emit.reshaped(emit.get(var), [shape[a] for a in axes])
    return emit.node("Transpose", emit.reshaped(emit.get(var), shape), perm=list(axes))


def _leading_ones(shape: tuple[int, ...]) -> int:
    return next((k for k, n in enumerate(shape) if n != 1), len(shape))


def _operator(op: str) -> Builder:
    """One operator that takes the inputs as they come."""

    def build(emit: Emitter, eqn: Eqn) -> None:
        ins, axes = operands(emit, eqn)
        emit.put(eqn.outs[0], emit.node(op, *ins), axes)

    return build


def _chain(*ops: str) -> Builder:
    """Several operators, each of what the one before made."""

    def build(emit: Emitter, eqn: Eqn) -> None:
        ins, axes = operands(emit, eqn)
        name = emit.node(ops[0], *ins)
        for op in ops[1:]:
            name = emit.node(op, name)
        emit.put(eqn.outs[0], name, axes)

    return build


def _same(emit: Emitter, eqn: Eqn) -> None:
    emit.same(eqn.outs[0], eqn.ins[0])


def _astype(emit: Emitter, eqn: Eqn, *, dtype: str) -> None:
    axes = emit.form(eqn.ins[0])
    emit.put(eqn.outs[0], emit.node("Cast", emit.get(eqn.ins[0], axes), to=np.dtype(dtype)), axes)


def _full(emit: Emitter, eqn: Eqn, *, shape: Shape, value: Any, dtype: str) -> None:
    emit.put(eqn.outs[0], emit.node("ConstantOfShape", emit.sizes(shape), value=np.array([value], dtype)))


def _broadcast_to(emit: Emitter, eqn: Eqn, *, shape: Shape) -> None:
    (x,) = eqn.ins
    own = (1,) * (len(shape) - x.aval.ndim) + emit.shape(x)
    repeated = [1 if n == m else n for n, m in zip(shape, own, strict=True)]  # 1: Expand leaves the axis as it is
    emit.put(eqn.outs[0], emit.node("Expand", emit.get(x), emit.sizes(repeated)))


ELEMENTWISE: dict[Primitive, Builder] = {
    ew.add_p: _operator("Add"),
    ew.sub_p: _operator("Sub"),
    ew.mul_p: _operator("Mul"),
    ew.div_p: _operator("Div"),
    ew.neg_p: _operator("Neg"),
    ew.maximum_p: _operator("Max"),
    ew.minimum_p: _operator("Min"),
    ew.exp_p: _operator("Exp"),
    ew.log_p: _operator("Log"),
    ew.sqrt_p: _operator("Sqrt"),
    ew.rsqrt_p: _chain("Sqrt", "Reciprocal"),
    ew.tanh_p: _operator("Tanh"),
    ew.relu_p: _operator("Relu"),
    activation.sigmoid_p: _operator("Sigmoid"),
    activation.softplus_p: _operator("Softplus"),
    activation.erf_p: _operator("Erf"),
    arithmetic.absolute_p: _operator("Abs"),
    arithmetic.sign_p: _operator("Sign"),
    power.pow_p: _operator("Pow"),
    rounding.floor_p: _operator("Floor"),
    rounding.ceil_p: _operator("Ceil"),
    rounding.rint_p: _operator("Round"),
    trigonometry.sin_p: _operator("Sin"),
    trigonometry.cos_p: _operator("Cos"),
    trigonometry.tan_p: _operator("Tan"),
    trigonometry.arcsin_p: _operator("Asin"),
    trigonometry.arccos_p: _operator("Acos"),
    trigonometry.arctan_p: _operator("Atan"),
    ew.arcsinh_p: _operator("Asinh"),
    ew.arccosh_p: _operator("Acosh"),
    ew.arctanh_p: _operator("Atanh"),
    ew.equal_p: _operator("Equal"),
    ew.not_equal_p: _chain("Equal", "Not"),
    ew.less_p: _operator("Less"),
    ew.less_equal_p: _operator("LessOrEqual"),
    ew.greater_p: _operator("Greater"),
    ew.greater_equal_p: _operator("GreaterOrEqual"),
    ew.logical_and_p: _operator("And"),
    ew.logical_or_p: _operator("Or"),
    compare.logical_xor_p: _operator("Xor"),
    ew.logical_not_p: _operator("Not"),
    ew.where_p: _operator("Where"),
    ew.copy_p: _same,
    ew.stop_gradient_p: _same,
    ew.astype_p: _astype,
    ew.full_p: _full,
    ew.broadcast_to_p: _broadcast_to,
}
