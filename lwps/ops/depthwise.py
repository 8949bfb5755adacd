"""Convolution with as many groups as channels, each of one channel in and out: nothing is a product of matrices.

What `conv2d` and its gradients do then, as shifted multiply-adds that take all channels side by side.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lwps.core import Device, Host, Launch, Operand, ShapedArray, Variant
from lwps.ops.chunks import add_parts_launch, chunks_of, parts_aval, pieces_of
from lwps.ops.tiles import ints, tiles_an_item
from lwps.ops.windows import Axis, Pair, Windows, block_of, blocks

Avals = tuple[ShapedArray, ...]
Launches = tuple[Launch, ...]

BLOCK_BYTES = 1 << 18  # of pixels that go through all taps at a time: they stay in cache
MAX_CHUNKS = 256  # of a weights' gradient, whose partial sums are small
PIXELS = 4  # of a row that share the weights in registers
TAPS = 4  # of a row of the window that share a pixel of the cotangent in registers


def has_depthwise_weights(x: Any, w: Any, groups: int) -> bool:
    """Whether a convolution of `x` (or its gradient by it, of a cotangent `x`) is depthwise."""
    return groups > 1 and tuple(w.shape[2:]) == (1, groups)


def has_depthwise_channels(x: Any, ct: Any, groups: int) -> bool:
    """Whether the gradient by the weights is depthwise."""
    return groups > 1 and x.shape[3] == ct.shape[3] == groups


# --- NumPy --------------------------------------------------------------------------------------------


def _range(part: slice) -> range:
    return range(part.start, part.stop)


def _pixel_blocks(images: np.ndarray) -> Iterator[tuple[slice, slice, slice]]:
    """Images, rows and columns of blocks."""
    return blocks(images.shape[:3], images.shape[3] * images.itemsize, BLOCK_BYTES)


def _largest_block(images: ShapedArray, counts: Sequence[int]) -> tuple[int, int, int]:
    """Of so many images, lines and columns with the channels of `images`."""
    return block_of(counts, images.shape[3] * images.dtype.itemsize, BLOCK_BYTES)


def _lines_and_products(images: ShapedArray, counts: Sequence[int], taps: int, columns: int) -> Avals:
    """Scratch for weights repeated as often as a block has columns that are met, and for the products of a block."""
    block, channels = _largest_block(images, counts), images.shape[3]
    lines = ShapedArray((taps, min(block[2], columns), channels), images.dtype)
    return lines, ShapedArray((math.prod(block) * channels,), images.dtype)


def _as_lines(w: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Weights repeated to [taps, columns, C]: lines times lines are long loops."""
    np.copyto(lines, w.reshape(len(lines), 1, lines.shape[2]))
    return lines


def _add_products(to: np.ndarray, x: np.ndarray, w: np.ndarray, scratch: np.ndarray) -> None:
    """to += x * w, by way of scratch."""
    product = scratch[: to.size].reshape(to.shape)
    np.multiply(x, w[: to.shape[2]], out=product)
    to += product


def _conv2d_numpy(
    out: np.ndarray, x: np.ndarray, w: np.ndarray, lines: np.ndarray, product: np.ndarray, *, groups: int,
    **geometry: Any,
) -> None:  # fmt: skip
    windows, weights = Windows(w.shape[:2], **geometry), _as_lines(w, lines)
    positions = [range(n) for n in x.shape[1:3]]
    out.fill(0)
    for images, *part in _pixel_blocks(out):
        for tap, q, p in windows.meetings(positions, [*map(_range, part)]):
            _add_products(out[images, *q], x[images, *p], weights[tap], product)


def _conv2d_host_scratch(x: ShapedArray, w: ShapedArray, *, groups: int, **geometry: Any) -> Avals:
    windows = Windows(w.shape[:2], **geometry)
    counts = windows.counts(x.shape[1:3])
    return _lines_and_products(x, (x.shape[0], *counts), windows.taps, counts[1])


def _input_vjp_numpy(
    out: np.ndarray, ct: np.ndarray, w: np.ndarray, lines: np.ndarray, product: np.ndarray, *, input_hw: Pair,
    groups: int, **geometry: Any,
) -> None:  # fmt: skip
    windows, weights = Windows(w.shape[:2], **geometry), _as_lines(w, lines)
    which = [range(n) for n in ct.shape[1:3]]
    out.fill(0)
    for images, *part in _pixel_blocks(out):
        for tap, q, p in windows.meetings([*map(_range, part)], which):
            _add_products(out[images, *p], ct[images, *q], weights[tap], product)


def _input_vjp_host_scratch(ct: ShapedArray, w: ShapedArray, *, input_hw: Pair, groups: int, **geometry: Any) -> Avals:
    return _lines_and_products(ct, (ct.shape[0], *input_hw), math.prod(w.shape[:2]), ct.shape[2])


def _weight_vjp_numpy(
    out: np.ndarray, x: np.ndarray, ct: np.ndarray, product: np.ndarray, ones: np.ndarray, part: np.ndarray,
    *, window: Pair, groups: int, **geometry: Any,
) -> None:  # fmt: skip
    windows = Windows(window, **geometry)
    positions = [range(n) for n in x.shape[1:3]]
    sums = out.reshape(windows.taps, groups)
    out.fill(0)
    ones.fill(1)
    for images, *lines in _pixel_blocks(ct):
        for tap, q, p in windows.meetings(positions, [*map(_range, lines)]):
            g = ct[images, *q]
            terms = product[: g.size].reshape(g.shape)
            np.multiply(x[images, *p], g, out=terms)
            np.matmul(ones[: g.size // groups], terms.reshape(g.size // groups, groups), out=part)
            sums[tap] += part


def _weight_vjp_host_scratch(x: ShapedArray, ct: ShapedArray, *, window: Pair, groups: int, **geometry: Any) -> Avals:
    pixels = math.prod(_largest_block(ct, ct.shape[:3]))
    return tuple(ShapedArray((n,), x.dtype) for n in (pixels * groups, pixels, groups))


conv2d_host = Host(_conv2d_numpy, _conv2d_host_scratch)
input_vjp_host = Host(_input_vjp_numpy, _input_vjp_host_scratch)
weight_vjp_host = Host(_weight_vjp_numpy, _weight_vjp_host_scratch)


# --- OpenCL -----------------------------------------------------------------------------------------


def _vec(device: Device, channels: int) -> int:
    """Channels of a vector: the largest power of two that the channels fill."""
    return 1 if device.type == "gpu" else min(16, 1 << (channels.bit_length() - 1))


def _launch(device: Device, kernel: str, items: int, args: Sequence[Any], options: str) -> Launch:
    group = _group(device)
    options = f"-DGROUP={group} -DPIXELS={PIXELS} {options}"
    return Launch(kernel, (-(-items // group) * group,), (group,), tuple(args), options)


def _group(device: Device) -> int:
    return min(64, device.max_work_group_size) if device.type == "gpu" else 1


def _windows_launch(
    device: Device, arrays: tuple[Operand, Operand, Operand], counts: Pair, out_places: Sequence[int],
    axes: Sequence[Sequence[int]], taps: Sequence[int], w_places: Sequence[int],
) -> Launch:  # fmt: skip
    """`counts` pixels of each image of the result; `axes` are (first, stride, step) of positions of x along H and W,
    `out_places` and `w_places` offset and steps in the result and of taps in the weights.
    """
    _, x, _ = arrays
    n, channels = x.shape[0], x.shape[3]
    vec = _vec(device, channels)
    vectors = -(-channels // vec)
    tiles = n * counts[0] * -(-counts[1] // PIXELS)
    each = tiles_an_item(device, tiles, 1, PIXELS * channels * math.prod(taps))
    blocks_each = 1 if device.type == "gpu" else vectors
    numbers = ints(
        n * counts[0], channels, *counts, *out_places, *x.shape[1:3], *axes[0], *axes[1], *taps, *w_places,
        blocks_each, each,
    )  # fmt: skip
    items = -(-tiles // each) * -(-vectors // blocks_each)
    return _launch(device, "depthwise_conv2d", items, (*arrays, *numbers), f"-DVEC={vec} -DTAPS=1")


def _forward_axis(axis: Axis) -> tuple[int, int, int]:
    return -axis.low, axis.stride, axis.dilation


def _conv2d_launch(device: Device, outs: Any, ins: Any, scratch: Any, *, groups: int, **geometry: Any) -> Launches:
    (out,), (x, w) = outs, ins
    if out.size == 0:
        return ()
    windows = Windows(w.shape[:2], **geometry)
    _, height, width, c = out.shape
    axes = [*map(_forward_axis, windows.axes)]
    places, w_places = (0, height * width * c, width * c, c), (0, w.shape[1] * c, c)
    return (_windows_launch(device, (out, x, w), (height, width), places, axes, w.shape[:2], w_places),)


def _input_vjp_launch(
    device: Device, outs: Any, ins: Any, scratch: Any, *, input_hw: Pair, groups: int, **geometry: Any
) -> Launches:
    (out,), (ct, w) = outs, ins
    if out.size == 0:
        return ()
    windows = Windows(w.shape[:2], **geometry)
    (_, height, width, c), s = out.shape, w.shape[1]
    launches = []
    for h, v in windows.residues(input_hw):
        rows, columns = windows.strides
        places = ((h.first * width + v.first) * c, height * width * c, rows * width * c, columns * c)
        axes = [(r.start, 1, r.window_step) for r in (h, v)]
        w_places = ((h.last_tap * s + v.last_tap) * c, -h.tap_step * s * c, -v.tap_step * c)
        taps = (h.taps, v.taps)
        launches.append(_windows_launch(device, (out, ct, w), (h.count, v.count), places, axes, taps, w_places))
    return tuple(launches)


def _weight_chunks(ct: ShapedArray | Operand, window: Pair) -> tuple[int, int]:
    pixels, elements = math.prod(ct.shape[:3]), math.prod(window) * ct.shape[3]
    return chunks_of(pieces_of(ct)[0], pixels, elements, MAX_CHUNKS)


def _weight_vjp_scratch(x: ShapedArray, ct: ShapedArray, *, window: Pair, groups: int, **geometry: Any) -> Avals:
    return (parts_aval(_weight_chunks(ct, window)[0], math.prod(window) * groups),)


def _weight_vjp_launch(
    device: Device, outs: Any, ins: Any, scratch: Any, *, window: Pair, groups: int, **geometry: Any
) -> Launches:
    (out,), (x, ct), (parts,) = outs, ins, scratch
    rows, columns = Windows(window, **geometry).axes
    pieces, length = pieces_of(ct)
    chunks, chunk = _weight_chunks(ct, window)
    gpu, vec, side_by_side = device.type == "gpu", _vec(device, groups), min(TAPS, columns.taps)
    vectors, bundles = -(-groups // vec), rows.taps * -(-columns.taps // side_by_side)
    blocks_each = 1 if gpu else max(1, min(vectors, vectors * chunks // (8 * device.compute_units)))
    bundles_each = 1 if gpu else bundles
    numbers = ints(
        groups, *ct.shape[1:3], *x.shape[1:3], rows.stride, rows.dilation, rows.low, columns.stride, columns.dilation,
        columns.low, *window, pieces, length, chunk, chunks, blocks_each, bundles_each,
    )  # fmt: skip
    items = -(-vectors // blocks_each) * -(-bundles // bundles_each) * chunks
    args = (parts if chunks > 1 else out, x, ct, *numbers)
    product = _launch(device, "depthwise_weight_vjp", items, args, f"-DVEC={vec} -DTAPS={side_by_side}")
    return product, *add_parts_launch(out, parts, chunks, _group(device), product.options)


def _on_device(launch: Any, applies: Any, scratch: Any = lambda *ins, **params: ()) -> Variant:
    return Variant("depthwise.cl", launch, lambda device, *ins, groups, **params: applies(*ins, groups), scratch)


conv2d_variant = _on_device(_conv2d_launch, has_depthwise_weights)
input_vjp_variant = _on_device(_input_vjp_launch, has_depthwise_weights)
weight_vjp_variant = _on_device(_weight_vjp_launch, has_depthwise_channels, _weight_vjp_scratch)
