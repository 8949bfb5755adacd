"""Random numbers from counters: Threefry-2x32, so that every processor draws the same bits in any order.

A block of two words is `threefry(key, (i, stream))`, with 20 rounds (Salmon, Moraes, Dror, Shaw, "Parallel random
numbers: as easy as 1, 2, 3", SC 2011). The counter's first word is the number of the block, its second
word says what the block is for:

    stream 0   `bits`: elements 2i and 2i + 1 of the flat result are block i
    stream 1   `split`: key i is block i
    stream 2   `fold_in`: the key of number i is block i

so fewer bits of a key are the beginning of more bits of it. A key is for one call: the same key
draws the same numbers again.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Variant, aval_of
from lwps.ops.elementwise import add, astype, elementwise, full, greater_equal, less, mul, sub, where

BITS, SPLIT, FOLD_IN = range(3)  # streams
BLOCK = 1 << 14  # elements of a temporary on the host: a few stay in a core's caches
CPU_WORDS, GPU_WORDS = 8192, 16  # that a work-item draws: multiples of 16
GROUP = 64  # work-items a group on a GPU

_KEY = ShapedArray((2,), "uint32")
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA
_WORD = 0xFFFFFFFF


# --- keys -------------------------------------------------------------------------------------------


def key(seed: int) -> np.ndarray:
    """The key uint32[2] of a seed, a Python int from 0 to 2**64 - 1: its high word, then its low word."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(
            f"key: the seed must be a Python int, got {_kind(seed)}; use fold_in(key, n) for a traced number"
        )
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"key: the seed must be from 0 to 2**64 - 1, got {seed}")
    return np.array((seed >> 32, seed & _WORD), np.uint32)


def split(key: Any, n: int = 2) -> Any:
    """`n` new keys uint32[n, 2], a row each, independent of one another and of what `key` itself draws."""
    (keys,) = random_bits_p.bind(key, shape=(int(n), 2), stream=SPLIT)
    return keys


def fold_in(key: Any, n: Any) -> Any:
    """The new key uint32[2] of number `n`, a Python int from 0 to 2**32 - 1 or a (traced) integer scalar."""
    if isinstance(n, int):
        if not 0 <= n <= _WORD:
            raise ValueError(f"fold_in: the number must be from 0 to 2**32 - 1, got {n}")
        n = full((), n, "uint32")
    if aval_of(n).dtype.kind not in "iu":
        raise TypeError(f"fold_in: the number must be an integer, got {aval_of(n)}; use astype")
    (new,) = random_block_p.bind(key, astype(n, "uint32"), stream=FOLD_IN)
    return new


def _kind(x: Any) -> str:
    return str(x.aval) if hasattr(x, "aval") else f"{type(x).__name__} {x!r}"


# --- numbers ----------------------------------------------------------------------------------------


def bits(key: Any, shape: Sequence[int]) -> Any:
    """uint32 numbers of `shape`, each of them equally likely."""
    (words,) = random_bits_p.bind(key, shape=tuple(int(n) for n in shape), stream=BITS)
    return words


def uniform(key: Any, shape: Sequence[int], low: Any = 0.0, high: Any = 1.0) -> Any:
    """float32 numbers of `shape`, uniform between `low` and `high`.

    By default multiples of 2**-24 in [0, 1), equal to the bit on every processor. Other limits may round: then
    a number may be `high` itself, and processors may differ in the last bits.
    """
    (u,) = bits_to_uniform_p.bind(bits(key, shape))
    if not (isinstance(high, int | float) and high == 1 and isinstance(low, int | float) and low == 0):
        u = add(mul(u, sub(high, low)), low)
    return u


def normal(key: Any, shape: Sequence[int]) -> Any:
    """float32 numbers of `shape`, normal with mean 0 and variance 1; within 8 ulp on every processor.

    The inverse of the normal distribution function at the 2**24 odd multiples of 2**-25 in (0, 1): symmetric, at most
    5.42 from 0.
    """
    (v,) = bits_to_symmetric_p.bind(bits(key, shape))
    (w,) = tail_log_p.bind(v)
    (z,) = normal_quantile_p.bind(v, w)
    return z


def bernoulli(key: Any, p: Any, shape: Sequence[int]) -> Any:
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
        raise ValueError(f"dropout: rate must be a Python number from 0 to below 1, got {_kind(rate)}")
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


# --- bits -------------------------------------------------------------------------------------------


def _check_key(op: str, key: ShapedArray) -> None:
    if key != _KEY:
        raise TypeError(
            f"{op}: the key must be uint32[2], got {key}; make one with key(seed), or take a row of split(key)"
        )


def _bits_aval(key: ShapedArray, *, shape: tuple[int, ...], stream: int) -> tuple[ShapedArray, ...]:
    _check_key("random_bits", key)
    out = ShapedArray(shape, "uint32")
    if out.size >= 1 << 31:
        raise ValueError(
            f"random_bits: shape must have fewer than 2**31 elements, got {shape}; draw parts with split keys"
        )
    return (out,)


def _bits_cost(key: ShapedArray, *, shape: tuple[int, ...], stream: int) -> Cost:
    n = math.prod(shape)
    return Cost(flops=55 * n, nbytes=4 * n)  # 20 rounds of 5 operations and 5 injections of 2 for two words


def _bits_host_scratch(key: ShapedArray, *, shape: tuple[int, ...], stream: int) -> tuple[ShapedArray, ...]:
    return (ShapedArray((3, min(BLOCK, -(-math.prod(shape) // 2))), "uint32"),)


def _bits_numpy(out: np.ndarray, key: np.ndarray, work: np.ndarray, *, shape: tuple[int, ...], stream: int) -> None:
    flat = out.reshape(-1)
    pairs = -(-flat.size // 2)
    for start in range(0, pairs, BLOCK):
        x, y, spare = work[:, : min(BLOCK, pairs - start)]
        x[:] = np.arange(start, start + len(x))
        y[:] = stream
        _threefry(x, y, spare, *map(int, key))
        part = flat[2 * start : 2 * (start + len(x))]
        part[0::2] = x
        part[1::2] = y[: part.size // 2]


def _threefry(x: np.ndarray, y: np.ndarray, spare: np.ndarray, key_x: int, key_y: int) -> None:
    """Turn the counters (x, y) into random words in place, elementwise."""
    keys = key_x, key_y, key_x ^ key_y ^ _PARITY
    x += np.uint32(key_x)
    y += np.uint32(key_y)
    for injection in range(1, 6):
        for rotation in _ROTATIONS[4 * ((injection - 1) % 2) :][:4]:
            x += y
            np.left_shift(y, rotation, out=spare)
            np.right_shift(y, 32 - rotation, out=y)
            y |= spare
            y ^= x
        x += np.uint32(keys[injection % 3])
        y += np.uint32((keys[(injection + 1) % 3] + injection) & _WORD)


def _bits_launch(
    device: Device,
    outs: Sequence[Operand],
    ins: Sequence[Operand],
    scratch: Sequence[Operand],
    *,
    shape: Any,
    stream: int,
) -> tuple[Launch, ...]:
    (out,), (key,) = outs, ins
    if out.size == 0:
        return ()
    words, group = (CPU_WORDS, 1) if device.type == "cpu" else (GPU_WORDS, min(GROUP, device.max_work_group_size))
    items = -(-out.size // (words * group)) * group
    args = (out, key, np.int32(out.size), np.uint32(stream))
    return (Launch("random_bits", (items,), (group,), args, f"-DWORDS={words} -DGROUP={group}"),)


def _no_cotangent(cts: Any, ins: Any, outs: Any, needed: Any, **params: Any) -> Sequence[Any]:
    return (None,) * len(ins)


random_bits_p = Primitive(
    "random_bits",
    aval=_bits_aval,
    vjp=_no_cotangent,
    cost=_bits_cost,
    numpy=Host(_bits_numpy, _bits_host_scratch),
    opencl=(Variant("random.cl", _bits_launch),),
    alias=None,
    split=None,  # a part would not know where in the counters it begins
)


def _block_aval(key: ShapedArray, counter: ShapedArray, *, stream: int) -> tuple[ShapedArray, ...]:
    _check_key("random_block", key)
    if counter != ShapedArray((), "uint32"):
        raise TypeError(f"random_block: the counter must be a uint32 scalar, got {counter}; use astype or reshape")
    return (_KEY,)


def _block_numpy(out: np.ndarray, key: np.ndarray, counter: np.ndarray, *, stream: int) -> None:
    key_x, key_y = map(int, key)
    out[:] = counter, stream
    _threefry(out[:1], out[1:], np.empty(1, np.uint32), key_x, key_y)


def _block_launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand], *, stream: int
) -> tuple[Launch, ...]:
    return (Launch("random_block", (1,), (1,), (*outs, *ins, np.uint32(stream)), "-DWORDS=16 -DGROUP=1"),)


random_block_p = Primitive(
    "random_block",
    aval=_block_aval,
    vjp=_no_cotangent,
    cost=lambda key, counter, *, stream: Cost(flops=110, nbytes=20),
    numpy=Host(_block_numpy),
    opencl=(Variant("random.cl", _block_launch),),
    alias=None,
    split=None,
)


# --- bits to floats ---------------------------------------------------------------------------------


def _in_blocks(rule: Callable[..., None]) -> Callable[..., None]:
    """A NumPy rule `rule(out, *ins)` with temporaries, a block at a time so that they stay small."""

    def numpy(*ins: np.ndarray, out: np.ndarray) -> None:
        flat, flat_ins = out.reshape(-1), [np.broadcast_to(x, out.shape).reshape(-1) for x in ins]
        for start in range(0, flat.size, BLOCK):
            rows = slice(start, start + BLOCK)
            rule(flat[rows], *(x[rows] for x in flat_ins))

    return numpy


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


bits_to_uniform_p = elementwise(
    "bits_to_uniform",
    numpy=_in_blocks(_to_uniform),
    expr="((float)({0} >> 8) * 0x1p-24f)",
    vjp=_no_cotangent,
    dtypes=("uint32",),
    result="float32",
)
bits_to_symmetric_p = elementwise(
    "bits_to_symmetric",  # the odd multiples of 2^-24 in (-1, 1)
    numpy=_in_blocks(_to_symmetric),
    expr="((float)((int)({0} >> 8) * 2 - 0xffffff) * 0x1p-24f)",
    vjp=_no_cotangent,
    dtypes=("uint32",),
    result="float32",
)
tail_log_p = elementwise(
    "tail_log",
    numpy=_in_blocks(_tail_log),
    expr="(-log((1.0f - {0}) * (1.0f + {0})))",  # 1 - v is exact where it matters, 1 - v * v would not be
    vjp=_no_cotangent,
    dtypes=("float32",),
)
normal_quantile_p = elementwise(
    "normal_quantile",
    numpy=_in_blocks(_normal_quantile),
    expr="({0} * ({1} < 5.0f ? "
    + _horner(_CENTRAL, "({1} - 2.5f)")
    + " : "
    + _horner(_TAIL, "(sqrt({1}) - 3.0f)")
    + "))",
    vjp=_no_cotangent,
    dtypes=("float32",),
)
