"""Run one primitive on one processor, on plain buffers: the smallest thing that can be wrong."""

import contextlib
import functools
from typing import Any

import numpy as np
import pyopencl as cl

from lwps.core import Device, Operand, Primitive, aval_of, evaluate
from lwps.runtime.kernels import KernelCache, recipe
from lwps.runtime.machine import MODES, STRICT, MachineError, memory_mode, opencl_processors


@functools.cache
def _opencl() -> dict[str, tuple[cl.Context, cl.CommandQueue, KernelCache, Device]]:
    found = {}
    for p in opencl_processors():
        context = cl.Context([p.cl_device])
        assert p.device is not None
        found[p.name] = (context, cl.CommandQueue(context), KernelCache(context), p.device)
    return found


GUARD = 64  # bytes behind every buffer that no kernel may change
PROCESSORS = ("cpu", *_opencl())


def _memory_modes() -> tuple[str, ...]:
    possible = []
    for mode in (*MODES, STRICT):
        with contextlib.suppress(MachineError):
            possible.append(memory_mode(opencl_processors()[:1], mode))
    return tuple(possible)


MEMORY_MODES = _memory_modes()  # that the first OpenCL device can do, and the one that shows a forgotten map


def run_primitive(primitive: Primitive, *ins: Any, processor: str, **params: Any) -> tuple[np.ndarray, ...]:
    """The results of a primitive on a processor (`cpu`: its NumPy rule; else its OpenCL kernels)."""
    if processor == "cpu":
        return evaluate(primitive, ins, params)
    context, queue, cache, device = _opencl()[processor]
    arrays = [np.asarray(x, order="C") for x in ins]
    avals = [aval_of(x) for x in arrays]
    plan = recipe(device, primitive, avals, params)
    if plan is None:
        raise TypeError(f"{primitive.name}: has no kernel for {processor}, got {avals}")
    outs = [np.empty(a.shape, a.dtype) for a in primitive.aval(*avals, **params)]
    scratch = [np.full(a.nbytes, 0xFF, np.uint8) for a in plan.scratch]  # NaN: what is read unwritten shows
    buffers = {
        (kind, k): _buffer(context, x)
        for kind, xs in (("in", arrays), ("out", outs), ("scratch", scratch))
        for k, x in enumerate(xs)
    }
    for launch in plan.launches:
        kernel = cache.kernel(plan.source, launch.options, launch.kernel)
        for k, arg in enumerate(launch.args):
            kernel.set_arg(k, buffers[arg.kind, arg.index] if isinstance(arg, Operand) else arg)
        cl.enqueue_nd_range_kernel(queue, kernel, launch.global_size, launch.local_size)
    sizes = {("in", k): x for k, x in enumerate(arrays)} | {("out", k): x for k, x in enumerate(outs)}
    sizes |= {("scratch", k): x for k, x in enumerate(scratch)}
    for key, x in sizes.items():
        _read_back(queue, buffers[key], x, f"{primitive.name}: {key[0]} {key[1]}", key[0] == "out")
    return tuple(outs)


def _buffer(context: cl.Context, x: np.ndarray) -> cl.Buffer:
    """A buffer of the bytes of `x` and a guard behind them."""
    content = np.concatenate([x.reshape(-1).view(np.uint8), np.full(GUARD, 0xA5, np.uint8)])
    return cl.Buffer(context, cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR, hostbuf=content)


def _read_back(queue: cl.CommandQueue, buffer: cl.Buffer, x: np.ndarray, name: str, keep: bool) -> None:
    """Check the guard; with `keep` the bytes before it are those of `x` now."""
    content = np.empty(x.nbytes + GUARD, np.uint8)
    cl.enqueue_copy(queue, content, buffer)
    if (content[x.nbytes :] != 0xA5).any():
        raise AssertionError(f"{name} must end after {x.nbytes} bytes, got writes behind its end")
    if keep:
        x.reshape(-1).view(np.uint8)[...] = content[: x.nbytes]
