"""Rows of keys of 64 bits put in order: sorted runs, merged two by two. No two keys of a row are equal."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Device, Launch, Operand, ShapedArray

GPU_CHUNK, GPU_PIECE = 256, 16  # keys of a chunk that work-items rank, one each; keys that one merges
GPU_OPTIONS = f"-DCHUNK={GPU_CHUNK} -DPIECE={GPU_PIECE}"
BLOCK = 4096  # elements that a CPU work-item does at least
GROUP = 64  # work-items a group on a GPU


def key_buffers(rows: int, n: int) -> tuple[ShapedArray, ShapedArray]:
    """Scratch for the keys of `rows` rows of `n`, from which and to which they are merged."""
    keys = ShapedArray((rows, n, 2), "uint32")
    return keys, keys


def share_out(device: Device, kernel: str, tasks: int, elements: int, args: Sequence[Any], options: str) -> Launch:
    """The launch of `tasks` of so many elements each; on a CPU a work-item does several small ones."""
    numbers = [np.int32(a) if isinstance(a, int) else a for a in args]
    if device.type == "cpu":
        per_item = max(1, BLOCK // max(1, elements))
        counts = np.int32(tasks), np.int32(per_item)
        return Launch(kernel, (-(-tasks // per_item),), (1,), (*numbers, *counts), options)
    return Launch(kernel, (-(-tasks // GROUP) * GROUP,), (GROUP,), (*numbers, np.int32(tasks), np.int32(1)), options)


def merge_launches(
    device: Device, rows: int, n: int, chunk: int, piece: int, a: Operand, b: Operand, options: str
) -> tuple[list[Launch], Operand]:
    """Launches that merge sorted chunks in `a`, and where the keys then are; a work-item makes `piece` keys."""
    launches, pieces = [], -(-n // piece)
    while chunk < n:
        launches.append(share_out(device, "merge", rows * pieces, piece, (b, a, n, chunk, pieces), options))
        a, b, chunk = b, a, 2 * chunk
    return launches, a


def gpu_sort_launches(
    device: Device, rows: int, n: int, a: Operand, b: Operand, options: str
) -> tuple[list[Launch], Operand]:
    """Launches that sort the keys in `b` on a GPU, and where they then are."""
    rank = share_out(device, "rank_chunks", rows * n, 1, (a, b, n), options)
    launches, keys = merge_launches(device, rows, n, GPU_CHUNK, GPU_PIECE, a, b, options)
    return [rank, *launches], keys
