"""Sums over fixed chunks of rows, which normalisations of channels are made of: x is images x rows x channels."""

from typing import Any

import attrs
import numpy as np

from lwps.core import Device, Launch, ShapedArray

COLUMNS = 64  # channels a CPU work-item takes: four vectors of sixteen
GROUP = 64  # work-items a group on a GPU, each with one channel
GPU_ROWS = 8  # rows a GPU work-item takes where the order of sums is not at stake


def chunk_rows(rows: int) -> int:
    """Rows that are summed one after the other: of the shape only, so that every processor count sums alike."""
    return min(max(64, -(-rows // 256)), 512)


@attrs.frozen
class Form:
    """An array [..., channels] as `images` parts that are summed apart, each of `rows` x `channels`."""

    images: int
    rows: int
    channels: int

    @property
    def chunk(self) -> int:
        return chunk_rows(self.rows)

    @property
    def chunks(self) -> int:
        """Of each image."""
        return -(-self.rows // self.chunk)

    @property
    def empty(self) -> bool:
        return self.images * self.rows * self.channels == 0

    @property
    def sizes(self) -> tuple[np.int32, ...]:
        """As kernels take them."""
        return tuple(map(np.int32, (self.rows, self.channels, self.chunk)))

    def partials(self, dtype: Any) -> ShapedArray:
        """One sum for each chunk and channel of each image."""
        return ShapedArray((self.images, self.chunks, self.channels), dtype)


def form_of(x: ShapedArray, images: int = 1) -> Form:
    """`x` as so many images."""
    channels = x.shape[-1]
    return Form(images, x.size // (images * channels) if images * channels else 0, channels)


def tiles(device: Device, form: Form, kernel: str, args: tuple[Any, ...], rows: int | None = None) -> Launch:
    """One work-item for each tile of a chunk of rows (or of `rows` rows), for kernels of moments.cl."""
    rows = rows or form.chunk
    numbers = np.int32(form.rows), np.int32(form.channels), np.int32(rows)
    count = -(-form.channels // _columns(device)) * -(-form.rows // rows)
    return _launch(device, kernel, count, (*args, *numbers), form.images)


def applied(device: Device, form: Form, kernel: str, args: tuple[Any, ...]) -> Launch:
    """As `tiles`, for a kernel that adds nothing up."""
    return tiles(device, form, kernel, args, form.chunk if device.type == "cpu" else GPU_ROWS)


def each_column(device: Device, form: Form, kernel: str, args: tuple[Any, ...]) -> Launch:
    """One work-item for COLUMNS channels."""
    return _launch(device, kernel, -(-form.channels // _columns(device)), args)


def each(device: Device, kernel: str, count: int, args: tuple[Any, ...]) -> Launch:
    """`count` work-items, rounded up to whole groups."""
    return _launch(device, kernel, count, args)


def _columns(device: Device) -> int:
    return COLUMNS if device.type == "cpu" else 1


def _launch(device: Device, kernel: str, count: int, args: tuple[Any, ...], images: int = 1) -> Launch:
    group = 1 if device.type == "cpu" else min(GROUP, device.max_work_group_size)
    options = f"-DCOLUMNS={_columns(device)} -DGROUP={group}"
    return Launch(kernel, (-(-count // group) * group, images), (group, 1), args, options)
