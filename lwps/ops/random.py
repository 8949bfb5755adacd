"""Random numbers from keys: the same on every processor, in whatever order they are drawn.

A key is for one call: the same key draws the same numbers again. `lwps.ops.threefry` says where the bits come from.
"""

import functools
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import aval_of
from lwps.ops import gather, sort, threefry
from lwps.ops.blocks import in_blocks
from lwps.ops.elementwise import (
    add,
    astype,
    elementwise,
    full,
    greater,
    greater_equal,
    known_array,
    less,
    log,
    maximum,
    minimum,
    mul,
    neg,
    no_cotangent,
    sub,
    where,
)
from lwps.ops.reduce import argmax
from lwps.ops.shape import reshape
from lwps.ops.threefry import kind

key, split, fold_in, bits = threefry.key, threefry.split, threefry.fold_in, threefry.bits

Shape = Sequence[int]

# --- numbers --------------------------------------------------------------------------------------


def uniform(key: Any, shape: Shape, low: Any = 0.0, high: Any = 1.0) -> Any:
    """float32 numbers of `shape`, uniform between `low` and `high`.

    By default multiples of 2**-24 in [0, 1), equal to the bit on every processor. Other limits may round: then
    a number may be `high` itself, and processors may differ in the last bits.
    """
    (u,) = bits_to_uniform_p.bind(bits(key, shape))
    if not (isinstance(high, int | float) and high == 1 and isinstance(low, int | float) and low == 0):
        u = add(mul(u, sub(high, low)), low)
    return u


def normal(key: Any, shape: Shape) -> Any:
    """float32 numbers of `shape`, normal with mean 0 and variance 1; within 8 ulp on every processor.

    The inverse of the normal distribution function at the 2**24 odd multiples of 2**-25 in (0, 1): symmetric, at most
    5.42 from 0.
    """
    (v,) = bits_to_symmetric_p.bind(bits(key, shape))
    return _quantile(v)


def _quantile(v: Any) -> Any:
    """The number below which (1 + v) / 2 of the normal distribution lie."""
    (w,) = tail_log_p.bind(v)
    (z,) = normal_quantile_p.bind(v, w)
    return z


def truncated_normal(key: Any, lower: float, upper: float, shape: Shape) -> Any:
    """float32 numbers of `shape`, normal with mean 0 and variance 1 among those from `lower` to `upper`.

    Drawn from the same 2**24 quantiles as `normal`, and as close on every processor; the limits are Python numbers.
    """
    if not isinstance(lower, int | float) or not isinstance(upper, int | float):
        raise TypeError(f"truncated_normal: limits must be Python numbers, got {kind(lower)} and {kind(upper)}")
    first, stop = (_quantiles_below(limit) for limit in (lower, upper)) if lower < upper else (0, 0)
    if not first < stop:
        raise ValueError(
            "truncated_normal: at least 2**-24 of the normal distribution must lie between the limits, got"
            f" {lower} and {upper}"
        )
    (k,) = bits_to_range_p.bind(bits(key, shape), full((), 0, "uint32"), full((), stop - first, "uint32"))
    (v,) = bits_to_symmetric_p.bind(mul(add(k, first), 256))
    return minimum(maximum(_quantile(v), lower), upper)


def _quantiles_below(limit: float) -> int:
    """How many of the 2**24 numbers that `normal` draws from are below `limit`."""
    return math.ceil(statistics.NormalDist().cdf(limit) * 2**24 - 0.5)


def exponential(key: Any, shape: Shape) -> Any:
    """float32 numbers of `shape`, exponential with mean 1: from 0 to 16.7."""
    return neg(log(sub(1.0, uniform(key, shape))))


def gumbel(key: Any, shape: Shape) -> Any:
    """float32 numbers of `shape`, of the standard Gumbel distribution: from -2.9 to 16.7."""
    return neg(log(neg(log(maximum(uniform(key, shape), 2**-25)))))


def randint(key: Any, shape: Shape, minval: Any, maxval: Any) -> Any:
    """int32 numbers of `shape`, each from `minval` to below `maxval`, equal on every processor.

    The limits are Python ints or int32 arrays that broadcast to `shape`. Made from 64 bits each, so that no
    number is likelier than another by more than one part in 2**32.
    """
    known = isinstance(minval, int) and isinstance(maxval, int)
    if known and not (-(2**31) <= minval < maxval <= 2**31 and maxval - minval < 2**32):
        raise ValueError(
            "randint: minval must be below maxval, both from -2**31 to 2**31 and less than 2**32 apart, got"
            f" {minval} and {maxval}; use bits for all words"
        )
    shape = tuple(int(n) for n in shape)
    low, high = (_limit(limit, shape) for limit in (minval, maxval))
    words = bits(key, (2, *shape))
    (k,) = bits_to_range_p.bind(words[0], words[1], sub(high, low))
    return astype(add(k, low), "int32")


def _limit(x: Any, shape: tuple[int, ...]) -> Any:
    """A limit of integers as uint32, where sums and differences wrap around as they should."""
    if isinstance(x, int):
        return full((), x % 2**32, "uint32")
    aval = aval_of(x)
    if aval.dtype != np.int32 or not _broadcasts_to(aval.shape, shape):
        raise TypeError(f"randint: limits must be int32 that broadcast to {list(shape)}, got {aval}; use astype")
    return astype(x, "uint32")


def categorical(key: Any, logits: Any, axis: int = -1, shape: Shape | None = None) -> Any:
    """int32 numbers of classes, each with probability softmax(logits) along `axis`; `shape` as the rest of logits'.

    A longer `shape` that ends with the rest of logits' draws anew for each of its leading elements. Where
    two classes come within rounding of each other, processors may choose differently.
    """
    logits = known_array(logits, "categorical")
    aval = aval_of(logits)
    if aval.dtype.kind != "f" or not -aval.ndim <= axis < aval.ndim:
        raise TypeError(f"categorical: logits must be floats with an axis {axis}, got {aval}; use astype")
    axis %= aval.ndim
    rest = (*aval.shape[:axis], *aval.shape[axis + 1 :])
    shape = rest if shape is None else tuple(int(n) for n in shape)
    lead = shape[: len(shape) - len(rest)]
    if (*lead, *rest) != shape:
        raise ValueError(f"categorical: shape must end with {list(rest)} for logits {aval}, got {list(shape)}")
    noise = gumbel(key, (*lead, *aval.shape))
    return argmax(add(astype(noise, aval.dtype), logits), axis + len(lead))


def permutation(key: Any, x: Any, axis: int = 0) -> Any:
    """`x` with its elements along `axis` (or arange(x) for an int) in a random order, every order equally likely.

    Sorted by random words, often enough that words which happen to be equal, and stay in order, do not show.
    """
    if isinstance(x, int):
        return _order(key, x)
    x = known_array(x, "permutation")
    aval = aval_of(x)
    if not -aval.ndim <= axis < aval.ndim:
        raise TypeError(f"permutation: x must be an int or have an axis {axis}, got {aval}; reshape it")
    return gather.take(x, _order(key, aval.shape[axis]), axis)


def _order(key: Any, n: int) -> Any:
    """0 to n - 1 in a random order."""
    rounds = math.ceil(3 * math.log(max(2, n)) / math.log(2**32))  # as JAX: chances of what shows fall as n^-3
    orders = [sort.argsort(bits(fold_in(key, k), (n,))) for k in range(rounds)]
    return functools.reduce(lambda order, by: gather.take(order, by, 0), orders)


def choice(key: Any, a: Any, shape: Shape = (), replace: bool = True, p: Any = None) -> Any:
    """Elements of the array `a` along its first axis (or of arange(a) for an int).

    All are equally likely, or have the probabilities `p`, floats of the first axis that add up to 1. Without `replace`
    none is drawn twice (one of probability 0 only when no other is left).
    """
    a = a if isinstance(a, int) else known_array(a, "choice")
    p = p if p is None else known_array(p, "choice")
    n = a if isinstance(a, int) else (*aval_of(a).shape, 0)[0]
    shape = tuple(int(k) for k in shape)
    count = math.prod(shape)
    if n < 1 or (not replace and count > n):
        got = a if isinstance(a, int) else aval_of(a)
        raise ValueError(f"choice: a must have {1 if replace else count} elements to draw, got {got}")
    if p is not None and (aval_of(p).shape != (n,) or aval_of(p).dtype.kind != "f"):
        raise TypeError(f"choice: p must be floats [{n}], one for each element, got {aval_of(p)}; use astype")
    if replace:
        drawn = randint(key, shape, 0, n) if p is None else categorical(key, _logs(p), shape=shape)
    elif p is None:
        drawn = reshape(_order(key, n)[:count], shape)
    else:  # the largest of logits with Gumbel's noise are draws without replacement (Vieira 2014)
        drawn = reshape(sort.top_k(add(gumbel(key, (n,)), _logs(p)), count)[1], shape)
    return drawn if isinstance(a, int) else gather.take(a, drawn, 0)


def _logs(p: Any) -> Any:
    """log(p), with -inf for 0 without a warning."""
    likely = greater(p, 0)
    return where(likely, log(where(likely, p, 1.0)), -math.inf)


def bernoulli(key: Any, p: Any, shape: Shape) -> Any:
    """bools of `shape`, each True with probability `p`: a number, or an array that broadcasts to `shape`.

    Equal on every processor; `p` counts in steps of 2**-24.
    """
    shape = tuple(int(n) for n in shape)
    if isinstance(p, int | float):
        if not 0 <= p <= 1:
            raise ValueError(f"bernoulli: p must be from 0 to 1, got {p}")
        p = full((), p, "float32")
    aval = aval_of(p)
    if aval.dtype.kind != "f" or not _broadcasts_to(aval.shape, shape):
        raise TypeError(
            f"bernoulli: p must be floats that broadcast to {list(shape)}, got {aval}; use astype or reshape"
        )
    return less(uniform(key, shape), p)


def dropout(x: Any, rate: float, key: Any) -> Any:
    """`x` with each element 0 with probability `rate` (a Python number in [0, 1)), the rest divided by 1 - rate."""
    if not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise ValueError(f"dropout: rate must be a Python number from 0 to below 1, got {kind(rate)}")
    aval = aval_of(x)
    if aval.dtype.kind != "f":
        raise TypeError(f"dropout: x must be floats, got {aval}; use astype")
    if rate == 0:
        return x
    return where(greater_equal(uniform(key, aval.shape), float(rate)), mul(x, 1 / (1 - rate)), 0.0)


def _broadcasts_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


# --- bits to numbers ------------------------------------------------------------------------------


def _to_range(out: np.ndarray, high: np.ndarray, low: np.ndarray, span: np.ndarray) -> None:
    n = span.astype(np.uint64)
    np.copyto(out, (high * n + (low * n >> np.uint64(32))) >> np.uint64(32), casting="unsafe")


def _to_uniform(out: np.ndarray, words: np.ndarray) -> None:
    np.multiply(words >> np.uint32(8), np.float32(2**-24), out=out, dtype=np.float32, casting="unsafe")


def _to_symmetric(out: np.ndarray, words: np.ndarray) -> None:
    odd = (words >> np.uint32(8)).view(np.int32) * np.int32(2) - np.int32(2**24 - 1)
    np.multiply(odd, np.float32(2**-24), out=out, dtype=np.float32, casting="unsafe")


def _tail_log(out: np.ndarray, v: np.ndarray) -> None:
    one = np.float32(1)
    np.log((one - v) * (one + v), out=out)
    np.negative(out, out=out)


# The normal quantile at (1 + v)/2 is sqrt(2) erfinv(v) = v p(w) with w = -log(1 - v^2). The variables w - 2.5 and
# sqrt(w) - 3 of p are those of M. Giles, "Approximating the erfinv function", GPU Computing Gems Jade Edition, 2012,
# ch. 10; the coefficients (highest power first) are a least-maximum fit of our own for v up to 1 - 2^-24, with a
# relative error of 1e-7.
_TAIL_FROM = 5.0
_CENTRAL = (4.0355925e-08, 4.861041e-07, -4.9905811e-06, -6.2179943e-06, 0.00030915026, -0.0017730101,
            -0.0059081712, 0.34880266, 2.1233137)  # fmt: skip
_TAIL = (-0.0002339573, 0.00012178222, 0.0018388027, -0.0051762238, 0.0081484122, -0.010783806,
         0.013343985, 1.4165813, 4.0064344)  # fmt: skip


def _polynomial(coefficients: Sequence[float], x: np.ndarray) -> np.ndarray:
    y = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        y *= x
        y += np.float32(c)
    return y


def _normal_quantile(out: np.ndarray, v: np.ndarray, w: np.ndarray) -> None:
    p = _polynomial(_CENTRAL, w - np.float32(2.5))
    (tail,) = np.nonzero(w >= np.float32(_TAIL_FROM))
    p[tail] = _polynomial(_TAIL, np.sqrt(w[tail]) - np.float32(3))
    np.multiply(v, p, out=out)


def _horner(coefficients: Sequence[float], x: str) -> str:
    text = f"{coefficients[0]!r}f"
    for c in coefficients[1:]:
        text = f"({text} * {x} {'+' if c >= 0 else '-'} {abs(c)!r}f)"
    return text


# the integer part of span (high 2^32 + low) / 2^64; an unsigned sum that is less than its part has overflowed
bits_to_range_p = elementwise(
    "bits_to_range",
    numpy=in_blocks(_to_range),
    expr="(mul_hi({0}, {2}) + ({0} * {2} + mul_hi({1}, {2}) < {0} * {2}))",
    vjp=no_cotangent,
    dtypes=("uint32",),
)
bits_to_uniform_p = elementwise(
    "bits_to_uniform",
    numpy=in_blocks(_to_uniform),
    expr="((float)({0} >> 8) * 0x1p-24f)",
    vjp=no_cotangent,
    dtypes=("uint32",),
    result="float32",
)
bits_to_symmetric_p = elementwise(
    "bits_to_symmetric",  # the odd multiples of 2^-24 in (-1, 1)
    numpy=in_blocks(_to_symmetric),
    expr="((float)((int)({0} >> 8) * 2 - 0xffffff) * 0x1p-24f)",
    vjp=no_cotangent,
    dtypes=("uint32",),
    result="float32",
)
tail_log_p = elementwise(
    "tail_log",
    numpy=in_blocks(_tail_log),
    expr="(-lwps_log((1.0f - {0}) * (1.0f + {0})))",  # 1 - v is exact where it matters, 1 - v * v would not be
    vjp=no_cotangent,
    dtypes=("float32",),
    file="exponential.cl",
)
normal_quantile_p = elementwise(
    "normal_quantile",
    numpy=in_blocks(_normal_quantile),
    expr="({0} * ({1} < 5.0f ? "
    + _horner(_CENTRAL, "({1} - 2.5f)")
    + " : "
    + _horner(_TAIL, "(lwps_sqrt({1}) - 3.0f)")
    + "))",
    vjp=no_cotangent,
    dtypes=("float32",),
    file="exponential.cl",
)
