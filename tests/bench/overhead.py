"""Host overhead: microseconds an instruction, and of a jitted call by the number of leaves.

    python tests/bench/overhead.py

A program of 500 tiny eqns (kept apart, so that nothing fuses) on each processor: the time of a step less the
time the eqns themselves take, over 500; on a device the time until all is enqueued. Limits:
at most 10 us an instruction; at most 50 us + 1 us a leaf a call.
"""

import statistics
import time

import numpy as np

import lwps
from lwps import tracing
from lwps.api import memory_of
from lwps.autoplace import measure
from lwps.ops import elementwise as ew
from lwps.runtime.compile import compile_program, everywhere
from lwps.transforms.fuse import fuse
from lwps.transforms.simplify import separate_outputs, simplify

N = 500


def tiny_program():
    def f(x, y):
        for _ in range(N):
            x = ew.add(x, y)
        return x

    program = separate_outputs(simplify(tracing.trace(f, np.zeros(4, np.float32), np.ones(4, np.float32))))
    return fuse(program, apart=set(program.names))


def instruction_overhead(machine, name):
    program = tiny_program()
    executable = compile_program(program, everywhere(program, machine, name), machine, memory_of(machine))
    arrays = [np.zeros(4, np.float32), np.ones(4, np.float32)]
    step_s = statistics.median(measure({name: executable}, arrays, rounds=31)[name])
    if name == "cpu":
        out, x, y = (np.zeros(4, np.float32) for _ in range(3))
        begin = time.perf_counter()
        for _ in range(10000):
            np.add(x, y, out=out)
        own = (time.perf_counter() - begin) / 10000
        return step_s / N - own, step_s / N
    calls = [
        c
        for c, i in zip(executable._calls, executable.lowered.instructions, strict=True)
        if getattr(i, "eqn", None) is not None
    ]
    samples = []
    for _ in range(11):
        begin = time.perf_counter()
        for call in calls:
            call()
        samples.append((time.perf_counter() - begin) / len(calls))
        machine.queues[name].finish()
    return statistics.median(samples), step_s / N


def call_overhead(leaves):
    step = lwps.jit(lambda xs: [xs[0] + 1, *xs[1:]], placement="cpu", donate_argnums=(0,))
    xs = [np.zeros(4, np.float32) for _ in range(leaves)]
    xs = step(step(xs))
    samples = []
    for _ in range(200):
        begin = time.perf_counter()
        xs = step(xs)
        samples.append(time.perf_counter() - begin)
    return statistics.median(samples)


def main():
    machine = lwps.Machine.detect()
    for name in machine.names:
        host, whole = instruction_overhead(machine, name)
        print(f"{name}: host {host * 1e6:.2f} us an instruction (limit 10), {whole * 1e6:.2f} us with the eqn itself")
    for leaves in (1, 10, 100, 200):
        s = call_overhead(leaves)
        print(f"call with {leaves} leaves: {s * 1e6:.1f} us (limit {50 + leaves})")


if __name__ == "__main__":
    main()
