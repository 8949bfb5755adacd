"""Activations: functions that networks apply to every element."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.ops.arithmetic import mul, square, sub
from lwps.ops.compare import greater, where
from lwps.ops.rules import elementwise
from lwps.ops.values import float_unary


def _relu_numpy(x: np.ndarray, out: np.ndarray) -> None:
    np.maximum(x, x.dtype.type(0), out=out)


def _relu_vjp(cts: Any, ins: Any, outs: Any, needed: Any) -> Sequence[Any]:
    return (where(greater(outs[0], 0), cts[0], 0),)  # reads y only, so that x can be freed


tanh_p = elementwise(
    "tanh",
    numpy=np.tanh,
    expr="tanh({0})",
    vjp=lambda cts, ins, outs, needed: (mul(cts[0], sub(1, square(outs[0]))),),
)
relu_p = elementwise("relu", numpy=_relu_numpy, expr="({0} <= 0 ? 0 : {0})", vjp=_relu_vjp)
tanh, relu = float_unary(tanh_p), float_unary(relu_p)
