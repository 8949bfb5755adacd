"""ResNet-18 trained for 20 steps in each memory mode, on each processor and split across them, against NumPy's losses.

    python -m tests.bench.memory_modes [--processors cpu,cl-cpu] [--modes svm-fine,copy] [--steps 20] [--json FILE]

32x32 images of normals, batch 16, lr 0.01, momentum 0.9, seed 0. A split puts every eqn on any of the processors, by
chance. Prints what a hand-over costs in each mode. Exits with 1 where a loss is more than 1e-3 from that of NumPy on
the host. With devices of two OpenCL platforms (`--processors cpu,cl-cpu,cl-cpu1`) some modes are left out, and it says
why.
"""

import argparse
import json
import sys
import time

import numpy as np

import lwps
from lwps import optim, tracing
from lwps.plan import Placement
from lwps.runtime.calibrate import calibrate
from lwps.runtime.compile import everywhere, runnable
from lwps.runtime.machine import MODES, STRICT
from lwps.train import train_step_of
from tests.bench.resnet18 import LR, MOMENTUM, random_batches, start


def optimizer(lr):
    return optim.sgd(lr, MOMENTUM)


def split(program, machine, seed=0):
    """Every eqn on one of the processors that can run it."""
    rng, can = np.random.default_rng(seed), runnable(program, machine)
    rows = [str(rng.choice(sorted(can[k]))) if k in can else None for k in range(len(program.eqns))]
    return Placement(tuple(rows), "split")


def losses_of(program, placement, machine, args, data):
    """The loss of each step, and seconds a step."""
    step = lwps.compile(program, placement, machine)
    losses, seconds = [], []
    params, state, opt_state = args
    for images, labels in data:
        begin = time.perf_counter()
        params, state, opt_state, loss, _ = step(params, state, opt_state, images, labels, np.float32(LR))
        losses.append(float(loss))
        seconds.append(time.perf_counter() - begin)
    return np.array(losses), float(np.median(seconds))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--processors", default=None)
    parser.add_argument("--modes", default=",".join((*MODES, STRICT)))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--json")
    options = parser.parse_args()
    names = options.processors.split(",") if options.processors else None
    data = list(random_batches(options.steps, options.batch))
    model, params, state = start(data[0][0].shape)
    args = params, state, optimizer(LR).init(params)
    traced = tracing.trace(train_step_of(model, optimizer), *args, *data[0], np.float32(LR), donate_argnums=(0, 1, 2))
    program = lwps.optimize(traced)

    host = lwps.Machine.detect(["cpu"])
    wanted, seconds = losses_of(program, everywhere(program, host, "cpu"), host, args, data)
    print(f"cpu: loss {wanted[0]:.4f} -> {wanted[-1]:.4f}, {seconds * 1e3:.0f} ms a step")
    rows = []
    for mode in options.modes.split(","):
        try:
            machine = lwps.Machine.detect(names, mode)
        except lwps.MachineError as error:
            print(f"{mode}: left out: {error}")
            continue
        print(f"{mode}: {machine.describe()}")
        for (source, target), h in calibrate(machine)[1].items():
            print(f"  {source} -> {target}: {h.latency_s * 1e6:.1f} us and {h.s_per_byte * 1e9:.3f} ms a MB")
        devices = [p for p in machine.names if p != "cpu"]
        placements = [everywhere(program, machine, p) for p in devices] + [split(program, machine)]
        for placement in placements:
            losses, seconds = losses_of(program, placement, machine, args, data)
            off = float(np.abs(losses - wanted).max())
            rows.append({"mode": mode, "placement": placement.policy, "off": off, "step_s": seconds})
            counts = ", ".join(f"{n} on {p}" for p, n in placement.counts().items())
            print(f"  {placement.policy:8} {seconds * 1e3:6.0f} ms a step, losses off by {off:.1e} at most ({counts})")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": host.describe(), "cpu": wanted.tolist(), "rows": rows}, file, indent=1)
    return any(not row["off"] <= 1e-3 for row in rows)


if __name__ == "__main__":
    sys.exit(main())
