"""Gradients of a ResNet-18 step under random placements in both memory modes, against a float64 run of NumPy.

    python tests/bench/resnet18_placements.py [--placements 20] [--batch 8] [--kinks] [--json FILE]

For each gradient: its rms error relative to the float64 run must be at most 1.5 x that of the float32 NumPy
run, and at most 2e-2; and a second run must give the same bits. Exits with 1 where one does not.

Batch-norm's biases are 8, so that no relu's input comes near 0. With `--kinks` they are 0 as in training: then a
value next to 0 may fall on either side of it by rounding, a change of one element that is a thousand times
any rounding error of a gradient, and the ratio says nothing; the 2e-2 and the bits are checked all the same.
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
    model = resnet18(10, stem="small")
    shape = (options.batch, 32, 32, 3)
    params, state, _ = model.init(lwps.random.key(0), ShapedArray(shape, "float32"))
    images, labels = rng.standard_normal(shape, np.float32), rng.integers(0, 10, options.batch, np.int32)
    if not options.kinks:
        leaves, structure = lwps.tree.flatten(params)
        biased = [x + 8 if path[-1] == "bias" else x for path, x in zip(lwps.tree.paths(params), leaves, strict=True)]
        params = lwps.tree.unflatten(structure, biased)
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
