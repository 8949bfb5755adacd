"""Reductions made of others: spreads, norms, counts, and questions about all elements."""

import math
from typing import Any

import numpy as np

from lwps.ops import reduce
from lwps.ops.arithmetic import div, mul, square, sub
from lwps.ops.compare import equal, truth, where
from lwps.ops.custom import custom_vjp
from lwps.ops.exponential import sqrt
from lwps.ops.reduce import Axes, canonical_axes
from lwps.ops.shape import reshape
from lwps.ops.values import full, promote_floats


def var(x: Any, axis: Axes = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """The mean square distance from the mean along `axis`, a float; with `ddof`, of that many elements fewer."""
    (x,) = promote_floats("var", x)
    axes = canonical_axes("var", axis, x.ndim)
    spread = reduce.sum(square(sub(x, reduce.mean(x, axes, keepdims=True))), axes, keepdims)
    return div(spread, math.prod(x.shape[k] for k in axes) - ddof)


def std(x: Any, axis: Axes = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """The square root of `var`."""
    return sqrt(var(x, axis, ddof, keepdims))


def norm(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """The square root of the sum of squares along `axis` (by default of all); its slope where that is 0 is 0."""
    (x,) = promote_floats("norm", x)
    kept = canonical_axes("norm", axis, x.ndim)

    def l2(x: Any) -> Any:
        return sqrt(reduce.sum(square(x), kept, keepdims=True))

    def bwd(saved: Any, ct: Any) -> tuple[Any]:
        x, y = saved  # x / y, and 0 where y is
        return (mul(x, div(ct, where(equal(y, 0), np.inf, y))),)

    rule = custom_vjp(l2)
    rule.defvjp(lambda x: (l2(x), (x, l2(x))), bwd)
    y = rule(x)
    return y if keepdims else reshape(y, [n for k, n in enumerate(x.shape) if k not in kept])


def any(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """Whether some element along `axis` (one, several, or by default all) is not zero."""
    return _of_all(reduce.max, False, truth(x), axis, keepdims)


def all(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """Whether no element along `axis` (one, several, or by default all) is zero."""
    return _of_all(reduce.min, True, truth(x), axis, keepdims)


def _of_all(op: Any, of_nothing: bool, x: Any, axis: Axes, keepdims: bool) -> Any:
    axes = canonical_axes("any" if op is reduce.max else "all", axis, x.ndim)
    if math.prod(x.shape[k] for k in axes) > 0:
        return op(x, axes, keepdims)
    shape = [1 if k in axes else n for k, n in enumerate(x.shape) if keepdims or k not in axes]
    return full(shape, of_nothing, "bool")


def count_nonzero(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    """How many elements along `axis` (one, several, or by default all) are not zero, as int32."""
    return reduce.sum(truth(x), axis, keepdims)
