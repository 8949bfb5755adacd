"""Scaled dot-product attention on GPUs: work-groups multiply tiles in local memory."""

from typing import Any

from lwps.core import Device, ShapedArray
from lwps.ops.attention_launch import Cut

SIDE = 32  # of a tile
GROUP = 64  # work-items
BLOCKS = 2  # tiles side by side whose sums a work-item keeps in registers


def _fits(device: Device, *ins: ShapedArray, **params: Any) -> bool:
    return device.type == "gpu" and device.max_work_group_size >= GROUP


def _items(rows: int, size: int) -> int:
    """For some rows, and of these for some columns, a group."""
    return -(-rows // SIDE) * -(-size // (BLOCKS * SIDE)) * GROUP


CUT = Cut(
    "attention_gpu.cl",
    applies=_fits,
    options=lambda size: f"-DD={size} -DBLOCKS={min(BLOCKS, -(-size // SIDE))}",
    items=_items,
    group=GROUP,
    product_rows=1,
)
