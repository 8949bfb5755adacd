"""Gradients of a ResNet-18 step under random placements in both memory modes, against a float64 run of NumPy.

    python -m tests.bench.resnet18_placements [--placements 20] [--batch 8] [--kinks] [--json FILE]

For each gradient: its rms error relative to the float64 run must be at most 1.5 x that of the float32 NumPy
run, and at most 2e-2; and a second run must give the same bits. Exits with 1 where one does not.

A value next to a relu's kink may fall on either side of it by rounding: a change of one element that is a thousand
times any rounding error of a gradient, and then the ratio says nothing. So kinks are excluded by construction: the
bias of each channel of each batch-norm before a relu is moved by at most REACH, to where 0 lies in the middle of the
widest gap between the channel's values. Half of the values are cut off as in training. With `--kinks` the biases are
left at 0; the 2e-2 and the bits are checked all the same.
"""

import argparse
import json
import sys

import numpy as np

import lwps
from lwps import core, optim, testing, tracing
from lwps.core import ShapedArray
from lwps.models import resnet18
from lwps.plan import Placement
from lwps.runtime.compile import runnable

REACH = 0.1  # of a channel's values, which have variance 1


def widest_gaps(x):
    """For each channel of `x[N, H, W, C]`: what to add so that 0 lies in its widest gap within REACH; half the gap."""
    shifts, margins = [], []
    for values in np.sort(x.reshape(-1, x.shape[-1]), axis=0).T:
        near = np.concatenate([[-REACH], values[np.abs(values) < REACH], [REACH]])
        at = np.argmax(np.diff(near))
        shifts.append(-(near[at] + near[at + 1]) / 2)
        margins.append((near[at + 1] - near[at]) / 2)
    return np.array(shifts), np.array(margins)


def without_kinks(model, params, state, images):
    """`params` with the biases before relus moved as above, and how far from 0 every relu's input is at least."""
    args = (params, state, images)
    wide = lwps.tree.map(lambda x: ShapedArray(x.shape, "float64"), args)
    program = tracing.trace(lambda p, s, x: model.apply(p, s, x, train=True)[0], *wide)
    leaves = [np.array(x, np.float64) for x in tracing.flatten(args)[0]]
    env = dict(zip(program.inputs, leaves, strict=True)) | dict(program.consts)
    writer = {v: eqn for eqn in program.eqns for v in eqn.outs}
    closest = np.inf
    for eqn in program.eqns:
        if eqn.primitive.name == "relu":
            (x,) = eqn.ins
            norm = writer[x] if writer[x].primitive.name == "batch_norm" else writer[writer[x].ins[0]]
            shifts, margins = widest_gaps(env[x])
            shifts = shifts.astype(np.float32)  # biases are float32: those of float64 must be the same numbers
            env[x] = env[x] + shifts
            leaves[program.inputs.index(norm.ins[2])] += shifts
            closest = min(closest, float(margins.min()))
        outs = core.evaluate(eqn.primitive, [env[v] for v in eqn.ins], eqn.params)
        env.update(zip(eqn.outs, outs, strict=True))
    moved, *_ = tracing.unflatten(program.in_tree, [x.astype(np.float32) for x in leaves])
    return moved, closest


def gradients_program(model, dtype, args):
    """(params, state, images, labels) -> gradients, as an optimized program."""

    def gradients(params, state, images, labels):
        def loss_fn(params):
            logits, _ = model.apply(params, state, images, train=True)
            return optim.losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        return lwps.grad(loss_fn)(params)

    avals = lwps.tree.map(lambda x: ShapedArray(x.shape, dtype if x.dtype.kind == "f" else x.dtype), args)
    return lwps.optimize(tracing.trace(gradients, *avals))


def rms(x):
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def errors_of(values, exact):
    """Relative rms error of each gradient; those of an exactly zero one count against the largest."""
    return np.array([rms(v - e) / max(rms(e), 1e-12) for v, e in zip(values, exact, strict=True)])


def random_placement(program, machine, rng):
    can = runnable(program, machine)
    rows = [str(rng.choice(sorted(can[k]))) if k in can else None for k in range(len(program.eqns))]
    return Placement(tuple(rows), "random")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--placements", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--kinks", action="store_true", help="leave batch-norm's biases at 0")
    parser.add_argument("--json")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    model = resnet18(1000, stem="small")
    shape = (options.batch, 32, 32, 3)
    params, state, _ = model.init(lwps.random.key(0), ShapedArray(shape, "float32"))
    images, labels = rng.standard_normal(shape, np.float32), rng.integers(0, 1000, options.batch, np.int32)
    if not options.kinks:
        params, closest = without_kinks(model, params, state, images)
        print(f"relu inputs are at least {closest:.1e} from 0")
    args = (params, state, images, labels)
    arrays = [np.asarray(x) for x in tracing.flatten(args)[0]]

    wide = gradients_program(model, "float64", args)
    exact = core.evaluate_program(wide, [x.astype(np.float64) if x.dtype.kind == "f" else x for x in arrays])
    program = gradients_program(model, "float32", args)
    host = errors_of(core.evaluate_program(program, arrays), exact)
    print(
        f"float32 NumPy: rms error {host.min():.1e} to {host.max():.1e},"
        f" {len(host)} gradients, {len(program.eqns)} eqns"
    )

    rows, failed = [], False
    for mode in testing.MEMORY_MODES:
        machine = lwps.Machine.detect(memory=mode)
        for k in range(options.placements):
            step = lwps.compile(program, random_placement(program, machine, rng), machine)
            values = [np.array(x) for x in step.call_flat(arrays)]
            again = [np.array(x) for x in step.call_flat(arrays)]
            same = all(np.array_equal(a, b) for a, b in zip(values, again, strict=True))
            errors = errors_of(values, exact)
            worst = float((errors / host).max())
            bad = (worst > 1.5 and not options.kinks) or errors.max() > 2e-2 or not same
            failed |= bad
            rows.append({"memory": mode, "worst_ratio": worst, "largest": float(errors.max()), "same_bits": same})
            where = "/".join(lwps.tree.paths(params)[int((errors / host).argmax())])
            counts = ", ".join(f"{n} {p}" for p, n in step.placement.counts().items())
            print(
                f"{mode:9} {k:2}: {counts}: largest {errors.max():.1e}, "
                f"{worst:.2f} x float32 NumPy's (at {where}), same bits {same}{' FAILED' * bad}"
            )
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"numpy_float32": host.tolist(), "rows": rows}, file, indent=1)
    return failed


if __name__ == "__main__":
    sys.exit(main())
