"""Sums in fixed chunks: the partial sum of each chunk has a place of its own, and a second launch adds them in order.

How many chunks there are follows from shapes alone, so the bits do not depend on the device.
"""

import numpy as np

from lwps.core import Launch, Operand, ShapedArray

PARTS_ELEMENTS = 1 << 20  # at most so many in the partial sums
MAX_CHUNKS = 16
CHUNK_PIXELS = 256  # at least so many in a chunk
PIECE = 256  # pixels, at most, that are added up before they join a sum
ITEM_ELEMENTS = 4096  # that a CPU work-item adds up


def chunks_of(pieces: int, pixels: int, elements: int, most: int = MAX_CHUNKS) -> tuple[int, int]:
    """How many partial sums of so many `elements` each, `most` at most, and how many of the `pieces` go into one."""
    limit = min(most, PARTS_ELEMENTS // max(1, elements), pixels // CHUNK_PIXELS)
    each = -(-pieces // max(1, limit))
    return max(1, -(-pieces // max(1, each))), each


def pieces_of(images: ShapedArray | Operand) -> tuple[int, int]:
    """Into how many pieces the lines of images are cut, and how many pixels a piece has at most."""
    n, height, width, _ = images.shape
    length = max(1, min(width, PIECE))
    return n * height * -(-width // length), length


def parts_aval(chunks: int, elements: int) -> ShapedArray:
    """Scratch for the partial sums; empty where there is one chunk, whose sum is the result itself."""
    return ShapedArray((chunks, elements) if chunks > 1 else (0,), "float32")


def add_parts_launch(out: Operand, parts: Operand, chunks: int, group: int, options: str) -> tuple[Launch, ...]:
    """The launch of `chunks.cl` that adds the partial sums up; `options` are those of the kernels beside it."""
    if chunks == 1:
        return ()
    span = ITEM_ELEMENTS if group == 1 else 1
    items = -(-out.size // (span * group)) * group
    numbers = (np.int32(out.size), np.int32(chunks), np.int32(span))
    return (Launch("add_parts", (items,), (group,), (out, parts, *numbers), options),)
