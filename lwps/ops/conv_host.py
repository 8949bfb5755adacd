"""NumPy rules of convolution: windows laid out as rows of matrices, a block at a time, times the weights.

Every group of channels has matrices of its own; the products of all groups are one batched matmul.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Host, ShapedArray
from lwps.ops.windows import Frame, Pair, Windows, block_of, blocks, windows_of

Avals = tuple[ShapedArray, ...]


def _window_nbytes(windows: np.ndarray) -> int:
    return math.prod(windows.shape[3:]) * windows.itemsize


def _as_matrices(block: np.ndarray, groups: int, scratch: np.ndarray) -> np.ndarray:
    """Windows [n, h, w, r, s, C] as [groups, n h w, r s C/groups], in `scratch` unless they lie like that already."""
    n, h, w, r, s, c = block.shape
    grouped = block.reshape(n, h, w, r, s, groups, c // groups)
    shape = n * h * w, groups, r * s * c // groups
    if block.flags.c_contiguous and (groups == 1 or r * s == 1):
        return grouped.reshape(shape).transpose(1, 0, 2)
    laid_out = scratch[: block.size].reshape(groups, n, h, w, r, s, c // groups)
    np.copyto(laid_out, grouped.transpose(5, 0, 1, 2, 3, 4, 6))
    return laid_out.reshape(groups, shape[0], shape[2])


def _by_group(x: np.ndarray, groups: int) -> np.ndarray:
    """[..., C] as a view [groups, everything before, C/groups]."""
    return x.reshape(math.prod(x.shape[:-1]), groups, x.shape[-1] // groups).transpose(1, 0, 2)


def _rows_aval(counts: Sequence[int], window_elements: int, dtype: np.dtype) -> ShapedArray:
    """Scratch for a block of windows laid out."""
    return ShapedArray((math.prod(block_of(counts, window_elements * dtype.itemsize)) * window_elements,), dtype)


def _products(
    out: np.ndarray, windows: np.ndarray, matrices: np.ndarray, rows: np.ndarray, products: np.ndarray
) -> None:
    """Windows times `matrices` [groups, r s C/groups, K/groups], by way of `products` where `out` is strided."""
    groups = len(matrices)
    for at in blocks(windows.shape[:3], _window_nbytes(windows)):
        block, here = _as_matrices(windows[at], groups, rows), out[at]
        if here.flags.c_contiguous:
            np.matmul(block, matrices, out=_by_group(here, groups))
        else:
            product = products[: here.size].reshape(here.shape)
            np.matmul(block, matrices, out=_by_group(product, groups))
            np.copyto(here, product)


def _conv2d_numpy(
    out: np.ndarray, x: np.ndarray, w: np.ndarray, framed: np.ndarray, rows: np.ndarray, *, groups: int, **geometry: Any
) -> None:
    windows = Windows(w.shape[:2], **geometry)
    x = Frame.of_input(x.shape[1:3], windows.padding).fill(framed, x)
    view = windows_of(x, out.shape[1:3], windows.size, windows.strides, windows.dilation)
    _products(out, view, _by_group(w, groups), rows, rows)


def _conv2d_host_scratch(x: ShapedArray, w: ShapedArray, *, groups: int, **geometry: Any) -> Avals:
    windows = Windows(w.shape[:2], **geometry)
    counts = x.shape[0], *windows.counts(x.shape[1:3])
    rows = _rows_aval(counts, windows.taps * x.shape[3], x.dtype)
    return Frame.of_input(x.shape[1:3], windows.padding).aval(x), rows


def _input_vjp_numpy(
    out: np.ndarray, ct: np.ndarray, w: np.ndarray, framed: np.ndarray, rows: np.ndarray, products: np.ndarray,
    matrix: np.ndarray, *, input_hw: Pair, groups: int, **geometry: Any,
) -> None:  # fmt: skip
    """A convolution of the cotangent with the turned weights for each residue: they meet the same taps."""
    windows = Windows(w.shape[:2], **geometry)
    frame = Frame.of_cotangent(input_hw, windows)
    ct = frame.fill(framed, ct)
    c, k = w.shape[2:]
    for h, v in windows.residues(input_hw):
        dx = out[:, h.first :: windows.strides[0], v.first :: windows.strides[1]]
        if h.taps * v.taps == 0:
            dx.fill(0)
            continue
        met = w[h.last_tap :: -h.tap_step, v.last_tap :: -v.tap_step].reshape(h.taps, v.taps, c, groups, k // groups)
        weights = matrix[: met.size].reshape(groups, h.taps, v.taps, k // groups, c)
        np.copyto(weights, met.transpose(3, 0, 1, 4, 2))
        steps, start = (h.window_step, v.window_step), (frame.top + h.start, frame.left + v.start)
        view = windows_of(ct, dx.shape[1:3], (h.taps, v.taps), (1, 1), steps, start)
        _products(dx, view, weights.reshape(groups, h.taps * v.taps * k // groups, c), rows, products)


def _input_vjp_host_scratch(ct: ShapedArray, w: ShapedArray, *, input_hw: Pair, groups: int, **geometry: Any) -> Avals:
    windows = Windows(w.shape[:2], **geometry)
    rows = products = 0
    for h, v in windows.residues(input_hw):
        window = h.taps * v.taps * w.shape[3]
        most = math.prod(block_of((ct.shape[0], h.count, v.count), window * ct.dtype.itemsize))
        rows, products = max(rows, most * window), max(products, most * w.shape[2] * groups)
    framed = Frame.of_cotangent(input_hw, windows).aval(ct)
    return framed, *(ShapedArray((size,), ct.dtype) for size in (rows, products, w.size))


def _weight_vjp_numpy(
    out: np.ndarray, x: np.ndarray, ct: np.ndarray, framed: np.ndarray, rows: np.ndarray, part: np.ndarray,
    *, window: Pair, groups: int, **geometry: Any,
) -> None:  # fmt: skip
    windows = Windows(window, **geometry)
    x = Frame.of_input(x.shape[1:3], windows.padding).fill(framed, x)
    view = windows_of(x, ct.shape[1:3], windows.size, windows.strides, windows.dilation)
    total = _by_group(out, groups)
    out.fill(0)
    for at in blocks(view.shape[:3], _window_nbytes(view)):
        block = _as_matrices(view[at], groups, rows)
        np.matmul(block.swapaxes(1, 2), _by_group(ct[at], groups), out=part.reshape(total.shape))
        total += part.reshape(total.shape)


def _weight_vjp_host_scratch(x: ShapedArray, ct: ShapedArray, *, window: Pair, groups: int, **geometry: Any) -> Avals:
    windows = Windows(window, **geometry)
    rows = _rows_aval(ct.shape[:3], windows.taps * x.shape[3], x.dtype)
    part = ShapedArray((*window, x.shape[3] // groups, ct.shape[3]), x.dtype)
    return Frame.of_input(x.shape[1:3], windows.padding).aval(x), rows, part


conv2d_host = Host(_conv2d_numpy, _conv2d_host_scratch)
input_vjp_host = Host(_input_vjp_numpy, _input_vjp_host_scratch)
weight_vjp_host = Host(_weight_vjp_numpy, _weight_vjp_host_scratch)
