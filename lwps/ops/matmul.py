"""Matrix products; their OpenCL kernels pack the right operand into panels that stream through the cache."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, aval_of
from lwps.ops.elementwise import FLOATS, broadcast_to, promote, unbroadcast
from lwps.ops.shape import reshape
from lwps.ops.tiles import Rows, Tile, ints, pack_launch, panel_aval, tile_launch, tile_of, tile_variants, tiles_an_item

Avals = tuple[ShapedArray, ...]


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
        z = _bind(reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])), y, False, False)
        return reshape(z, (*x.shape[:-1], y.shape[1]))
    if x.ndim > 2 and y.ndim > 2 and x.shape[:-2] != y.shape[:-2]:
        x, y = _same_batch(x, y)
    return _bind(x, y, False, False)


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


def _matmul_aval(x: ShapedArray, y: ShapedArray, *, transpose_x: bool, transpose_y: bool) -> Avals:
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


# --- OpenCL ---------------------------------------------------------------------------------------


def _matmul_scratch(kind: str, x: ShapedArray, y: ShapedArray, *, transpose_x: bool, transpose_y: bool) -> Avals:
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
    return (*pack_launch(tile, panels, y, y_rows), *turned, _product_launch(tile, device, out, left, panels, m, n, k))


def _transpose_launch(tile: Tile, out: Operand, x: Operand, rows: int, columns: int) -> tuple[Launch, ...]:
    if x.size == 0:
        return ()
    span = 1 if tile.gpu else 64
    items = -(-columns // (span * tile.group)) * tile.group
    numbers = ints(rows, columns, span)
    size = (items, -(-rows // 16), math.prod(x.shape[:-2]))
    return (Launch("transpose", size, (tile.group, 1, 1), (out, x, *numbers), tile.options),)


def _product_launch(
    tile: Tile, device: Device, out: Operand, x: Operand, panels: Operand, m: int, n: int, k: int
) -> Launch:
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
