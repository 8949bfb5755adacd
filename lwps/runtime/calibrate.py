"""What starting an eqn and handing a value over cost on this machine, measured."""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import attrs
import numpy as np
import pyopencl as cl

from lwps.plan import Handover
from lwps.runtime.blocks import MappedBlock
from lwps.runtime.machine import HOST, Machine
from lwps.runtime.memory import Memory
from lwps.transforms.memory import SHARED

_KERNEL = """
kernel void tick(global int *x) { if (get_global_id(0) == 0) x[0] += 1; }

// Keeps every core busy with its share of a few MB: what another lane left in their caches is gone.
kernel void work(global float *x, int n)
{
    const int first = get_global_id(0) * n;
    for (int round = 0; round < 4; round++) {
        for (int k = first; k < first + n; k++)
            x[k] = x[k] * 0.5f + 1.0f;
    }
}
"""
_ITEMS, _EACH = 64, 1 << 15  # work-items of `work`, and floats of each: 8 MB
_SIDE = 512  # of the square matrices that the host multiplies meanwhile
_SMALL, _LARGE = 4096, 1 << 24  # bytes
_ROUNDS = 15


def calibrate(machine: Machine) -> tuple[dict[str, float], dict[tuple[str, str], Handover]]:
    """Host seconds to start one eqn on each processor, and the cost of each hand-over by direction.

    Where memory is coherent a hand-over is a wait: what a round trip host - device - host with work on both sides takes
    beyond the same work on each side alone, half in each direction. So it holds what changing lanes costs in caches
    and in threads that must wake, or that spin on a core that the other lane wants. Where memory is mapped, the time of
    a map and its unmap comes on top; in mode `copy` that of explicit copies.
    """
    return _calibrate(machine)


@lru_cache(maxsize=8)
def _calibrate(machine: Machine) -> tuple[dict[str, float], dict[tuple[str, str], Handover]]:
    host_s = {HOST: 0.0}  # measured with the eqn
    handovers: dict[tuple[str, str], Handover] = {}
    for name, queue in machine.queues.items():
        tick = _ticker(machine, name)
        chains = [_chain(tick, queue, 100) for _ in range(_ROUNDS)]
        host_s[name], chained = (statistics.median(c[k] for c in chains) / 100 for k in (0, 1))
        alone = _median(partial(_chain_s, tick, queue))
        half = max(alone - chained, _change_of_lanes(machine, name), 1e-7) / 2
        to, back = _moving_costs(machine, name)
        handovers[HOST, name] = attrs.evolve(to, latency_s=to.latency_s + half)
        handovers[name, HOST] = attrs.evolve(back, latency_s=back.latency_s + half)
    for a in machine.queues:
        for b in machine.queues:
            if a != b:
                out, in_ = handovers[a, HOST], handovers[HOST, b]
                handovers[a, b] = Handover(out.latency_s + in_.latency_s, out.s_per_byte + in_.s_per_byte)
    return host_s, handovers


def _ticker(machine: Machine, name: str) -> Callable[[], Any]:
    queue = machine.queues[name]
    kernel = machine.kernels[name].kernel(_KERNEL, "", "tick")
    buffer = cl.Buffer(machine.contexts[name], cl.mem_flags.READ_WRITE, 4)
    kernel.set_arg(0, buffer)

    def tick(keep: Any = buffer) -> Any:
        return cl.enqueue_nd_range_kernel(queue, kernel, (1,), (1,))

    tick().wait()
    return tick


def _chain_s(tick: Callable[[], Any], queue: Any) -> float:
    """Seconds of one launch, waited for."""
    return _chain(tick, queue, 1)[1]


def _change_of_lanes(machine: Machine, name: str) -> float:
    """Seconds that a round trip with work on both sides takes beyond the work itself, median of paired rounds."""
    queue = machine.queues[name]
    kernel = machine.kernels[name].kernel(_KERNEL, "", "work")
    buffer = cl.Buffer(machine.contexts[name], cl.mem_flags.READ_WRITE, 4 * _ITEMS * _EACH)
    kernel.set_arg(0, buffer)
    kernel.set_arg(1, np.int32(_EACH))
    a = np.ones((_SIDE, _SIDE), np.float32)
    out = np.empty_like(a)

    def device() -> None:
        cl.enqueue_nd_range_kernel(queue, kernel, (_ITEMS,), (1,)).wait()

    def host() -> None:
        np.matmul(a, a, out=out)

    def extra() -> float:
        apart = sum(_seconds(partial(_each, [call] * 6)) for call in (device, host))
        return (_seconds(partial(_each, [device, host] * 6)) - apart) / 6

    return _median(extra)


def _each(calls: Sequence[Callable[[], Any]]) -> None:
    for call in calls:
        call()


def _chain(tick: Callable[[], Any], queue: Any, n: int) -> tuple[float, float]:
    """Seconds until `n` launches are enqueued, and until they have ended."""
    start = time.perf_counter()
    for _ in range(n):
        tick()
    enqueued = time.perf_counter()
    queue.finish()
    return enqueued - start, time.perf_counter() - start


def _moving_costs(machine: Machine, name: str) -> tuple[Handover, Handover]:
    """What copying or mapping takes, to the device and back."""
    if machine.sharing == "coherent":
        return Handover(0.0, 0.0), Handover(0.0, 0.0)
    if machine.sharing == "apart":
        return _copy_costs(machine, name)
    return _map_costs(machine, name)


def _map_costs(machine: Machine, name: str) -> tuple[Handover, Handover]:
    """To the device: a map to write and its unmap. Back: a map to read and its unmap."""
    queue = machine.queues[name]
    block = Memory(machine).allocate(SHARED, _LARGE)
    assert isinstance(block, MappedBlock)

    def mapping(nbytes: int, mode: str) -> float:
        def there_and_back() -> None:
            block.map(queue, 0, nbytes, mode).wait()
            block.unmap(queue, 0)
            queue.finish()

        return _median(lambda: _seconds(there_and_back))

    to, back = ([mapping(n, mode) for n in (_SMALL, _LARGE)] for mode in ("write", "read"))
    block.release()
    return _line(*to), _line(*back)


def _copy_costs(machine: Machine, name: str) -> tuple[Handover, Handover]:
    queue = machine.queues[name]
    device = cl.Buffer(machine.contexts[name], cl.mem_flags.READ_WRITE, _LARGE)
    host = np.zeros(_LARGE, np.uint8)

    def copying(nbytes: int, back: bool) -> float:
        ends = (host[:nbytes], device) if back else (device, host[:nbytes])
        return _median(lambda: _seconds(lambda: cl.enqueue_copy(queue, *ends).wait()))

    to, from_ = ([copying(n, back) for n in (_SMALL, _LARGE)] for back in (False, True))
    return _line(*to), _line(*from_)


def _line(small: float, large: float) -> Handover:
    rate = max(large - small, 0.0) / (_LARGE - _SMALL)
    return Handover(max(small - rate * _SMALL, 1e-7), rate)


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _median(measure: Callable[[], float]) -> float:
    measure()
    return statistics.median(measure() for _ in range(_ROUNDS))
