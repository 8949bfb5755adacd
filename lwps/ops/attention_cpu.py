"""Scaled dot-product attention on OpenCL CPU devices: a work-item has register tiles and packs rows for them."""

from typing import Any

from lwps.core import Device, ShapedArray
from lwps.ops.attention_launch import Cut

LANES, REGISTER_ROWS = 48, 6  # rows of a work-item: whole vectors of 16 and whole register tiles
NARROW = 16, 4  # the same for heads wider than WIDE: a work-item's arrays lie on its stack
WIDE, WIDEST = 512, 8192


def _sizes(size: int) -> tuple[int, int]:
    return (LANES, REGISTER_ROWS) if size <= WIDE else NARROW


def _fits(device: Device, *ins: ShapedArray, **params: Any) -> bool:
    return ins[0].shape[-1] <= WIDEST


def _options(size: int) -> str:
    lanes, rows = _sizes(size)
    return f"-DD={size} -DLANES={lanes} -DTILE={lanes} -DMR={rows}"


CUT = Cut(
    "attention_cpu.cl",
    applies=_fits,
    options=_options,
    items=lambda rows, size: -(-rows // _sizes(size)[0]),
    group=1,
    product_rows=64,
)
