"""Register tiles and packed panels: how `matmul.cl` cuts a matrix product into work-items."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Device, Launch, Operand, ShapedArray, Variant

ITEM_MACS = 1 << 21  # multiply-adds that a CPU work-item should have: starting one takes about a microsecond


@attrs.frozen
class Tile:
    """What one work-item keeps in registers, `rows` x (`vecs` vectors of `vec`), and how many share a panel."""

    rows: int
    vec: int
    vecs: int
    lanes: int
    group: int  # work-items a work-group

    @property
    def panel(self) -> int:
        """Columns of a panel."""
        return self.vec * self.vecs * self.lanes

    def panels(self, columns: int) -> int:
        """Panels that hold so many columns."""
        return -(-columns // self.panel)

    @property
    def gpu(self) -> bool:
        """Whether work-items share panels: then each does little, and there are many."""
        return self.lanes > 1

    @property
    def options(self) -> str:
        return f"-DMR={self.rows} -DVEC={self.vec} -DNV={self.vecs} -DLANES={self.lanes} -DGROUP={self.group}"


GPU_TILE = Tile(4, 4, 1, lanes=16, group=64)
CPU_TILE = Tile(6, 8, 2, lanes=1, group=1)  # 12 accumulators, 2 columns vectors, 1 row value: 16 AVX2 registers
NARROW_CPU_TILE = Tile(6, 8, 1, lanes=1, group=1)  # for at most 8 columns


def tile_of(kind: str, columns: int) -> Tile:
    """The tile for a kind of device and so many columns of the result."""
    if kind == "gpu":
        return GPU_TILE
    return CPU_TILE if columns > NARROW_CPU_TILE.panel else NARROW_CPU_TILE


def _takes_gpu_tile(device: Device, *ins: ShapedArray, **params: Any) -> bool:
    return device.type == "gpu" and device.max_work_group_size >= GPU_TILE.group


def tile_variants(
    file: str, launch: Callable[..., tuple[Launch, ...]], scratch: Callable[..., tuple[ShapedArray, ...]]
) -> tuple[Variant, ...]:
    """A variant for GPUs and one for everything else, of rules that take the kind as their first argument."""
    gpu = Variant(file, functools.partial(launch, "gpu"), _takes_gpu_tile, functools.partial(scratch, "gpu"))
    cpu = Variant(file, functools.partial(launch, "cpu"), scratch=functools.partial(scratch, "cpu"))
    return (gpu, cpu)


def panel_aval(tile: Tile, rows: int, columns: int, batch: int = 1) -> ShapedArray:
    """Scratch for `batch` right operands of `rows` x `columns`."""
    return ShapedArray((batch, tile.panels(columns), rows, tile.panel), "float32")


def tiles_an_item(device: Device, tiles: int, repeats: int, tile_macs: int) -> int:
    """How many of `tiles` a work-item should do, where the launch repeats them `repeats` times."""
    if device.type == "gpu":
        return 1
    spread = tiles * repeats // (8 * device.compute_units)  # leaves work for every core until the end
    return max(1, min(tiles, spread, ITEM_MACS // max(1, tile_macs)))


def ints(*numbers: int) -> tuple[np.int32, ...]:
    """Numbers as kernel arguments."""
    return tuple(np.int32(n) for n in numbers)


def flat_launch(kernel: str, tile: Tile, items: int, args: Sequence[Any], others: tuple[int, int] = (1, 1)) -> Launch:
    """`items` work-items, rounded up to whole groups, times the `others`; kernels check their own end."""
    size = -(-items // tile.group) * tile.group
    return Launch(kernel, (size, *others), (tile.group, 1, 1), tuple(args), tile.options)


def tile_launch(kernel: str, tile: Tile, items: int, panels: int, batch: int, args: Sequence[Any]) -> Launch:
    """`items` work-items (times the lanes) for each panel of each batch entry."""
    return flat_launch(kernel, tile, items * tile.lanes, args, (panels, batch))


@attrs.frozen
class Rows:
    """Where a right operand lies in an array: three counts and strides of its rows, its columns and their stride."""

    counts: tuple[int, int, int]
    steps: tuple[int, int, int]
    columns: int
    column_step: int = 1
    first: int = 0
    batch: int = 1
    batch_step: int = 0


def pack_launch(tile: Tile, panels: Operand, source: Operand, rows: Rows, panels_first: int = 0) -> tuple[Launch, ...]:
    """The launch that copies a right operand into panels, `panels_first` elements into them."""
    count = math.prod(rows.counts)
    if count * rows.columns * rows.batch == 0:
        return ()
    parts, span = (1, 64) if not tile.gpu else (tile.panel, 1)
    items = -(-count // span) * parts
    numbers = ints(
        panels_first, rows.first, rows.batch_step, *rows.counts, *rows.steps, rows.columns, rows.column_step, span
    )
    size = -(-items // tile.group) * tile.group
    args = (panels, source, *numbers)
    return (Launch("pack", (size, tile.panels(rows.columns), rows.batch), (tile.group, 1, 1), args, tile.options),)
