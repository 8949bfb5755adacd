"""Sorting along an axis, by keys of 64 bits that no two elements share.

The upper half of a key is the element, as an unsigned integer of the same order; the lower half is its index. So there
is one order only, whatever the algorithm: equal elements keep theirs, and every processor gives the same indices. -0.0
equals 0.0, and NaN follows everything, as in NumPy. The elements are gathered by the indices, as cotangents are.
"""

import math
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Cost, Device, Host, Launch, Operand, Primitive, ShapedArray, Split, Variant, aval_of
from lwps.ops import gather, shape
from lwps.ops.elementwise import known_array
from lwps.ops.merge import GPU_OPTIONS, gpu_sort_launches, key_buffers, merge_launches, share_out

CPU_CHUNK = 2048  # elements that a CPU work-item sorts, or merges: two buffers of keys stay in L1
FEW, FEW_CHUNK = 64, 2048  # first elements that one work-item keeps in order while it reads so many
SIGN, WORD = np.uint32(1 << 31), np.uint32(2**32 - 1)


# --- what users call --------------------------------------------------------------------------------


def argsort(x: Any, axis: int | None = -1, *, descending: bool = False) -> Any:
    """int32 indices that sort `x` along `axis` (flat if it is None).

    Equal elements stay in order, in descending order too. NaN comes last, in descending order first.
    """
    x, axis = _along("argsort", x, axis)
    (order,) = argsort_p.bind(x, axis=axis, descending=bool(descending))
    return order


def sort(x: Any, axis: int | None = -1, *, descending: bool = False) -> Any:
    """The elements of `x` in order along `axis` (flat if it is None); see `argsort`."""
    x, axis = _along("sort", x, axis)
    return gather.take_along_axis(x, argsort(x, axis, descending=descending), axis)


def top_k(x: Any, k: int, axis: int = -1) -> tuple[Any, Any]:
    """(values, int32 indices) of the `k` largest elements along `axis`, the largest first.

    Of equal ones the first come first. NaN is larger than everything.
    """
    x, axis = _along("top_k", x, axis)
    (indices,) = top_k_p.bind(x, axis=axis, k=int(k))
    return gather.take_along_axis(x, indices, axis), indices


def _along(op: str, x: Any, axis: int | None) -> tuple[Any, int]:
    x = known_array(x, op)
    if axis is None:
        return shape.reshape(x, -1), 0
    (axis,) = shape.positions(op, (axis,), aval_of(x).ndim)
    return x, axis


# --- rules that both share --------------------------------------------------------------------------


@attrs.frozen
class Form:
    """[outer, n, inner], to be sorted along the middle; the first `count` are wanted."""

    outer: int
    n: int
    inner: int
    count: int
    descending: bool

    @property
    def rows(self) -> int:
        return self.outer * self.inner


def _form(x: ShapedArray, axis: int, *, k: int | None = None, descending: bool = True) -> Form:
    outer, n, inner = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    return Form(outer, n, inner, n if k is None else k, descending)


def _order_aval(op: str, x: ShapedArray, axis: int, k: int | None = None) -> tuple[ShapedArray, ...]:
    if not 0 <= axis < x.ndim:
        raise ValueError(f"{op}: axis must be from 0 to {x.ndim - 1}, got {axis} for {x}")
    n = x.shape[axis]
    if k is not None and not 0 <= k <= n:
        raise ValueError(f"{op}: k must be from 0 to {n}, the size of axis {axis}, got {k} for {x}")
    return (ShapedArray((*x.shape[:axis], n if k is None else k, *x.shape[axis + 1 :]), "int32"),)


def _cost(x: ShapedArray, axis: int, **params: Any) -> Cost:
    passes = max(1, x.shape[axis] - 1).bit_length()
    return Cost(flops=x.size * passes, nbytes=x.nbytes + 4 * x.size)


def _split(x: ShapedArray, axis: int, **params: Any) -> tuple[Split, ...]:
    """Along every other axis."""
    return tuple(Split((k,), (k,)) for k in range(x.ndim) if k != axis)


# --- NumPy ------------------------------------------------------------------------------------------


def _keys_scratch(x: ShapedArray, axis: int, **params: Any) -> tuple[ShapedArray, ...]:
    """The keys, a row behind the other; their upper halves; and flags."""
    form = _form(x, axis)
    sizes = form.outer, form.inner, form.n
    return ShapedArray(sizes, "float64"), ShapedArray(sizes, "uint32"), ShapedArray(sizes, "bool")


def _write_keys(keys: np.ndarray, halves: np.ndarray, flags: np.ndarray, x: np.ndarray, descending: bool) -> None:
    """The keys of x[outer, n, inner] into keys[outer, inner, n]."""
    rows = x.swapaxes(1, 2)
    if x.dtype.kind == "f":
        np.copyto(halves.view(np.float32), rows)
        np.copyto(halves, 0, where=np.equal(rows, 0, out=flags))  # -0.0 too
        np.less(halves.view(np.int32), 0, out=flags)
        halves ^= SIGN
        np.bitwise_xor(halves, SIGN - 1, out=halves, where=flags)  # the bits of negative numbers count down
        np.copyto(halves, WORD, where=np.isnan(rows, out=flags))
    else:
        np.copyto(halves, rows, casting="unsafe")
        if x.dtype.kind == "i":
            halves ^= SIGN
    if descending:
        np.invert(halves, out=halves)
    np.copyto(keys, halves)
    keys <<= 32
    keys |= np.arange(keys.shape[-1], dtype=np.uint64)


def _float64_order(x: np.ndarray, descending: bool) -> np.ndarray:
    """The order of x[outer, n, inner]; backwards twice, so that equal elements stay as they are."""
    if not descending:
        return np.argsort(x, axis=1, kind="stable")
    return x.shape[1] - 1 - np.argsort(x[:, ::-1], axis=1, kind="stable")[:, ::-1]


def _order_numpy(
    out: np.ndarray, x: np.ndarray, keys: np.ndarray, halves: np.ndarray, flags: np.ndarray, *, form: Form
) -> None:
    x, out = x.reshape(form.outer, form.n, form.inner), out.reshape(form.outer, form.count, form.inner)
    if x.dtype == np.float64:
        np.copyto(out, _float64_order(x, form.descending)[:, : form.count], casting="same_kind")
        return
    keys = keys.view(np.uint64)
    _write_keys(keys, halves, flags, x, form.descending)
    if 0 < form.count < form.n:
        keys.partition(form.count - 1, axis=-1)
    first = keys[..., : form.count]
    first.sort(axis=-1)
    first &= WORD
    np.copyto(out, first.swapaxes(1, 2), casting="unsafe")


# --- OpenCL -----------------------------------------------------------------------------------------


def _buffers(x: ShapedArray, axis: int, **params: Any) -> tuple[ShapedArray, ...]:
    form = _form(x, axis)
    return key_buffers(form.rows, form.n)


def _options(device: Device, x: Operand) -> str:
    chunks = f"-DCHUNK={CPU_CHUNK} -DPIECE={CPU_CHUNK}" if device.type == "cpu" else GPU_OPTIONS
    kind = "-DTYPE=uchar" if x.dtype.itemsize == 1 else "-DTYPE=uint -DFLOAT" if x.dtype.kind == "f" else "-DTYPE=uint"
    return f"{kind} {chunks}"


def _mask(x: Operand, descending: bool) -> np.uint32:
    """Bits of an element that its key has the other way round."""
    return (SIGN if x.dtype.kind == "i" else np.uint32(0)) ^ (WORD if descending else np.uint32(0))


def _order_launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand], *, form: Form
) -> tuple[Launch, ...]:
    (out,), (x,) = outs, ins
    if out.size == 0:
        return ()
    few = form.count < form.n and form.count <= FEW
    launches, keys, stride = (_few_launches if few else _sort_launches)(device, form, x, *scratch)
    args = (out, keys, stride, form.count, form.inner)
    return (*launches, share_out(device, "unpack", form.rows * form.count, 1, args, _options(device, x)))


def _sort_launches(device: Device, form: Form, x: Operand, a: Operand, b: Operand) -> tuple[list[Launch], Operand, int]:
    """Launches that sort every row, where the keys then are, and from one row to the next."""
    options, mask = _options(device, x), _mask(x, form.descending)
    if device.type == "cpu":
        chunks = -(-form.n // CPU_CHUNK)
        args = (a, b, x, mask, form.n, form.inner, chunks)
        first = share_out(device, "sort_chunks", form.rows * chunks, min(form.n, CPU_CHUNK), args, options)
        launches, keys = merge_launches(device, form.rows, form.n, CPU_CHUNK, CPU_CHUNK, a, b, options)
    else:
        first = share_out(device, "pack", form.rows * form.n, 1, (b, x, mask, form.n, form.inner), options)
        launches, keys = gpu_sort_launches(device, form.rows, form.n, a, b, options)
    return [first, *launches], keys, form.n


def _few_launches(device: Device, form: Form, x: Operand, a: Operand, b: Operand) -> tuple[list[Launch], Operand, int]:
    """Launches that find the first `count` of every row: of chunks, then of what those gave."""
    k, length, options = form.count, FEW_CHUNK, _options(device, x)
    chunks = -(-form.n // length)
    elements = (a, x, _mask(x, form.descending), form.n, form.inner, k, chunks, length)
    launches = [share_out(device, "first_elements", form.rows * chunks, min(form.n, length), elements, options)]
    while chunks > 1:
        n, chunks = chunks * k, -(-chunks * k // length)
        keys = (b, a, n, k, chunks, length)
        launches.append(share_out(device, "first_keys", form.rows * chunks, min(n, length), keys, options))
        a, b = b, a
    return launches, a, k


# --- the primitives ---------------------------------------------------------------------------------


def _argsort_numpy(out: np.ndarray, *arrays: np.ndarray, axis: int, descending: bool) -> None:
    _order_numpy(out, *arrays, form=_form(aval_of(arrays[0]), axis, descending=descending))


def _argsort_launch(device: Device, outs: Any, ins: Any, scratch: Any, *, axis: int, descending: bool) -> Any:
    return _order_launch(device, outs, ins, scratch, form=_form(ins[0].aval, axis, descending=descending))


argsort_p = Primitive(
    "argsort",
    aval=lambda x, *, axis, descending: _order_aval("argsort", x, axis),
    vjp=lambda cts, ins, outs, needed, *, axis, descending: (None,),
    cost=_cost,
    numpy=Host(_argsort_numpy, _keys_scratch),
    opencl=(Variant("sort.cl", _argsort_launch, scratch=_buffers),),
    alias=None,
    split=_split,
)


def _top_k_numpy(out: np.ndarray, *arrays: np.ndarray, axis: int, k: int) -> None:
    _order_numpy(out, *arrays, form=_form(aval_of(arrays[0]), axis, k=k))


def _top_k_launch(device: Device, outs: Any, ins: Any, scratch: Any, *, axis: int, k: int) -> tuple[Launch, ...]:
    return _order_launch(device, outs, ins, scratch, form=_form(ins[0].aval, axis, k=k))


top_k_p = Primitive(
    "top_k",
    aval=lambda x, *, axis, k: _order_aval("top_k", x, axis, k),
    vjp=lambda cts, ins, outs, needed, *, axis, k: (None,),
    cost=_cost,
    numpy=Host(_top_k_numpy, _keys_scratch),
    opencl=(Variant("sort.cl", _top_k_launch, scratch=_buffers),),
    alias=None,
    split=_split,
)
