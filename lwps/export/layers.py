"""Products, convolutions, pools, norms and softmax as ONNX operators. Images are stored as NCHW between them."""

import math
from typing import Any

import numpy as np

from lwps.core import Eqn, Primitive, Var
from lwps.export.affine import is_per_channel
from lwps.export.elementwise import Builder, aligned
from lwps.export.graph import Axes, Emitter, NoForm
from lwps.export.inference import Size
from lwps.ops import conv, group_norm, layer_norm, matmul, pool, resize, softmax
from lwps.ops.elementwise import add_p
from lwps.ops.windows import Windows

NCHW = (0, 3, 1, 2)
OIHW = (3, 2, 0, 1)  # of weights HWIO

Pair = tuple[int, int]


def _shift_behind(emit: Emitter, eqn: Eqn, channels: Size) -> tuple[Var, list[str]]:
    """The value that an operator with a bias makes, and the bias: of an addition of known numbers a channel, if that
    alone reads the result.
    """
    (out,) = eqn.outs
    reader = emit.only_reader(out)
    if reader is None or reader.primitive is not add_p or reader.outs[0].aval != out.aval:
        return out, []
    other = reader.ins[1] if reader.ins[0] is out else reader.ins[0]
    if other not in emit.known or not is_per_channel(other.aval, out.aval.ndim) or other.aval.size != channels:
        return out, []
    emit.absorbed.add(reader.outs[0])
    value = emit.known[other]
    bias = emit.get(other) if value.ndim == 1 else emit.constant(value.reshape(-1))
    return reader.outs[0], [bias]


def _attributes(windows: Windows) -> dict[str, Any]:
    (top, bottom), (left, right) = windows.padding
    found = {"kernel_shape": windows.size, "strides": windows.strides, "pads": (top, left, bottom, right)}
    return {name: list(numbers) for name, numbers in found.items()}


def _conv2d(emit: Emitter, eqn: Eqn, *, groups: int, **geometry: Any) -> None:
    x, w = eqn.ins
    windows = Windows(w.aval.shape[:2], **geometry)
    out, bias = _shift_behind(emit, eqn, w.aval.shape[3])
    more = {"dilations": list(windows.dilation), "group": groups}
    emit.put(
        out,
        emit.node("Conv", emit.get(x, NCHW), emit.get(w, OIHW), *bias, **_attributes(windows), **more),
        NCHW,
    )


def _conv2d_input_vjp(emit: Emitter, eqn: Eqn, *, input_hw: Pair, groups: int, **geometry: Any) -> None:
    """A convolution turned round: its weights HWIO have their O as inputs here, as ONNX wants them."""
    ct, w = eqn.ins
    windows = Windows(w.aval.shape[:2], **geometry)
    out, bias = _shift_behind(emit, eqn, w.aval.shape[2] * groups)
    rows = zip(input_hw, ct.aval.shape[1:3], windows.axes, strict=True)
    beyond = [n - ((m - 1) * axis.stride + axis.span - axis.low - axis.high) for n, m, axis in rows]
    name = emit.node(
        "ConvTranspose",
        emit.get(ct, NCHW),
        emit.get(w, OIHW),
        *bias,
        output_padding=beyond,
        dilations=list(windows.dilation),
        group=groups,
        **_attributes(windows),
    )
    emit.put(out, name, NCHW)


def _matmul(emit: Emitter, eqn: Eqn, *, transpose_x: bool, transpose_y: bool) -> None:
    x, y = eqn.ins
    ins = [emit.get(x, _turned(x, transpose_x)), emit.get(y, _turned(y, transpose_y))]
    both_matrices = x.aval.ndim == y.aval.ndim == 2
    out, bias = _shift_behind(emit, eqn, emit.shape(eqn.outs[0])[-1]) if both_matrices else (eqn.outs[0], [])
    emit.put(out, emit.node("Gemm" if bias else "MatMul", *ins, *bias))


def _turned(x: Var, transpose: bool) -> Axes:
    *batch, a, b = range(x.aval.ndim)
    return (*batch, b, a) if transpose else (*batch, a, b)


def _max_pool(emit: Emitter, eqn: Eqn, *, window: Pair, **geometry: Any) -> None:
    (x,), (y, index) = eqn.ins, eqn.outs
    if emit.is_read(index):
        raise NoForm("the places of its maxima are read; export the function without its gradient")
    emit.put(y, emit.node("MaxPool", emit.get(x, NCHW), **_attributes(Windows(window, **geometry))), NCHW)


def _rows(op: str) -> Builder:
    """An operator of rows, wherever the last axis is stored."""

    def build(emit: Emitter, eqn: Eqn) -> None:
        (x,) = eqn.ins
        form = emit.form(x)
        emit.put(eqn.outs[0], emit.node(op, emit.get(x, form), axis=form.index(x.aval.ndim - 1)), form)

    return build


def _layer_norm(emit: Emitter, eqn: Eqn, *, eps: float) -> None:
    ins = [emit.get(v) for v in eqn.ins]
    emit.put(eqn.outs[0], emit.node("LayerNormalization", *ins, axis=-1, epsilon=eps))


def _rms_norm(emit: Emitter, eqn: Eqn, *, eps: float) -> None:
    """x / sqrt(mean(x^2) + eps) * scale; an operator of its own comes with opset 23."""
    x, scale = (emit.get(v) for v in eqn.ins)
    last = emit.constant([-1], dtype=np.int64)
    square = emit.node("ReduceMean", emit.node("Mul", x, x), last, keepdims=1)
    root = emit.node("Sqrt", emit.node("Add", square, emit.constant(eps, dtype=eqn.ins[0].aval.dtype)))
    emit.put(eqn.outs[0], emit.node("Mul", emit.node("Div", x, root), scale))


def _group_norm(emit: Emitter, eqn: Eqn, *, groups: int, eps: float) -> None:
    """Instance normalisation of the groups, then numbers for each channel; the operator of that name has them for
    each group until opset 21.
    """
    x, *affine = eqn.ins
    ndim, dtype = x.aval.ndim, x.aval.dtype
    form = (0, ndim - 1, *range(1, ndim - 1))
    sizes = [emit.shape(x)[a] for a in form]
    inside = math.prod(n for n in sizes[1:] if isinstance(n, int))
    grouped = emit.reshaped(emit.get(x, form), (sizes[0], groups, inside // groups))
    units = emit.constant(np.ones(groups, dtype)), emit.constant(np.zeros(groups, dtype))
    normal = emit.reshaped(emit.node("InstanceNormalization", grouped, *units, epsilon=eps), sizes)
    scale, bias = (aligned(emit, v, form) for v in affine)
    emit.put(eqn.outs[0], emit.node("Add", emit.node("Mul", normal, scale), bias), form)


def _resize(emit: Emitter, eqn: Eqn, *, size: Pair, method: str) -> None:
    (x,) = eqn.ins
    n, *before, channels = emit.shape(x)
    name = emit.get(x, NCHW)
    times = [m // old for old, m in zip(before, size, strict=True) if isinstance(old, int) and old and m % old == 0]
    whole = len(times) == 2
    if method == "nearest" and not whole:  # by places known exactly; an operator would compute them in floats
        for axis, old, m in zip((2, 3), before, size, strict=True):
            assert isinstance(old, int)
            name = emit.node("Gather", name, emit.constant(resize.nearest_pixels(old, m), dtype=np.int64), axis=axis)
        emit.put(eqn.outs[0], name, NCHW)
        return
    scales = emit.constant([1, 1, *times], dtype=np.float32) if whole else ""
    sizes = () if whole else (emit.sizes((n, channels, *size)),)
    how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if method == "nearest":
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    emit.put(eqn.outs[0], emit.node("Resize", name, "", scales, *sizes, **how), NCHW)


LAYERS: dict[Primitive, Builder] = {
    conv.conv2d_p: _conv2d,
    conv.conv2d_input_vjp_p: _conv2d_input_vjp,
    matmul.matmul_p: _matmul,
    pool.max_pool_p: _max_pool,
    resize.resize_p: _resize,
    group_norm.group_norm_p: _group_norm,
    layer_norm.layer_norm_p: _layer_norm,
    layer_norm.rms_norm_p: _rms_norm,
    softmax.softmax_p: _rows("Softmax"),
    softmax.log_softmax_p: _rows("LogSoftmax"),
}
