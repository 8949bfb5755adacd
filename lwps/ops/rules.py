"""Rules that all elementwise primitives share: every element of a result depends on one element of each input."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lwps.core import Alias, Cost, Expr, Host, Primitive, ShapedArray, Split

ANY = ("bool", "uint8", "int32", "uint32", "float32", "float64")
NUMBERS = ("uint8", "int32", "uint32", "float32", "float64")
FLOATS = ("float32", "float64")
C_TYPES = {"bool": "uchar", "uint8": "uchar", "int32": "int", "uint32": "uint", "float32": "float"}


def broadcast_shape(op: str, avals: Sequence[ShapedArray]) -> tuple[int, ...]:
    """The common shape of `avals` by NumPy's rule; TypeError by name where there is none."""
    try:
        return np.broadcast_shapes(*(a.shape for a in avals))
    except ValueError:
        got = ", ".join(map(str, avals))
        raise TypeError(f"{op}: shapes must broadcast together, got {got}; reshape one of them") from None


def elementwise_cost(*ins: ShapedArray, **params: Any) -> Cost:
    """One operation an element; every input read and every result written once."""
    out = np.broadcast_shapes(*(a.shape for a in ins))
    size = int(np.prod(out, dtype=np.int64))
    return Cost(flops=size, nbytes=sum(a.nbytes for a in ins) + 4 * size)


def elementwise_split(*ins: ShapedArray, **params: Any) -> tuple[Split, ...]:
    """Along every axis; inputs that broadcast along it are read whole by every part."""
    out = np.broadcast_shapes(*(a.shape for a in ins))
    return tuple(Split(tuple(_cut(a, axis, out) for a in ins), (axis,)) for axis in range(len(out)))


def _cut(aval: ShapedArray, axis: int, out: tuple[int, ...]) -> int | None:
    own = axis - (len(out) - aval.ndim)
    return own if own >= 0 and aval.shape[own] == out[axis] else None


def elementwise(
    name: str,
    *,
    numpy: Callable[..., Any],
    expr: str | Callable[..., str],
    vjp: Callable[..., Sequence[Any]] | None,
    dtypes: Sequence[str] = FLOATS,
    result: str | None = None,
    overwrites: Sequence[int] | None = None,
    file: str = "",
) -> Primitive:
    """A primitive whose inputs share one dtype of `dtypes`; `result` names another result dtype.

    `numpy(*ins, out=out)` as NumPy's ufuncs. `overwrites` lists the inputs whose bytes the result may
    take where avals agree (default: all of them). `expr` may call functions of `file`, a `.cl` beside this module.
    """

    def aval(*ins: ShapedArray, **params: Any) -> tuple[ShapedArray, ...]:
        if ins[0].dtype.name not in dtypes or any(a.dtype != ins[0].dtype for a in ins):
            got = ", ".join(map(str, ins))
            raise TypeError(f"{name}: inputs must share one dtype of {', '.join(dtypes)}, got {got}; use astype")
        return (ShapedArray(broadcast_shape(name, ins), result or ins[0].dtype),)

    def alias(*ins: ShapedArray, **params: Any) -> tuple[Alias, ...]:
        (out,) = aval(*ins, **params)
        candidates = range(len(ins)) if overwrites is None else overwrites
        return tuple(Alias(0, i, "overwrite") for i in candidates if ins[i] == out)

    def run(out: np.ndarray, *ins: np.ndarray, **params: Any) -> None:
        numpy(*ins, out=out, **params)

    return Primitive(
        name,
        aval=aval,
        vjp=vjp,
        cost=elementwise_cost,
        numpy=Host(run),
        opencl=Expr(expr, file),
        alias=alias,
        split=elementwise_split,
    )


def no_cotangent(cts: Any, ins: Any, outs: Any, needed: Any, **params: Any) -> Sequence[Any]:
    """The vjp rule of what has no slope."""
    return (None,) * len(ins)


def c_literal(value: Any, dtype: str) -> str:
    """`value` as an OpenCL C constant of `dtype`."""
    if dtype == "float32":
        x = float(np.float32(value))
        if np.isnan(x):
            return "NAN"
        return f"({'-' if x < 0 else ''}INFINITY)" if np.isinf(x) else f"({x!r}f)"
    return f"({int(value)}{'u' if dtype == 'uint32' else ''})"
