"""Recurrent layers: a cell is one step, a layer is a cell unrolled over a sequence while tracing.

What a step takes of its input does not wait for the step before, so it is computed for all steps at once: one
product of matrices. A program has the eqns of every step; it grows with the length of the sequences.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from lwps.core import ShapedArray, aval_of
from lwps.nn.layer import Layer, check_floats, layer_of
from lwps.ops import random
from lwps.ops.concatenate import concatenate
from lwps.ops.elementwise import add, astype, full, mul, sigmoid, sub, tanh
from lwps.ops.matmul import matmul
from lwps.ops.shape import expand_dims, reshape, transpose
from lwps.ops.split import split


@attrs.frozen(eq=False)
class Cell:
    """One step of a recurrent layer. A carry is a pytree of what goes from one step to the next.

    - `init(key, aval) -> params`, for an input x[..., C] of this aval
    - `carry(shape, dtype) -> carry`, zeros, for a batch of this shape
    - `inputs(params, x) -> z`, what steps take of their inputs; any axes before the last
    - `step(params, carry, z) -> carry, y`
    """

    init: Callable[[Any, ShapedArray], Any]
    carry: Callable[[Sequence[int], Any], Any]
    inputs: Callable[[Any, Any], Any]
    step: Callable[[Any, Any, Any], tuple[Any, Any]]

    def apply(self, params: Any, carry: Any, x: Any) -> tuple[Any, Any]:
        """The next carry and the result y[..., features] of one input x[..., C], as flax's cells have it."""
        return self.step(params, carry, self.inputs(params, x))


def rnn_cell(features: int, activation: Callable[[Any], Any] = tanh) -> Cell:
    """h' = activation(x w_ih + b_ih + h w_hh + b_hh), as PyTorch's RNNCell. The carry is h[..., features], as is y."""

    def step(params: Any, h: Any, z: Any) -> tuple[Any, Any]:
        h = activation(add(z, _hidden(params, h)))
        return h, h

    return _cell("rnn_cell", features, 1, lambda shape, dtype: full((*shape, features), 0, dtype), step)


def gru_cell(features: int) -> Cell:
    """The gated recurrent unit (Cho et al., EMNLP 2014) in PyTorch's form.

        r = sigmoid(x w_ir + b_ir + h w_hr + b_hr)
        u = sigmoid(x w_iu + b_iu + h w_hu + b_hu)
        n = tanh(x w_in + b_in + r (h w_hn + b_hn))
        h' = (1 - u) n + u h

    Params: `w_ih[C, 3 features]`, `b_ih`, `w_hh[features, 3 features]`, `b_hh`; their columns are those of r, u, n in
    this order. PyTorch's weights are these transposed. All begin uniform between -1 / sqrt(features) and
    1 / sqrt(features), as there. The carry is h[..., features], as is y.
    """

    def step(params: Any, h: Any, z: Any) -> tuple[Any, Any]:
        (xr, xu, xn), (hr, hu, hn) = split(z, 3, -1), split(_hidden(params, h), 3, -1)
        r, u = sigmoid(add(xr, hr)), sigmoid(add(xu, hu))
        n = tanh(add(xn, mul(r, hn)))
        h = add(n, mul(u, sub(h, n)))
        return h, h

    return _cell("gru_cell", features, 3, lambda shape, dtype: full((*shape, features), 0, dtype), step)


def lstm_cell(features: int) -> Cell:
    """Long short-term memory (Hochreiter, Schmidhuber 1997; forget gate: Gers et al. 2000) in PyTorch's form.

        i = sigmoid(x w_ii + b_ii + h w_hi + b_hi), likewise f and o
        g = tanh(x w_ig + b_ig + h w_hg + b_hg)
        c' = f c + i g
        h' = o tanh(c')

    Params: `w_ih[C, 4 features]`, `b_ih`, `w_hh[features, 4 features]`, `b_hh`; their columns are those of i, f, g, o
    in this order. PyTorch's weights are these transposed. All begin uniform between -1 / sqrt(features) and
    1 / sqrt(features), as there. The carry is (h, c), both [..., features]; y is h.
    """

    def carry(shape: Sequence[int], dtype: Any) -> Any:
        zeros = full((*shape, features), 0, dtype)
        return zeros, zeros

    def step(params: Any, carry: Any, z: Any) -> tuple[Any, Any]:
        h, c = carry
        i, f, g, o = split(add(z, _hidden(params, h)), 4, -1)
        c = add(mul(sigmoid(f), c), mul(sigmoid(i), tanh(g)))
        h = mul(sigmoid(o), tanh(c))
        return (h, c), h

    return _cell("lstm_cell", features, 4, carry, step)


def unroll(cell: Cell, params: Any, x: Any, carry: Any = None) -> tuple[Any, Any]:
    """The results y[N, T, features] of a cell at every step of sequences x[N, T, C], and the last carry.

    `carry` is where it begins, by default zeros.
    """
    aval = aval_of(x)
    _check("unroll", aval)
    N, T, _ = aval.shape
    z = cell.inputs(params, transpose(x, (1, 0, 2)))  # steps first, so that each is one piece of memory
    carry = cell.carry((N,), aval.dtype) if carry is None else carry
    results = []
    for step in split(z, T):
        carry, y = cell.step(params, carry, reshape(step, step.shape[1:]))
        results.append(expand_dims(y, 1))
    return concatenate(results, 1), carry


def recurrent(cell: Cell) -> Layer:
    """x[N, T, C] -> y[N, T, features]: the cell's results, beginning with a carry of zeros.

    Params are those of the cell. `unroll` gives the last carry, too.
    """

    def initial(key: Any, aval: ShapedArray) -> tuple[Any, Any]:
        _check("recurrent", aval)
        return cell.init(key, ShapedArray((aval.shape[0], aval.shape[2]), aval.dtype)), {}

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        return unroll(cell, params, x)[0], state

    return layer_of(initial, apply)


def gru(features: int) -> Layer:
    """x[N, T, C] -> y[N, T, features]: `recurrent` of a `gru_cell`."""
    return recurrent(gru_cell(features))


def lstm(features: int) -> Layer:
    """x[N, T, C] -> y[N, T, features]: `recurrent` of an `lstm_cell`."""
    return recurrent(lstm_cell(features))


def _cell(
    op: str, features: int, gates: int, carry: Callable[[Sequence[int], Any], Any], step: Callable[..., Any]
) -> Cell:
    """The cell of this step, with PyTorch's parameters for so many gates."""
    if features < 1:
        raise ValueError(f"{op}: features must be at least 1, got {features}")

    def init(key: Any, aval: ShapedArray) -> Any:
        if aval.ndim == 0:
            raise TypeError(f"{op}: x must have at least one axis, got {aval}; reshape it")
        check_floats(op, aval)
        width, bound = gates * features, 1 / math.sqrt(features)
        shapes = {"w_ih": (aval.shape[-1], width), "w_hh": (features, width), "b_ih": (width,), "b_hh": (width,)}
        return {
            name: astype(random.uniform(random.fold_in(key, k), shape, -bound, bound), aval.dtype)
            for k, (name, shape) in enumerate(shapes.items())
        }

    def inputs(params: Any, x: Any) -> Any:
        return add(matmul(x, params["w_ih"]), params["b_ih"])

    return Cell(init, carry, inputs, step)


def _hidden(params: Any, h: Any) -> Any:
    return add(matmul(h, params["w_hh"]), params["b_hh"])


def _check(op: str, x: ShapedArray) -> None:
    if x.ndim != 3 or x.shape[1] == 0:
        raise TypeError(f"{op}: x must be sequences [N, T, C] of at least one step, got {x}; reshape it")
    check_floats(op, x)
