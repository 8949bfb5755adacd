"""What starting an eqn and handing a value over cost on this machine, measured."""

import statistics
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pyopencl as cl

from lwps.plan import Handover
from lwps.runtime.machine import HOST, Machine

_KERNEL = "kernel void tick(global int *x) { if (get_global_id(0) == 0) x[0] += 1; }"
_SMALL, _LARGE = 4096, 1 << 24  # bytes
_ROUNDS = 15


def calibrate(machine: Machine) -> tuple[dict[str, float], dict[tuple[str, str], Handover]]:
    """Host seconds to start one eqn on each processor, and the cost of each hand-over by direction.

    Where memory is shared a hand-over is a wait: a round trip host - kernel - host beyond what the same kernel
    takes in a chain, half in each direction. In mode `copy` it is the time of explicit copies.
    """
    return _calibrate(machine)


@lru_cache(maxsize=8)
def _calibrate(machine: Machine) -> tuple[dict[str, float], dict[tuple[str, str], Handover]]:
    host_s = {HOST: 0.0}  # measured with the eqn
    handovers: dict[tuple[str, str], Handover] = {}
    for name, queue in machine.queues.items():
        tick = _ticker(machine, queue)
        host_s[name] = _median(lambda tick=tick, queue=queue: _chain(tick, queue, 100)[0]) / 100  # type: ignore[misc]
        chained = _median(lambda tick=tick, queue=queue: _chain(tick, queue, 100)[1]) / 100  # type: ignore[misc]
        alone = _median(lambda tick=tick: _seconds(lambda: tick().wait()))  # type: ignore[misc]
        half = max(alone - chained, 1e-7) / 2
        to, back = (_copy_costs(machine, queue) if not machine.unified else (Handover(half, 0.0),) * 2)
        handovers[HOST, name], handovers[name, HOST] = to, back
    for a in machine.queues:
        for b in machine.queues:
            if a != b:
                out, in_ = handovers[a, HOST], handovers[HOST, b]
                handovers[a, b] = Handover(out.latency_s + in_.latency_s, out.s_per_byte + in_.s_per_byte)
    return host_s, handovers


def _ticker(machine: Machine, queue: Any) -> Callable[[], Any]:
    assert machine.kernels is not None
    kernel = machine.kernels.kernel(_KERNEL, "", "tick")
    buffer = cl.Buffer(machine.context, cl.mem_flags.READ_WRITE, 4)
    kernel.set_arg(0, buffer)

    def tick(keep: Any = buffer) -> Any:
        return cl.enqueue_nd_range_kernel(queue, kernel, (1,), (1,))

    tick().wait()
    return tick


def _chain(tick: Callable[[], Any], queue: Any, n: int) -> tuple[float, float]:
    """Seconds until `n` launches are enqueued, and until they have ended."""
    start = time.perf_counter()
    for _ in range(n):
        tick()
    enqueued = time.perf_counter()
    queue.finish()
    return enqueued - start, time.perf_counter() - start


def _copy_costs(machine: Machine, queue: Any) -> tuple[Handover, Handover]:
    device = cl.Buffer(machine.context, cl.mem_flags.READ_WRITE, _LARGE)
    host = np.zeros(_LARGE, np.uint8)
    to = [_median(lambda n=n: _seconds(lambda: cl.enqueue_copy(queue, device, host[:n]).wait())) for n in (_SMALL, _LARGE)]  # type: ignore[misc]
    back = [_median(lambda n=n: _seconds(lambda: cl.enqueue_copy(queue, host[:n], device).wait())) for n in (_SMALL, _LARGE)]  # type: ignore[misc]
    return _line(*to), _line(*back)


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
