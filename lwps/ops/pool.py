"""Max-pooling, which remembers the tap that each maximum came from, and pooling over whole images."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Device, Host, Launch, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops import reduce
from lwps.ops.elementwise import FLOATS
from lwps.ops.shape import reshape
from lwps.ops.tiles import ints
from lwps.ops.windows import Padding, Pair, Windows, canonical_padding, line_sides, pair

MAX_TAPS = 255  # their numbers fit in uint8
ITEM_ELEMENTS = 8192  # that a CPU work-item does: many times the cost of starting it


def max_pool(x: Any, window: int | Pair, strides: int | Pair | None = None, padding: Any = "VALID") -> Any:
    """The maximum of each window of `x[N, H, W, C]`: `[N, OH, OW, C]`.

    `window` and `strides` (default: the window) are heights and widths, or one int for both; `padding` is as for conv2d
    and adds positions that are never the maximum. NaN counts as the largest number. The gradient goes to the first
    of equal maxima. ValueError for more than 255 taps and for padding as wide as the window.
    """
    windows = pool_windows("max_pool", x, window, strides, padding)
    y, _ = max_pool_p.bind(x, window=windows.size, strides=windows.strides, padding=windows.padding)
    return y


def max_pool1d(x: Any, window: int, stride: int | None = None, padding: Any = "VALID") -> Any:
    """The maximum of each window of `x[N, T, C]`: `[N, OT, C]`; `max_pool` along one axis."""
    return along_one_axis("max_pool1d", max_pool, x, window, stride, padding)


def pool_windows(op: str, x: Any, window: int | Pair, strides: int | Pair | None, padding: Any) -> Windows:
    """The windows of a pool over images `x`, or a refusal in the name of `op`."""
    if len(aval_of(x).shape) != 4:
        raise TypeError(f"{op}: x must be [N, H, W, C], got {aval_of(x)}; use reshape")
    size = pair(op, "window", window)
    steps = size if strides is None else pair(op, "strides", strides)
    return Windows(size, steps, canonical_padding(padding, x.shape[1:3], size, steps, op))


def along_one_axis(
    op: str, pool: Callable[..., Any], x: Any, window: int, stride: int | None, padding: Any, **options: Any
) -> Any:
    """A pool of images, of sequences `x[N, T, C]`."""
    shape = aval_of(x).shape
    if len(shape) != 3:
        raise TypeError(f"{op}: x must be [N, T, C], got {aval_of(x)}; use reshape")
    for name, n in (("window", window), ("stride", window if stride is None else stride)):
        if not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"{op}: {name} must be an int of at least 1, got {n!r}")
    image = reshape(x, (shape[0], 1, *shape[1:]))
    y = pool(image, (1, window), (1, stride or window), line_sides(op, padding), **options)
    return reshape(y, (shape[0], *y.shape[2:]))


def global_avg_pool(x: Any) -> Any:
    """The mean of `x[N, H, W, C]` over its pixels: `[N, C]`."""
    return reduce.mean(_images("global_avg_pool", x), (1, 2))


def global_max_pool(x: Any) -> Any:
    """The largest of `x[N, H, W, C]` over its pixels: `[N, C]`. The gradient goes to the first of equal maxima."""
    return reduce.max(_images("global_max_pool", x), (1, 2))


def _images(op: str, x: Any) -> Any:
    if len(aval_of(x).shape) != 4:
        raise TypeError(f"{op}: x must be [N, H, W, C], got {aval_of(x)}; reduce other axes by mean or max")
    return x


def _check_pool(op: str, in_hw: Sequence[int], windows: Windows) -> None:
    check_pool(op, in_hw, windows)
    if windows.taps > MAX_TAPS:
        raise ValueError(f"{op}: the window must have at most {MAX_TAPS} taps, got {windows.size}; pool twice")


def check_pool(op: str, in_hw: Sequence[int], windows: Windows) -> None:
    """Refuse windows that do not fit, and those that may lie in the padding alone."""
    windows.check(op, in_hw)
    if any(max(p) >= n for p, n in zip(windows.padding, windows.size, strict=True)):
        raise ValueError(
            f"{op}: padding must be less than the window, got {windows.padding} for {windows.size}; use pad"
        )


def _max_pool_aval(x: ShapedArray, *, window: Pair, **geometry: Any) -> tuple[ShapedArray, ...]:
    if x.ndim != 4 or x.dtype.name not in FLOATS:
        raise TypeError(
            f"max_pool: x must be [N, H, W, C] of dtype {' or '.join(FLOATS)}, got {x}; use astype or reshape"
        )
    windows = Windows(window, **geometry)
    _check_pool("max_pool", x.shape[1:3], windows)
    shape = (x.shape[0], *windows.counts(x.shape[1:3]), x.shape[3])
    return ShapedArray(shape, x.dtype), ShapedArray(shape, "uint8")


def _max_pool_vjp(cts: Any, ins: Any, outs: Any, needed: Any, **params: Any) -> Sequence[Any]:
    if cts[0] is None or not needed[0]:
        return (None,)
    return max_pool_vjp_p.bind(cts[0], outs[1], input_hw=tuple(ins[0].shape[1:3]), **params)


def _max_pool_cost(x: ShapedArray, *, window: Pair, **params: Any) -> Cost:
    y, index = _max_pool_aval(x, window=window, **params)
    return Cost(flops=y.size * math.prod(window), nbytes=x.nbytes + y.nbytes + index.nbytes)


def _max_pool_vjp_aval(
    ct: ShapedArray, index: ShapedArray, *, input_hw: Pair, window: Pair, **geometry: Any
) -> tuple[ShapedArray, ...]:
    windows = Windows(window, **geometry)
    _check_pool("max_pool_vjp", input_hw, windows)
    hw = windows.counts(input_hw)
    fits = ct.ndim == 4 and ct.shape[1:3] == hw and index == ShapedArray(ct.shape, "uint8")
    if not fits or ct.dtype.name not in FLOATS:
        raise TypeError(
            f"max_pool_vjp: ct must be floats and index uint8 [N, {hw[0]}, {hw[1]}, C], got {ct} and {index}"
        )
    return (ShapedArray((ct.shape[0], *input_hw, ct.shape[3]), ct.dtype),)


def _max_pool_vjp_cost(ct: ShapedArray, index: ShapedArray, **params: Any) -> Cost:
    (dx,) = _max_pool_vjp_aval(ct, index, **params)
    return Cost(flops=ct.size * math.prod(params["window"]), nbytes=dx.nbytes + ct.nbytes + index.nbytes)


# --- NumPy: one pass over all windows for each tap -----------------------------------------------------


def _max_pool_numpy(
    y: np.ndarray, index: np.ndarray, x: np.ndarray, better: np.ndarray, number: np.ndarray,
    *, window: Pair, **geometry: Any,
) -> None:  # fmt: skip
    windows = Windows(window, **geometry)
    y.fill(-np.inf)
    np.copyto(index, _first_taps(y.shape[1:3], windows))
    for tap, q, p in windows.meetings([*map(range, x.shape[1:3])], [*map(range, y.shape[1:3])]):
        at = (slice(None), *q)
        best, here, is_better, is_number = y[at], x[:, *p], better[at], number[at]
        np.less_equal(here, best, out=is_better)
        np.logical_not(is_better, out=is_better)  # larger, or one of them is NaN
        np.equal(best, best, out=is_number)
        np.logical_and(is_better, is_number, out=is_better)
        np.copyto(best, here, where=is_better)
        np.copyto(index[at], tap, where=is_better)


def _first_taps(hw: Sequence[int], windows: Windows) -> np.ndarray:
    """[OH, OW, 1]: the first tap of each window that lies on the image."""
    r, s = (np.maximum(0, a.low - np.arange(n) * a.stride) for a, n in zip(windows.axes, hw, strict=True))
    return (r[:, None, None] * windows.size[1] + s[:, None]).astype(np.uint8)


def _max_pool_host_scratch(x: ShapedArray, **params: Any) -> tuple[ShapedArray, ...]:
    mask = ShapedArray(_max_pool_aval(x, **params)[0].shape, "bool")
    return mask, mask


def _max_pool_vjp_numpy(
    dx: np.ndarray, ct: np.ndarray, index: np.ndarray, picked: np.ndarray,
    *, input_hw: Pair, window: Pair, **geometry: Any,
) -> None:  # fmt: skip
    dx.fill(0)
    windows = Windows(window, **geometry)
    for tap, q, p in windows.meetings([*map(range, input_hw)], [*map(range, ct.shape[1:3])]):
        at, here = (slice(None), *q), dx[:, *p]
        np.equal(index[at], tap, out=picked[at])
        np.add(here, ct[at], out=here, where=picked[at])


def _max_pool_vjp_host_scratch(ct: ShapedArray, index: ShapedArray, **params: Any) -> tuple[ShapedArray, ...]:
    return (ShapedArray(ct.shape, "bool"),)


# --- OpenCL -----------------------------------------------------------------------------------------


def _launch(
    device: Device, kernel: str, arrays: Sequence[Any], shape: Sequence[int], numbers: Sequence[int]
) -> tuple[Launch, ...]:
    """The launch for a result [N, H, W, C]; `numbers` are the kernel's from `height` to `left`."""
    pixels, channels = math.prod(shape[:3]), shape[3]
    if pixels * channels == 0:
        return ()
    gpu = device.type == "gpu"
    group = min(64, device.max_work_group_size) if gpu else 1
    span, run = (1, 1) if gpu else (channels, max(1, ITEM_ELEMENTS // channels))
    items = -(-pixels // run) * -(-channels // span)
    args = (*arrays, *ints(pixels, channels, *numbers, span, run))
    return (Launch(kernel, (-(-items // group) * group,), (group,), args, f"-DGROUP={group}"),)


def _max_pool_launch(
    device: Device, outs: Any, ins: Any, scratch: Any, *, window: Pair, strides: Pair, padding: Padding
) -> tuple[Launch, ...]:
    (y, index), (x,) = outs, ins
    numbers = (*x.shape[1:3], *y.shape[1:3], *window, *strides, padding[0][0], padding[1][0])
    return _launch(device, "max_pool", (y, index, x), y.shape, numbers)


def _max_pool_vjp_launch(
    device: Device, outs: Any, ins: Any, scratch: Any, *, input_hw: Pair, window: Pair, strides: Pair, padding: Padding
) -> tuple[Launch, ...]:
    (dx,), (ct, index) = outs, ins
    numbers = (*input_hw, *ct.shape[1:3], *window, *strides, padding[0][0], padding[1][0])
    return _launch(device, "max_pool_vjp", (dx, ct, index), dx.shape, numbers)


max_pool_p = Primitive(
    "max_pool",
    aval=_max_pool_aval,
    vjp=_max_pool_vjp,
    cost=_max_pool_cost,
    numpy=Host(_max_pool_numpy, _max_pool_host_scratch),
    opencl=(Variant("pool.cl", _max_pool_launch),),
    alias=None,
    split=lambda x, **params: (Split((0,), (0, 0)), Split((3,), (3, 3))),
)

max_pool_vjp_p = Primitive(
    "max_pool_vjp",
    aval=_max_pool_vjp_aval,
    vjp=None,
    cost=_max_pool_vjp_cost,
    numpy=Host(_max_pool_vjp_numpy, _max_pool_vjp_host_scratch),
    opencl=(Variant("pool.cl", _max_pool_vjp_launch),),
    alias=None,
    split=lambda ct, index, **params: (Split((0, 0), (0,)), Split((3, 3), (3,))),
)
