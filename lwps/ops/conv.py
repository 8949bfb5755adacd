"""2-D convolution and its two gradients, all three as matrix products with windows of a zero-haloed copy."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split
from lwps.ops.elementwise import FLOATS, promote
from lwps.ops.tiles import (
    Rows,
    Tile,
    flat_launch,
    ints,
    pack_launch,
    panel_aval,
    tile_launch,
    tile_of,
    tile_variants,
    tiles_an_item,
)
from lwps.ops.windows import (
    Frame,
    Padding,
    Pair,
    as_rows,
    block_aval,
    block_lines,
    blocks,
    canonical_padding,
    check_windows,
    out_hw,
    pair,
    residue_pairs,
    windows_of,
)

Avals = tuple[ShapedArray, ...]
Launches = tuple[Launch, ...]

PARTS_ELEMENTS = 1 << 20  # at most so many in the partial sums of a weight gradient
MAX_CHUNKS = 16
BLOCK_PIXELS = 256  # that the weight gradient takes through all of its tiles at a time


def conv2d(x: Any, w: Any, strides: int | Pair = (1, 1), padding: Any = "SAME") -> Any:
    """`x[N, H, W, C]` convolved with `w[R, S, C, K]`: `[N, OH, OW, K]`, without flipping the window.

    `strides` are those of the window along H and W (one int: both). `padding` is "SAME" (OH = ceil(H / stride), an odd
    zero goes below and right), "VALID" (none), or ((top, bottom), (left, right)) counts of zeros.
    TypeError unless channels agree and the window fits into the padded input; ValueError for strides below 1.
    """
    x, w = promote("conv2d", x, w)
    if x.ndim != 4 or w.ndim != 4:
        raise TypeError(f"conv2d: x must be [N, H, W, C] and w [R, S, C, K], got {x.shape} and {w.shape}; use reshape")
    strides = pair("conv2d", "strides", strides)
    padding = canonical_padding(padding, x.shape[1:3], w.shape[:2], strides)
    (y,) = conv2d_p.bind(x, w, strides=strides, padding=padding)
    return y


# --- avals and gradients ---------------------------------------------------------------------------


def _check_floats(op: str, x: ShapedArray, y: ShapedArray, axes: str) -> None:
    if x.ndim != 4 or y.ndim != 4 or x.dtype != y.dtype or x.dtype.name not in FLOATS:
        raise TypeError(
            f"{op}: inputs must be {axes} of one dtype of {', '.join(FLOATS)}, got {x} and {y}; use astype or reshape"
        )


def _conv2d_aval(x: ShapedArray, w: ShapedArray, *, strides: Pair, padding: Padding) -> Avals:
    _check_floats("conv2d", x, w, "[N, H, W, C] and [R, S, C, K]")
    if x.shape[3] != w.shape[2]:
        raise TypeError(f"conv2d: x must have the channels that w sums over ({w.shape[2]}), got {x} and {w}")
    check_windows("conv2d", x.shape[1:3], w.shape[:2], strides, padding)
    return (ShapedArray((x.shape[0], *out_hw(x.shape[1:3], w.shape[:2], strides, padding), w.shape[3]), x.dtype),)


def _input_vjp_aval(ct: ShapedArray, w: ShapedArray, *, input_hw: Pair, strides: Pair, padding: Padding) -> Avals:
    _check_floats("conv2d_input_vjp", ct, w, "[N, OH, OW, K] and [R, S, C, K]")
    check_windows("conv2d_input_vjp", input_hw, w.shape[:2], strides, padding)
    expected = (*out_hw(input_hw, w.shape[:2], strides, padding), w.shape[3])
    if ct.shape[1:] != expected:
        raise TypeError(
            f"conv2d_input_vjp: ct must have shape [N, {', '.join(map(str, expected))}], got {ct}, {w}, {input_hw}"
        )
    return (ShapedArray((ct.shape[0], *input_hw, w.shape[2]), ct.dtype),)


def _weight_vjp_aval(x: ShapedArray, ct: ShapedArray, *, window: Pair, strides: Pair, padding: Padding) -> Avals:
    _check_floats("conv2d_weight_vjp", x, ct, "[N, H, W, C] and [N, OH, OW, K]")
    check_windows("conv2d_weight_vjp", x.shape[1:3], window, strides, padding)
    expected = (x.shape[0], *out_hw(x.shape[1:3], window, strides, padding))
    if ct.shape[:3] != expected:
        raise TypeError(f"conv2d_weight_vjp: ct must have shape [{', '.join(map(str, expected))}, K], got {ct} and {x}")
    return (ShapedArray((*window, x.shape[3], ct.shape[3]), x.dtype),)


# y = conv(x, w) is linear in x and in w, and <ct, conv(x, w)> is trilinear: each of the three primitives is its
# derivative by one of (ct, x, w), so the derivatives of each are the other two.


def _conv2d_vjp(cts: Any, ins: Any, outs: Any, needed: Any, **params: Any) -> Sequence[Any]:
    (ct,), (x, w) = cts, ins
    return _input_vjp(ct, w, x, **params) if needed[0] else None, _weight_vjp(x, ct, w, **params) if needed[1] else None


def _input_vjp_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, input_hw: Pair, **params: Any) -> Sequence[Any]:
    (x,), (ct, w) = cts, ins
    d_ct = conv2d_p.bind(x, w, **params)[0] if needed[0] else None
    return d_ct, _weight_vjp(x, ct, w, **params) if needed[1] else None


def _weight_vjp_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, window: Pair, **params: Any) -> Sequence[Any]:
    (w,), (x, ct) = cts, ins
    d_ct = conv2d_p.bind(x, w, **params)[0] if needed[1] else None
    return _input_vjp(ct, w, x, **params) if needed[0] else None, d_ct


def _input_vjp(ct: Any, w: Any, x: Any, **params: Any) -> Any:
    return conv2d_input_vjp_p.bind(ct, w, input_hw=tuple(x.shape[1:3]), **params)[0]


def _weight_vjp(x: Any, ct: Any, w: Any, **params: Any) -> Any:
    return conv2d_weight_vjp_p.bind(x, ct, window=tuple(w.shape[:2]), **params)[0]


def _cost(y: ShapedArray, w: ShapedArray, *others: ShapedArray) -> Cost:
    """Of a convolution with result `y`; its gradients have as many multiply-adds."""
    return Cost(flops=2 * y.size * math.prod(w.shape[:3]), nbytes=sum(a.nbytes for a in (y, w, *others)))


def _conv2d_cost(x: ShapedArray, w: ShapedArray, **params: Any) -> Cost:
    return _cost(*_conv2d_aval(x, w, **params), w, x)


def _input_vjp_cost(ct: ShapedArray, w: ShapedArray, **params: Any) -> Cost:
    return _cost(ct, w, *_input_vjp_aval(ct, w, **params))


def _weight_vjp_cost(x: ShapedArray, ct: ShapedArray, **params: Any) -> Cost:
    return _cost(ct, *_weight_vjp_aval(x, ct, **params), x)


# --- NumPy --------------------------------------------------------------------------------------------


def _products(out: np.ndarray, windows: np.ndarray, matrix: np.ndarray, rows: np.ndarray, products: np.ndarray) -> None:
    """Windows times `matrix`, by way of `products` where `out` is strided."""
    for at in blocks(windows):
        block, here = as_rows(windows[at], rows), out[at]
        shape = (len(block), matrix.shape[1])
        if here.flags.c_contiguous:
            np.matmul(block, matrix, out=here.reshape(shape))
        else:
            product = products[: math.prod(shape)].reshape(shape)
            np.matmul(block, matrix, out=product)
            np.copyto(here, product.reshape(here.shape))


def _conv2d_numpy(
    out: np.ndarray, x: np.ndarray, w: np.ndarray, framed: np.ndarray, rows: np.ndarray,
    *, strides: Pair, padding: Padding,
) -> None:  # fmt: skip
    x = Frame.of_input(x.shape[1:3], padding).fill(framed, x)
    windows = windows_of(x, out.shape[1:3], w.shape[:2], strides)
    _products(out, windows, w.reshape(math.prod(w.shape[:3]), w.shape[3]), rows, rows)


def _conv2d_host_scratch(x: ShapedArray, w: ShapedArray, *, strides: Pair, padding: Padding) -> Avals:
    oh, ow = out_hw(x.shape[1:3], w.shape[:2], strides, padding)
    rows = block_aval(x.shape[0] * oh, ow * math.prod(w.shape[:3]), x.dtype)
    return Frame.of_input(x.shape[1:3], padding).aval(x), rows


def _input_vjp_numpy(
    out: np.ndarray, ct: np.ndarray, w: np.ndarray, framed: np.ndarray, rows: np.ndarray, products: np.ndarray,
    matrix: np.ndarray, *, input_hw: Pair, strides: Pair, padding: Padding,
) -> None:  # fmt: skip
    ct = Frame.of_cotangent(input_hw, w.shape[:2], strides, padding).fill(framed, ct)
    for h, v in residue_pairs(input_hw, w.shape[:2], strides, padding):
        dx = out[:, h.first :: strides[0], v.first :: strides[1]]
        if h.taps * v.taps == 0:
            dx.fill(0)
            continue
        turned = w[h.last_tap :: -strides[0], v.last_tap :: -strides[1]].transpose(0, 1, 3, 2)
        weights = matrix[: turned.size].reshape(turned.shape)
        np.copyto(weights, turned)
        windows = windows_of(ct, dx.shape[1:3], (h.taps, v.taps), (1, 1), (h.start, v.start))
        _products(dx, windows, weights.reshape(math.prod(turned.shape[:3]), turned.shape[3]), rows, products)


def _input_vjp_host_scratch(
    ct: ShapedArray, w: ShapedArray, *, input_hw: Pair, strides: Pair, padding: Padding
) -> Avals:
    rows = products = 0
    for h, v in residue_pairs(input_hw, w.shape[:2], strides, padding):
        line_elements = v.count * h.taps * v.taps * w.shape[3]
        lines = block_lines(ct.shape[0] * h.count, line_elements * ct.dtype.itemsize)
        rows, products = max(rows, lines * line_elements), max(products, lines * v.count * w.shape[2])
    framed = Frame.of_cotangent(input_hw, w.shape[:2], strides, padding).aval(ct)
    return framed, *(ShapedArray((size,), ct.dtype) for size in (rows, products, w.size))


def _weight_vjp_numpy(
    out: np.ndarray, x: np.ndarray, ct: np.ndarray, framed: np.ndarray, rows: np.ndarray, part: np.ndarray,
    *, window: Pair, strides: Pair, padding: Padding,
) -> None:  # fmt: skip
    x = Frame.of_input(x.shape[1:3], padding).fill(framed, x)
    windows = windows_of(x, ct.shape[1:3], window, strides)
    matrix = out.reshape(math.prod(out.shape[:3]), out.shape[3])
    out.fill(0)
    for at in blocks(windows):
        block = ct[at]
        cts = block.reshape(math.prod(block.shape[:3]), block.shape[3])
        np.matmul(as_rows(windows[at], rows).T, cts, out=part.reshape(matrix.shape))
        matrix += part.reshape(matrix.shape)


def _weight_vjp_host_scratch(
    x: ShapedArray, ct: ShapedArray, *, window: Pair, strides: Pair, padding: Padding
) -> Avals:
    rows = block_aval(ct.shape[0] * ct.shape[1], ct.shape[2] * math.prod(window) * x.shape[3], x.dtype)
    part = ShapedArray((*window, x.shape[3], ct.shape[3]), x.dtype)
    return Frame.of_input(x.shape[1:3], padding).aval(x), rows, part


# --- OpenCL: launches of conv.cl ------------------------------------------------------------------


def _pad_launch(tile: Tile, framed: Operand, x: Operand, frame: Frame) -> Launches:
    """The launch that puts images into a frame; none where the frame is not needed."""
    if framed.size == 0:
        return ()
    images, height, width, c = x.shape
    row, lines = frame.width * c, images * frame.height
    span, rows = (1, 1) if tile.gpu else (row, max(1, 16384 // row))
    sizes = ints(height, width * c, frame.height, row, frame.top, frame.left * c, images, span, rows)
    return (flat_launch("pad_images", tile, -(-row // span), (framed, x, *sizes), (-(-lines // rows), 1)),)


def _places(shape: Sequence[int], strides: Pair = (1, 1), first: Pair = (0, 0)) -> tuple[int, int, int, int]:
    """Offset of pixel `first`, and the steps from there to the next image, row and column (by `strides`)."""
    _, height, width, c = shape
    return (first[0] * width + first[1]) * c, height * width * c, strides[0] * width * c, strides[1] * c


def _windows_launch(
    tile: Tile, device: Device, arrays: tuple[Operand, Operand, Operand], size: tuple[int, int, int],
    x_places: tuple[int, ...], out_places: tuple[int, ...], taps: tuple[int, ...], channels: int,
) -> Launch:  # fmt: skip
    """Windows times packed weights: `size` is images x height x width of the result, `taps` what conv.cl calls
    panels_first, taps, tap_step, flat.
    """
    pixels, repeats = math.prod(size), tile.panels(channels)
    tiles = -(-pixels // tile.rows)
    each = tiles_an_item(device, tiles, repeats, tile.rows * tile.panel * taps[1] * taps[3])
    numbers = ints(pixels, *size[1:], *x_places, *out_places, *taps, channels, each)
    return tile_launch("conv2d", tile, -(-tiles // each), repeats, 1, (*arrays, *numbers))


def _conv2d_scratch(kind: str, x: ShapedArray, w: ShapedArray, *, strides: Pair, padding: Padding) -> Avals:
    panels = panel_aval(tile_of(kind, w.shape[3]), math.prod(w.shape[:3]), w.shape[3])
    return panels, Frame.of_input(x.shape[1:3], padding).aval(x)


def _conv2d_launch(
    kind: str, device: Device, outs: Any, ins: Any, scratch: Any, *, strides: Pair, padding: Padding
) -> Launches:
    (out,), (x, w), (panels, framed) = outs, ins, scratch
    if out.size == 0:
        return ()
    r, s, c, k = w.shape
    tile = tile_of(kind, k)
    frame = Frame.of_input(x.shape[1:3], padding)
    source = framed if frame.needed(x) else x
    shape = (x.shape[0], frame.height, frame.width, c)
    product = _windows_launch(
        tile, device, (out, source, panels), out.shape[:3], _places(shape, strides), _places(out.shape),
        (0, r, frame.width * c, s * c), k,
    )  # fmt: skip
    packed = pack_launch(tile, panels, w, Rows((1, 1, r * s * c), (0, 0, k), k))
    return (*_pad_launch(tile, framed, x, frame), *packed, product)


def _input_vjp_scratch(
    kind: str, ct: ShapedArray, w: ShapedArray, *, input_hw: Pair, strides: Pair, padding: Padding
) -> Avals:
    # the taps of all residues together are those of the window, so one set of panels holds them all
    panels = panel_aval(tile_of(kind, w.shape[2]), math.prod(w.shape[:2]) * w.shape[3], w.shape[2])
    return panels, Frame.of_cotangent(input_hw, w.shape[:2], strides, padding).aval(ct)


def _input_vjp_launch(
    kind: str, device: Device, outs: Any, ins: Any, scratch: Any, *, input_hw: Pair, strides: Pair, padding: Padding
) -> Launches:
    (out,), (ct, w), (panels, framed) = outs, ins, scratch
    if out.size == 0:
        return ()
    _, s, c, k = w.shape
    tile = tile_of(kind, c)
    frame = Frame.of_cotangent(input_hw, w.shape[:2], strides, padding)
    source = framed if frame.needed(ct) else ct
    shape = (ct.shape[0], frame.height, frame.width, k)
    launches, filled = [*_pad_launch(tile, framed, ct, frame)], 0
    for h, v in residue_pairs(input_hw, w.shape[:2], strides, padding):
        steps = (-strides[0] * s * c * k, -strides[1] * c * k, 1)  # from the last tap to the first
        turned = Rows((h.taps, v.taps, k), steps, c, k, (h.last_tap * s + v.last_tap) * c * k)
        product = _windows_launch(
            tile, device, (out, source, panels), (ct.shape[0], h.count, v.count),
            _places(shape, first=(h.start, v.start)), _places(out.shape, strides, (h.first, v.first)),
            (filled, h.taps, frame.width * k, v.taps * k), c,
        )  # fmt: skip
        launches += [*pack_launch(tile, panels, w, turned, filled), product]
        filled += h.taps * v.taps * k * tile.panels(c) * tile.panel
    return tuple(launches)


def _chunks(lines: int, pixels: int, elements: int) -> tuple[int, int]:
    """How many partial sums of a weight gradient of so many elements, and lines in each; the same on every device."""
    most = min(MAX_CHUNKS, PARTS_ELEMENTS // max(1, elements), pixels // 256)
    each = -(-lines // max(1, most))
    return max(1, -(-lines // max(1, each))), each


def _weight_vjp_scratch(
    kind: str, x: ShapedArray, ct: ShapedArray, *, window: Pair, strides: Pair, padding: Padding
) -> Avals:
    n, oh, ow, k = ct.shape
    size = math.prod(window) * x.shape[3] * k
    chunks, _ = _chunks(n * oh, n * oh * ow, size)
    parts = ShapedArray((chunks, size) if chunks > 1 else (0,), "float32")
    return panel_aval(tile_of(kind, k), n * oh * ow, k), Frame.of_input(x.shape[1:3], padding).aval(x), parts


def _weight_vjp_launch(
    kind: str, device: Device, outs: Any, ins: Any, scratch: Any, *, window: Pair, strides: Pair, padding: Padding
) -> Launches:
    (out,), (x, ct), (panels, framed, parts) = outs, ins, scratch
    if out.size == 0:
        return ()
    (n, oh, ow, k), c = ct.shape, x.shape[3]
    tile = tile_of(kind, k)
    frame = Frame.of_input(x.shape[1:3], padding)
    source = framed if frame.needed(x) else x
    _, x_image, x_line, x_column = _places((n, frame.height, frame.width, c), strides)
    rows, flat = math.prod(window) * c, window[1] * c
    chunks, chunk = _chunks(n * oh, n * oh * ow, out.size)
    tiles = -(-rows // tile.rows)
    each = 1 if kind == "gpu" else max(1, min(tiles, tiles * tile.panels(k) * chunks // (8 * device.compute_units)))
    block = max(1, BLOCK_PIXELS // max(1, ow))
    numbers = ints(rows, flat, k, n * oh, oh, ow, x_image, frame.width * c, x_line, x_column, chunk, block, each)
    args = (parts if chunks > 1 else out, source, panels, *numbers)
    product = tile_launch("conv2d_weight_vjp", tile, -(-tiles // each), tile.panels(k), chunks, args)
    packed = pack_launch(tile, panels, ct, Rows((1, 1, n * oh * ow), (0, 0, k), k))
    return (*_pad_launch(tile, framed, x, frame), *packed, product, *_add_launch(tile, out, parts, chunks))


def _add_launch(tile: Tile, out: Operand, parts: Operand, chunks: int) -> Launches:
    if chunks == 1:
        return ()
    span = 1 if tile.gpu else 4096
    return (flat_launch("add_parts", tile, -(-out.size // span), (out, parts, *ints(out.size, chunks, span))),)


conv2d_p = Primitive(
    "conv2d",
    aval=_conv2d_aval,
    vjp=_conv2d_vjp,
    cost=_conv2d_cost,
    numpy=Host(_conv2d_numpy, _conv2d_host_scratch),
    opencl=tile_variants("conv.cl", _conv2d_launch, _conv2d_scratch),
    alias=None,
    split=lambda x, w, **params: (Split((0, None), (0,)), Split((None, 3), (3,))),
)

conv2d_input_vjp_p = Primitive(
    "conv2d_input_vjp",
    aval=_input_vjp_aval,
    vjp=_input_vjp_vjp,
    cost=_input_vjp_cost,
    numpy=Host(_input_vjp_numpy, _input_vjp_host_scratch),
    opencl=tile_variants("conv.cl", _input_vjp_launch, _input_vjp_scratch),
    alias=None,
    split=lambda ct, w, **params: (Split((0, None), (0,)), Split((None, 2), (3,))),
)

conv2d_weight_vjp_p = Primitive(
    "conv2d_weight_vjp",
    aval=_weight_vjp_aval,
    vjp=_weight_vjp_vjp,
    cost=_weight_vjp_cost,
    numpy=Host(_weight_vjp_numpy, _weight_vjp_host_scratch),
    opencl=tile_variants("conv.cl", _weight_vjp_launch, _weight_vjp_scratch),
    alias=None,
    split=lambda x, ct, **params: (Split((3, None), (2,)), Split((None, 3), (3,))),
)
