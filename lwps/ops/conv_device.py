"""Launches of `conv.cl`: convolution and its gradients as register tiles times packed panels, each group by itself."""

import math
from collections.abc import Sequence
from typing import Any

import attrs

from lwps.core import Device, Launch, Operand, ShapedArray
from lwps.ops.chunks import PIECE, add_parts_launch, chunks_of, parts_aval, pieces_of
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
from lwps.ops.windows import Frame, Pair, Windows

Avals = tuple[ShapedArray, ...]
Launches = tuple[Launch, ...]


@attrs.frozen
class Runs:
    """A window as `count` rows of `wide` runs of `flat` floats, with the steps from row to row and from run to run."""

    count: int
    wide: int
    row: int
    column: int
    flat: int

    def merged(self) -> "Runs":
        """The same window in as few runs as do: neighbours that touch are one."""
        runs = self
        if runs.wide == 1 or runs.column == runs.flat:
            runs = attrs.evolve(runs, wide=1, flat=runs.wide * runs.flat)
        if runs.wide == 1 and (runs.count == 1 or runs.row == runs.flat):
            runs = attrs.evolve(runs, count=1, flat=runs.count * runs.flat)
        return runs

    @property
    def elements(self) -> int:
        return self.count * self.wide * self.flat

    @property
    def numbers(self) -> tuple[int, ...]:
        return self.count * self.wide, self.wide, self.row, self.column, self.flat


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
    x_places: tuple[int, ...], out_places: tuple[int, ...], runs: Runs, panels_first: int, channels: Pair, groups: int,
) -> Launch:  # fmt: skip
    """Windows times packed weights: `size` is images x height x width of the result, `channels` those of a group in x
    and in the result.
    """
    pixels, repeats = math.prod(size), tile.panels(channels[1]) * groups
    tiles = -(-pixels // tile.rows)
    each = tiles_an_item(device, tiles, repeats, tile.rows * tile.panel * runs.elements)
    numbers = ints(pixels, *size[1:], *x_places, *out_places, panels_first, *runs.merged().numbers, *channels, each)
    return tile_launch("conv2d", tile, -(-tiles // each), tile.panels(channels[1]), groups, (*arrays, *numbers))


def _conv2d_scratch(kind: str, x: ShapedArray, w: ShapedArray, *, groups: int, **geometry: Any) -> Avals:
    k = w.shape[3] // groups
    panels = panel_aval(tile_of(kind, k), math.prod(w.shape[:3]), k, groups)
    return panels, Frame.of_input(x.shape[1:3], geometry["padding"]).aval(x)


def _conv2d_launch(
    kind: str, device: Device, outs: Any, ins: Any, scratch: Any, *, groups: int, **geometry: Any
) -> Launches:
    (out,), (x, w), (panels, framed) = outs, ins, scratch
    if out.size == 0:
        return ()
    windows = Windows(w.shape[:2], **geometry)
    (r, s, c, k), channels = w.shape, x.shape[3]
    tile = tile_of(kind, k // groups)
    frame = Frame.of_input(x.shape[1:3], windows.padding)
    source = framed if frame.needed(x) else x
    shape = (x.shape[0], frame.height, frame.width, channels)
    _, _, row, column = _places(shape, windows.dilation)
    product = _windows_launch(
        tile, device, (out, source, panels), out.shape[:3], _places(shape, windows.strides), _places(out.shape),
        Runs(r, s, row, column, c), 0, (c, k // groups), groups,
    )  # fmt: skip
    weights = Rows((1, 1, r * s * c), (0, 0, k), k // groups, batch=groups, batch_step=k // groups)
    return (*_pad_launch(tile, framed, x, frame), *pack_launch(tile, panels, w, weights), product)


def _input_vjp_scratch(
    kind: str, ct: ShapedArray, w: ShapedArray, *, input_hw: Pair, groups: int, **geometry: Any
) -> Avals:
    # the taps of all residues together are those of the window, so one set of panels holds them all
    windows, (c, k) = Windows(w.shape[:2], **geometry), w.shape[2:]
    panels = panel_aval(tile_of(kind, c), windows.taps * (k // groups), c, groups)
    return panels, Frame.of_cotangent(input_hw, windows).aval(ct)


def _input_vjp_launch(
    kind: str, device: Device, outs: Any, ins: Any, scratch: Any, *, input_hw: Pair, groups: int, **geometry: Any
) -> Launches:
    (out,), (ct, w), (panels, framed) = outs, ins, scratch
    if out.size == 0:
        return ()
    windows = Windows(w.shape[:2], **geometry)
    _, s, c, k = w.shape
    tile, each = tile_of(kind, c), k // groups
    frame = Frame.of_cotangent(input_hw, windows)
    source = framed if frame.needed(ct) else ct
    shape = (ct.shape[0], frame.height, frame.width, k)
    launches, filled = [*_pad_launch(tile, framed, ct, frame)], 0
    for h, v in windows.residues(input_hw):
        steps = (-h.tap_step * s * c * k, -v.tap_step * c * k, 1)  # from the last tap to the first
        first = (h.last_tap * s + v.last_tap) * c * k
        met = Rows((h.taps, v.taps, each), steps, c, k, first, batch=groups, batch_step=each)
        _, _, row, column = _places(shape, (h.window_step, v.window_step))
        product = _windows_launch(
            tile, device, (out, source, panels), (ct.shape[0], h.count, v.count),
            _places(shape, first=(frame.top + h.start, frame.left + v.start)),
            _places(out.shape, windows.strides, (h.first, v.first)),
            Runs(h.taps, v.taps, row, column, each), filled, (each, c), groups,
        )  # fmt: skip
        launches += [*pack_launch(tile, panels, w, met, filled), product]
        filled += h.taps * v.taps * each * tile.panels(c) * tile.panel * groups
    return tuple(launches)


def _weight_vjp_scratch(
    kind: str, x: ShapedArray, ct: ShapedArray, *, window: Pair, groups: int, **geometry: Any
) -> Avals:
    n, oh, ow, k = ct.shape
    size = math.prod(window) * (x.shape[3] // groups) * k
    panels = panel_aval(tile_of(kind, k // groups), n * oh * ow, k // groups, groups)
    frame = Frame.of_input(x.shape[1:3], geometry["padding"])
    return panels, frame.aval(x), parts_aval(chunks_of(pieces_of(ct)[0], n * oh * ow, size)[0], size)


def _weight_vjp_launch(
    kind: str, device: Device, outs: Any, ins: Any, scratch: Any, *, window: Pair, groups: int, **geometry: Any
) -> Launches:
    (out,), (x, ct), (panels, framed, parts) = outs, ins, scratch
    if out.size == 0:
        return ()
    windows = Windows(window, **geometry)
    (n, oh, ow, k), c = ct.shape, x.shape[3]
    tile = tile_of(kind, k // groups)
    frame = Frame.of_input(x.shape[1:3], windows.padding)
    source = framed if frame.needed(x) else x
    shape = (n, frame.height, frame.width, c)
    _, x_image, x_line, x_column = _places(shape, windows.strides)
    _, _, row, column = _places(shape, windows.dilation)
    runs = Runs(*window, row, column, c // groups)
    pieces, piece = pieces_of(ct)
    chunks, chunk = chunks_of(pieces, n * oh * ow, out.size)
    tiles, panels_in_all = -(-runs.elements // tile.rows), tile.panels(k // groups) * groups
    each = 1 if kind == "gpu" else max(1, min(tiles, tiles * panels_in_all * chunks // (8 * device.compute_units)))
    numbers = ints(
        runs.elements, *runs.merged().numbers[1:], c // groups, k // groups, groups, pieces, piece, oh, ow,
        x_image, x_line, x_column, chunk, max(1, PIECE // piece), each,
    )  # fmt: skip
    args = (parts if chunks > 1 else out, source, panels, *numbers)
    product = tile_launch("conv2d_weight_vjp", tile, -(-tiles // each), panels_in_all, chunks, args)
    packed = Rows((1, 1, n * oh * ow), (0, 0, k), k // groups, batch=groups, batch_step=k // groups)
    return (
        *_pad_launch(tile, framed, x, frame),
        *pack_launch(tile, panels, ct, packed),
        product,
        *add_parts_launch(out, parts, chunks, tile.group, tile.options),
    )


conv2d_variants = tile_variants("conv.cl", _conv2d_launch, _conv2d_scratch)
input_vjp_variants = tile_variants("conv.cl", _input_vjp_launch, _input_vjp_scratch)
weight_vjp_variants = tile_variants("conv.cl", _weight_vjp_launch, _weight_vjp_scratch)
