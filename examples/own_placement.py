"""ResNet-18 with a placement function of your own: backward on the device, the rest where it is faster.

python examples/own_placement.py
"""

import statistics

import numpy as np

import lwps
from lwps.autoplace import measure
from lwps.report.subject import Subject


def backward_on_the_device(program, profile):
    """A policy is a function from a program and measured seconds to a processor for each eqn."""
    device = profile.processors[-1]
    rows = {}
    for name, eqn in zip(program.names, program.eqns, strict=True):
        if not eqn.runs:
            continue
        faster = min(profile.processors, key=lambda p: profile.eqn_s(eqn, p))
        can = np.isfinite(profile.eqn_s(eqn, device))
        rows[name] = device if eqn.phase == "backward" and can else faster
    return rows


def main(batch=8, image_size=32, rounds=5):
    machine = lwps.Machine.detect()
    traced, arrays = Subject("resnet18", batch, image_size).trace()
    program = lwps.optimize(traced)
    profile = lwps.profile(program, machine, arrays)
    placements = {
        getattr(policy, "__name__", policy): lwps.place(program, profile, policy)
        for policy in (*machine.names, backward_on_the_device)
    }
    steps = {name: lwps.compile(program, placement, machine) for name, placement in placements.items()}
    samples = measure({name: step.executable for name, step in steps.items()}, arrays, rounds=rounds)
    for name, placement in placements.items():
        planned, measured = placement.objective_s * 1e3, statistics.median(samples[name]) * 1e3
        print(f"{name:24} {planned:8.1f} ms planned {measured:8.1f} ms measured  {placement.counts()}")


if __name__ == "__main__":
    main()
