"""Matrix products; their OpenCL kernels pack the right operand into panels that stream through the cache."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops.elementwise import FLOATS, broadcast_to, promote, unbroadcast
from lwps.ops.shape import reshape

ITEM_MACS = 1 << 21  # multiply-adds a CPU work-item should have: starting one takes about a microsecond


def matmul(x: Any, y: Any) -> Any:
    """The matrix product `x @ y` by NumPy's rules.

    `x[..., M, K]` times `y[..., K, N]` is `[..., M, N]`; leading axes broadcast; a 1-D `x` is a row, a 1-D `y` a
    column, and the axis made for it is dropped from the result. TypeError unless both are floats of one
    dtype (mixed ones are promoted) and the axes of length K agree.
    """
    x, y = promote("matmul", x, y)
    if x.ndim == 0 or y.ndim == 0:
        raise TypeError(f"matmul: x and y must have at least one axis, got {aval_of(x)} and {aval_of(y)}; use mul")
    row, column = x.ndim == 1, y.ndim == 1
    x = reshape(x, (1, *x.shape)) if row else x
    y = reshape(y, (*y.shape, 1)) if column else y
    z = _matmul_2d_or_batched(x, y)
    shape = z.shape[:-2] + (() if row else z.shape[-2:-1]) + (() if column else z.shape[-1:])
    return reshape(z, shape) if row or column else z


def _matmul_2d_or_batched(x: Any, y: Any) -> Any:
    if y.ndim == 2 and x.ndim > 2 and x.shape[-1] == y.shape[0]:  # one large product instead of a batch
        (z,) = matmul_p.bind(reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])), y, transpose_x=False, transpose_y=False)
        return reshape(z, (*x.shape[:-1], y.shape[1]))
    if x.ndim > 2 and y.ndim > 2 and x.shape[:-2] != y.shape[:-2]:
        x, y = _same_batch(x, y)
    (z,) = matmul_p.bind(x, y, transpose_x=False, transpose_y=False)
    return z


def _same_batch(x: Any, y: Any) -> tuple[Any, Any]:
    try:
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        got = f"{aval_of(x)} and {aval_of(y)}"
        raise TypeError(f"matmul: leading axes must broadcast together, got {got}; reshape one of them") from None
    return broadcast_to(x, (*batch, *x.shape[-2:])), broadcast_to(y, (*batch, *y.shape[-2:]))


def _sizes(x: ShapedArray, y: ShapedArray, transpose_x: bool, transpose_y: bool) -> tuple[int, int, int, int]:
    """M, N, K of the product, and K again as `y` has it."""
    m, k = x.shape[-2:][::-1] if transpose_x else x.shape[-2:]
    k_of_y, n = y.shape[-2:][::-1] if transpose_y else y.shape[-2:]
    return m, n, k, k_of_y


def _matmul_aval(x: ShapedArray, y: ShapedArray, *, transpose_x: bool, transpose_y: bool) -> tuple[ShapedArray, ...]:
    if x.dtype != y.dtype or x.dtype.name not in FLOATS:
        raise TypeError(f"matmul: x and y must share one dtype of {', '.join(FLOATS)}, got {x} and {y}; use astype")
    if x.ndim < 2 or y.ndim < 2:
        raise TypeError(f"matmul: x and y must have at least two axes, got {x} and {y}; use reshape")
    m, n, k, k_of_y = _sizes(x, y, transpose_x, transpose_y)
    if k != k_of_y:
        raise TypeError(f"matmul: the summed axes must have equal lengths, got {k} of {x} and {k_of_y} of {y}")
    if x.ndim > 2 and y.ndim > 2 and x.shape[:-2] != y.shape[:-2]:
        raise TypeError(f"matmul: leading axes must be equal or absent, got {x} and {y}; use broadcast_to")
    batch = x.shape[:-2] or y.shape[:-2]
    return (ShapedArray((*batch, m, n), x.dtype),)


def _matmul_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, transpose_x: bool, transpose_y: bool) -> Sequence[Any]:
    # With X = x or x', Y = y or y' and Z = XY: dX = dZ Y' and dY = X' dZ; the transpose of a product is the
    # product of the transposes in reverse order, so the flags alone say what would be transposed.
    (ct,), (x, y) = cts, ins
    dx = dy = None
    if needed[0]:
        dx = _bind(y, ct, transpose_y, True) if transpose_x else _bind(ct, y, False, not transpose_y)
        dx = unbroadcast(dx, x)
    if needed[1]:
        dy = _bind(ct, x, True, transpose_x) if transpose_y else _bind(x, ct, not transpose_x, False)
        dy = unbroadcast(dy, y)
    return dx, dy


def _bind(x: Any, y: Any, transpose_x: bool, transpose_y: bool) -> Any:
    (z,) = matmul_p.bind(x, y, transpose_x=transpose_x, transpose_y=transpose_y)
    return z


def _matmul_cost(x: ShapedArray, y: ShapedArray, *, transpose_x: bool, transpose_y: bool) -> Cost:
    (out,) = _matmul_aval(x, y, transpose_x=transpose_x, transpose_y=transpose_y)
    k = _sizes(x, y, transpose_x, transpose_y)[2]
    return Cost(flops=2 * out.size * k, nbytes=x.nbytes + y.nbytes + out.nbytes)


def _matmul_numpy(out: np.ndarray, x: np.ndarray, y: np.ndarray, *, transpose_x: bool, transpose_y: bool) -> None:
    np.matmul(x.swapaxes(-1, -2) if transpose_x else x, y.swapaxes(-1, -2) if transpose_y else y, out=out)


def _matmul_split(x: ShapedArray, y: ShapedArray, *, transpose_x: bool, transpose_y: bool) -> tuple[Split, ...]:
    """Along every leading axis, and along M and N."""
    ndim = max(x.ndim, y.ndim)
    batch = [Split((a if x.ndim > 2 else None, a if y.ndim > 2 else None), (a,)) for a in range(ndim - 2)]
    rows = Split((x.ndim - (1 if transpose_x else 2), None), (ndim - 2,))
    columns = Split((None, y.ndim - (2 if transpose_y else 1)), (ndim - 1,))
    return (*batch, rows, columns)


# --- kernels: tiles and panels, which conv2d uses too ---------------------------------------------


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


def tile_launch(kernel: str, tile: Tile, items: int, panels: int, batch: int, args: Sequence[Any]) -> Launch:
    """`items` work-items (times the lanes) for each panel of each batch entry."""
    group = tile.group
    return Launch(kernel, (-(-items * tile.lanes // group) * group, panels, batch), (group, 1, 1), tuple(args), tile.options)


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
    parts, span = (1, 64) if tile.lanes == 1 else (tile.panel, 1)
    items = -(-count // span) * parts
    numbers = ints(panels_first, rows.first, rows.batch_step, *rows.counts, *rows.steps, rows.columns, rows.column_step, span)
    size = -(-items // tile.group) * tile.group
    args = (panels, source, *numbers)
    return (Launch("pack", (size, tile.panels(rows.columns), rows.batch), (tile.group, 1, 1), args, tile.options),)


def _matmul_scratch(kind: str, x: ShapedArray, y: ShapedArray, *, transpose_x: bool, transpose_y: bool) -> tuple[ShapedArray, ...]:
    _, n, k, _ = _sizes(x, y, transpose_x, transpose_y)
    panels = panel_aval(tile_of(kind, n), k, n, math.prod(y.shape[:-2]))
    return (panels, x) if transpose_x else (panels,)


def _matmul_launch(
    kind: str, device: Device, outs: Any, ins: Any, scratch: Any, *, transpose_x: bool, transpose_y: bool
) -> tuple[Launch, ...]:
    (out,), (x, y), (panels, *copy) = outs, ins, scratch
    if out.size == 0:
        return ()
    m, n, k, _ = _sizes(x.aval, y.aval, transpose_x, transpose_y)
    tile = tile_of(kind, n)
    steps = (1, k) if transpose_y else (n, 1)
    y_rows = Rows((1, 1, k), (0, 0, steps[0]), n, steps[1], batch=math.prod(y.shape[:-2]), batch_step=k * n)
    turned = _transpose_launch(tile, copy[0], x, k, m) if transpose_x else ()
    left = copy[0] if transpose_x else x
    return (*pack_launch(tile, panels, y, y_rows), *turned, _product_launch(tile, device, out, left, panels, (m, n, k)))


def _transpose_launch(tile: Tile, out: Operand, x: Operand, rows: int, columns: int) -> tuple[Launch, ...]:
    if x.size == 0:
        return ()
    span = 64 if tile.lanes == 1 else 1
    items = -(-columns // (span * tile.group)) * tile.group
    numbers = ints(rows, columns, span)
    size = (items, -(-rows // 16), math.prod(x.shape[:-2]))
    return (Launch("transpose", size, (tile.group, 1, 1), (out, x, *numbers), tile.options),)


def _product_launch(tile: Tile, device: Device, out: Operand, x: Operand, panels: Operand, mnk: tuple[int, int, int]) -> Launch:
    m, n, k = mnk
    batch = math.prod(out.shape[:-2])
    x_batch = m * k if x.ndim > 2 else 0
    panels_batch = math.prod(panels.shape[1:]) if panels.shape[0] > 1 else 0
    tiles = -(-m // tile.rows)
    each = tiles_an_item(device, tiles, tile.panels(n) * batch, tile.rows * tile.panel * k)
    numbers = ints(m, k, n, x_batch, panels_batch, each)
    return tile_launch("matmul", tile, -(-tiles // each), tile.panels(n), batch, (out, x, panels, *numbers))


matmul_p = Primitive(
    "matmul",
    aval=_matmul_aval,
    vjp=_matmul_vjp,
    cost=_matmul_cost,
    numpy=Host(_matmul_numpy),
    opencl=tile_variants("matmul.cl", _matmul_launch, _matmul_scratch),
    alias=None,
    split=_matmul_split,
)
