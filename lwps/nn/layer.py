"""What a layer is: a pair of pure functions."""

from collections.abc import Callable
from typing import Any

import attrs

from lwps import tracing
from lwps.core import ShapedArray, aval_of
from lwps.ops.elementwise import FLOATS


@attrs.frozen(eq=False)
class Layer:
    """A part of a model.

    - `init(key, aval) -> params, state, aval`: for an input of this aval the first parameters, the first
      state (running statistics; `{}` for none) and the aval of the result. `key` is uint32[2].
    - `apply(params, state, x, *, train, key=None) -> y, state`: the result and the next state. Layers
      that draw random numbers when training need a `key`.

    Params and state are pytrees of arrays. Outside a trace both functions compute with NumPy at once.
    """

    init: Callable[[Any, ShapedArray], tuple[Any, Any, ShapedArray]]
    apply: Callable[..., tuple[Any, Any]]


def layer_of(initial: Callable[[Any, ShapedArray], tuple[Any, Any]], apply: Callable[..., tuple[Any, Any]]) -> Layer:
    """The layer whose first (params, state) are `initial(key, aval)`; the result's aval follows from `apply`."""

    def init(key: Any, aval: ShapedArray) -> tuple[Any, Any, ShapedArray]:
        params, state = initial(key, aval)
        return params, state, result_aval(lambda x: apply(params, state, x, train=False)[0], aval)

    return Layer(init, apply)


def stateless(fn: Callable[[Any], Any]) -> Layer:
    """The layer without params and state that applies `fn`, a function of ops."""
    return layer_of(lambda key, aval: ({}, {}), lambda params, state, x, *, train, key=None: (fn(x), state))


def by_width(op: str, make: Callable[[int], Layer]) -> Layer:
    """The layer that `make(C)` gives for sequences [N, T, C]."""

    def of(aval: ShapedArray) -> Layer:
        check_sequences(op, aval)
        return make(aval.shape[2])

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        return of(aval_of(x)).apply(params, state, x, train=train, key=key)

    return Layer(lambda key, aval: of(aval).init(key, aval), apply)


def result_aval(fn: Callable[[Any], Any], aval: ShapedArray) -> ShapedArray:
    """The aval of `fn(x)` for an `x` of this aval, without computing it."""
    program, _ = tracing.record(lambda x: [fn(x)], [aval])
    return program.outputs[0].aval


def check_floats(op: str, x: ShapedArray) -> None:
    """Refuse what weights cannot be multiplied with."""
    if x.dtype.name not in FLOATS:
        raise TypeError(f"{op}: x must be {' or '.join(FLOATS)}, got {x}; use astype(x, 'float32')")


def check_sequences(op: str, x: ShapedArray) -> None:
    """Refuse what is not a float for each example, position and feature."""
    if x.ndim != 3:
        raise TypeError(f"{op}: x must be sequences [N, T, C], got {x}; reshape it")
    check_floats(op, x)
