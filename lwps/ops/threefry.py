"""Threefry-2x32: random bits from counters, so that every processor draws the same bits in any order.

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
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Variant, aval_of
from lwps.ops.rules import no_cotangent
from lwps.ops.values import astype, full

BITS, SPLIT, FOLD_IN = range(3)  # streams
BLOCK = 1 << 14  # elements of a temporary on the host: a few stay in a core's caches
CPU_WORDS, GPU_WORDS = 8192, 16  # that a work-item draws: multiples of 16
GROUP = 64  # work-items a group on a GPU

_KEY = ShapedArray((2,), "uint32")
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA
_WORD = 0xFFFFFFFF


def key(seed: int) -> np.ndarray:
    """The key uint32[2] of a seed, a Python int from 0 to 2**64 - 1: its high word, then its low word."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(
            f"key: the seed must be a Python int, got {kind(seed)}; use fold_in(key, n) for a traced number"
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


def bits(key: Any, shape: Sequence[int]) -> Any:
    """uint32 numbers of `shape`, each of them equally likely."""
    (words,) = random_bits_p.bind(key, shape=tuple(int(n) for n in shape), stream=BITS)
    return words


def kind(x: Any) -> str:
    return str(x.aval) if hasattr(x, "aval") else f"{type(x).__name__} {x!r}"


# --- the primitives -------------------------------------------------------------------------------


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


random_bits_p = Primitive(
    "random_bits",
    aval=_bits_aval,
    vjp=no_cotangent,
    cost=_bits_cost,
    numpy=Host(_bits_numpy, _bits_host_scratch),
    opencl=(Variant("threefry.cl", _bits_launch),),
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
    vjp=no_cotangent,
    cost=lambda key, counter, *, stream: Cost(flops=110, nbytes=20),
    numpy=Host(_block_numpy),
    opencl=(Variant("threefry.cl", _block_launch),),
    alias=None,
    split=None,
)
