"""Scatter-adds of many indices on GPUs: the indices are sorted once, where each work-item would walk all of them."""

import functools
from typing import Any

from lwps.core import Device, Launch, ShapedArray, Variant
from lwps.ops.elementwise import C_TYPES
from lwps.ops.merge import GPU_OPTIONS, gpu_sort_launches, key_buffers, share_out
from lwps.ops.picks import form_of

WALKED = 256  # indices that a GPU work-item walks; more are sorted


def _sizes(along: bool, indices: ShapedArray, axis: int) -> tuple[int, int]:
    """Rows of keys and how many keys a row has."""
    count = indices.shape[axis] if along else indices.size
    return indices.size // max(count, 1), count


def _applies(along: bool, device: Device, x: ShapedArray, indices: ShapedArray, *, axis: int, **params: Any) -> bool:
    return device.type != "cpu" and x.size > 0 and _sizes(along, indices, axis)[1] > WALKED


def _scratch(along: bool, x: ShapedArray, indices: ShapedArray, *, axis: int, size: int) -> tuple[ShapedArray, ...]:
    return key_buffers(*_sizes(along, indices, axis))


def _launch(
    along: bool, device: Device, outs: Any, ins: Any, scratch: Any, *, axis: int, size: int
) -> tuple[Launch, ...]:
    (out,), (x, indices), (a, b) = outs, ins, scratch
    if out.size == 0:
        return ()
    rows, count = _sizes(along, indices.aval, axis)
    form = form_of(out.aval, count, axis)
    sizes = form.n, count, form.inner
    options = f"-DTYPE={C_TYPES[out.dtype.name]}{' -DALONG' if along else ''} {GPU_OPTIONS}"
    pack = share_out(device, "pack_places", rows * count, 1, (b, indices, *sizes), options)
    launches, keys = gpu_sort_launches(device, rows, count, a, b, options)
    return (pack, *launches, share_out(device, "add_segments", out.size, 1, (out, x, keys, *sizes), options))


VARIANT, ALONG_VARIANT = (
    Variant(
        "segments.cl",
        functools.partial(_launch, along),
        applies=functools.partial(_applies, along),
        scratch=functools.partial(_scratch, along),
    )
    for along in (False, True)
)
