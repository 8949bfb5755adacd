"""Images in another size: each pixel of the result from the nearest pixel of the input, or from the four around it.

Pixels are squares. The centre of pixel i of m is at (i + 1/2) / m of the way, in the input as in the result. So, of
n pixels in a row, it is at number (i + 1/2) n / m - 1/2 = ((2i + 1) n - m) / 2m: a fraction of integers, which is taken
apart exactly. At the edges the outermost pixels go on. There is no antialiasing.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops import shape as shape_ops
from lwps.ops.elementwise import FLOATS, known_array
from lwps.ops.shape import type_option

METHODS = {"nearest": "nearest", "bilinear": "bilinear", "linear": "bilinear"}
BLOCK = 4096  # elements that a CPU work-item computes at least
GROUP = 64  # work-items a group on a GPU
LARGEST = 2**31 - 1  # that numerators may be

Size = tuple[int, int]


def resize(image: Any, shape: Sequence[int], method: str = "bilinear") -> Any:
    """`image` as [N, H, W, C] or [H, W, C] in another height and width: those of `shape`, which is the whole new shape.

    Methods are "nearest" and "bilinear" (or "linear"). Pixel centres are at halves and nothing is smoothed before: as
    `jax.image.resize(antialias=False)`, and as PyTorch's `interpolate` with "nearest-exact", or with "bilinear" and
    align_corners=False.
    """
    x, target = known_array(image, "resize"), tuple(int(n) for n in shape)
    aval = aval_of(x)
    if method not in METHODS:
        raise ValueError(f"resize: method must be one of {', '.join(METHODS)}, got {method!r}")
    if aval.ndim not in (3, 4) or (*aval.shape[:-3], aval.shape[-1]) != (*target[:-3], *target[-1:]):
        raise TypeError(f"resize: only H and W of [N, H, W, C] or [H, W, C] may change, got {aval} and shape {target}")
    if target == aval.shape:
        return x
    batch = x if aval.ndim == 4 else shape_ops.reshape(x, (1, *aval.shape))
    (y,) = resize_p.bind(batch, size=target[-3:-1], method=METHODS[method])
    return shape_ops.reshape(y, target)


# --- where pixels come from -------------------------------------------------------------------------


def nearest_pixels(n: int, m: int) -> np.ndarray:
    """Of `n` pixels that in which the centre of each of `m` lies."""
    return (2 * np.arange(m) + 1) * n // (2 * m)


def pixels_around(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Of `n` pixels the last before the centre of each of `m`, from -1 to n - 1, and the weight of the next one."""
    before, rest = np.divmod((2 * np.arange(m) + 1) * n - m, 2 * m)
    return before, rest / (2 * m)


# --- rules that both share --------------------------------------------------------------------------


def _check(op: str, x: ShapedArray, size: Size, method: str) -> None:
    if x.ndim != 4 or (method == "bilinear" and x.dtype.name not in FLOATS):
        kind = "images [N, H, W, C]" if method == "nearest" else "float images [N, H, W, C]"
        raise TypeError(f"{op}: x must be {kind}, got {x}; use reshape or astype")
    if min(size) < 0 or (min(x.shape[1:3]) == 0 and min(size) > 0):
        raise TypeError(f"{op}: there must be pixels to make others of, got {x} and size {size}")


def _image(x: ShapedArray, size: Size) -> ShapedArray:
    return ShapedArray((x.shape[0], *size, x.shape[3]), x.dtype)


def _fits(device: Device, x: ShapedArray, *, size: Size, method: str) -> bool:
    return all((2 * m + 1) * (n + 1) <= LARGEST for n, m in zip(x.shape[1:3], size, strict=True))


def _cost(x: ShapedArray, *, size: Size, method: str) -> Cost:
    out = _image(x, size)
    return Cost(flops=(0 if method == "nearest" else 7) * max(out.size, x.size), nbytes=x.nbytes + out.nbytes)


def _split(x: ShapedArray, *, size: Size, method: str) -> tuple[Split, ...]:
    """Along the batch and the channels."""
    return Split((0,), (0,)), Split((3,), (3,))


# --- NumPy ------------------------------------------------------------------------------------------


def _images(x: ShapedArray, *sizes: Size) -> tuple[ShapedArray, ...]:
    return tuple(_image(x, size) for size in sizes)


def _resize_scratch(x: ShapedArray, *, size: Size, method: str) -> tuple[ShapedArray, ...]:
    """The image with its new height only; and for two pixels to be blended."""
    tall = size[0], x.shape[2]
    return _images(x, tall) if method == "nearest" else _images(x, tall, tall, size)


@np.errstate(invalid="ignore")
def _resize_numpy(
    out: np.ndarray, x: np.ndarray, tall: np.ndarray, *others: np.ndarray, size: Size, method: str
) -> None:
    if out.size == 0:
        return
    if method == "nearest":
        np.take(x, nearest_pixels(x.shape[1], size[0]), axis=1, out=tall, mode="clip")
        np.take(tall, nearest_pixels(x.shape[2], size[1]), axis=2, out=out, mode="clip")
        return
    _blend(tall, others[0], x, 1)
    _blend(out, others[1], tall, 2)


def _blend(out: np.ndarray, other: np.ndarray, x: np.ndarray, axis: int) -> None:
    """Of the pixels of `x` the two around each of `out` along `axis`; `other` is scratch."""
    before, weights = pixels_around(x.shape[axis], out.shape[axis])
    weights = weights.astype(x.dtype).reshape(-1, *(1,) * (3 - axis))
    np.take(x, before, axis, out=out, mode="clip")
    np.take(x, before + 1, axis, out=other, mode="clip")
    out *= 1 - weights
    other *= weights
    out += other


def _transpose_scratch(ct: ShapedArray, *, size: Size, method: str) -> tuple[ShapedArray, ...]:
    """The image with its new width only, then all of it, both with a pixel more at each end; and for products."""
    h, w = ct.shape[1:3]
    return _images(ct, (h, size[1] + 2), (size[0] + 2, size[1]), (h, max(w, size[1])))


@np.errstate(invalid="ignore")
def _transpose_numpy(
    out: np.ndarray,
    ct: np.ndarray,
    wide: np.ndarray,
    both: np.ndarray,
    products: np.ndarray,
    *,
    size: Size,
    method: str,
) -> None:
    if ct.size == 0:
        out.fill(0)
        return
    _spread(wide.swapaxes(0, 2), ct.swapaxes(0, 2), products.reshape(-1), method)
    wide = wide[:, :, 1:-1]
    _spread(both.swapaxes(0, 1), wide.swapaxes(0, 1), products.reshape(-1), method)
    np.copyto(out, both[:, 1:-1])


def _spread(out: np.ndarray, ct: np.ndarray, products: np.ndarray, method: str) -> None:
    """Add ct[m, ...] up in out[n + 2, ...], where they came from; what goes past the edges comes back to them.

    With n : m = p : q in lowest terms, pixel i + q has the weights of pixel i, and comes from p pixels further on. So
    all pixels i, i + q, i + 2q, ... are added at once.
    """
    n, m = len(out) - 2, len(ct)
    count = math.gcd(n, m)
    p, q = n // count, m // count
    nearest, (before, weights) = nearest_pixels(n, m), pixels_around(n, m)
    out.fill(0)
    for i in range(q):
        rows = ct[i::q]
        if method == "nearest":
            out[nearest[i] + 1 :: p][:count] += rows
            continue
        product = products[: rows.size].reshape(rows.shape)
        for at, weight in ((before[i] + 1, 1 - weights[i]), (before[i] + 2, weights[i])):
            np.multiply(rows, ct.dtype.type(weight), out=product)
            out[at::p][:count] += product
    out[1] += out[0]
    out[n] += out[n + 1]


# --- OpenCL -----------------------------------------------------------------------------------------


def _tables(x: ShapedArray, *, size: Size, method: str) -> tuple[ShapedArray, ...]:
    """Scratch: the pixel before, and the weight of the next one, for each row and column of the result."""
    return ShapedArray((sum(size),), "int32"), ShapedArray((sum(size),), "float32")


def _transpose_tables(ct: ShapedArray, *, size: Size, method: str) -> tuple[ShapedArray, ...]:
    return _tables(ct, size=(ct.shape[1], ct.shape[2]), method=method)


def _launches(
    device: Device,
    kernel: str,
    arrays: Sequence[Operand],
    tables: Sequence[Operand],
    sizes: Sequence[int],
    options: str,
) -> tuple[Launch, ...]:
    """The tables for `sizes` (height and width of the image, then of it resized), then what writes arrays[0]."""
    out, x = arrays
    if out.size == 0:
        return ()
    if x.size == 0:
        return (Launch("zero", (out.size,), None, (out,), options),)
    numbers = [np.int32(k) for k in sizes]
    first = Launch("tables", (sizes[2] + sizes[3],), None, (*tables, *numbers), options)
    args = (out, x, *tables, *numbers, np.int32(x.shape[3]))
    if device.type == "cpu":
        rows = out.shape[0] * out.shape[1]
        per_item = max(1, BLOCK * rows // out.size)
        counts = np.int32(rows), np.int32(per_item)
        return first, Launch(f"{kernel}_rows", (-(-rows // per_item),), (1,), (*args, *counts), options)
    items = -(-out.size // GROUP) * GROUP
    return first, Launch(f"{kernel}_each", (items,), (GROUP,), (*args, np.int32(out.size)), options)


def _resize_launch(device: Device, outs: Any, ins: Any, scratch: Any, *, size: Size, method: str) -> tuple[Launch, ...]:
    options = f"{type_option(ins[0])} -DNEAREST" if method == "nearest" else "-DTYPE=float"
    return _launches(device, "resize", (*outs, *ins), scratch, (*ins[0].shape[1:3], *size), options)


def _transpose_launch(
    device: Device, outs: Any, ins: Any, scratch: Any, *, size: Size, method: str
) -> tuple[Launch, ...]:
    options = "-DTYPE=float -DNEAREST" if method == "nearest" else "-DTYPE=float"
    return _launches(device, "resize_transpose", (*outs, *ins), scratch, (*size, *ins[0].shape[1:3]), options)


# --- the primitives ---------------------------------------------------------------------------------


def _resize_aval(x: ShapedArray, *, size: Size, method: str) -> tuple[ShapedArray, ...]:
    _check("resize", x, size, method)
    return _images(x, size)


def _resize_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, size: Size, method: str) -> Sequence[Any]:
    return resize_transpose_p.bind(*cts, size=ins[0].shape[1:3], method=method)


resize_p = Primitive(
    "resize",
    aval=_resize_aval,
    vjp=_resize_vjp,
    cost=_cost,
    numpy=Host(_resize_numpy, _resize_scratch),
    opencl=(Variant("resize.cl", _resize_launch, applies=_fits, scratch=_tables),),
    alias=None,
    split=_split,
)


def _transpose_aval(ct: ShapedArray, *, size: Size, method: str) -> tuple[ShapedArray, ...]:
    if ct.ndim != 4 or ct.dtype.name not in FLOATS:
        raise TypeError(f"resize_transpose: ct must be float images [N, H, W, C], got {ct}; use reshape or astype")
    (out,) = _images(ct, size)
    _check("resize_transpose", out, (ct.shape[1], ct.shape[2]), method)
    return (out,)


def _transpose_vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, size: Size, method: str) -> Sequence[Any]:
    return resize_p.bind(*cts, size=ins[0].shape[1:3], method=method)


resize_transpose_p = Primitive(
    "resize_transpose",
    aval=_transpose_aval,
    vjp=_transpose_vjp,
    cost=_cost,
    numpy=Host(_transpose_numpy, _transpose_scratch),
    opencl=(Variant("resize.cl", _transpose_launch, applies=_fits, scratch=_transpose_tables),),
    alias=None,
    split=_split,
)
