"""A plan made, explained, its pins edited by hand, solved anew, and both run: is moving one layer worth it?

python examples/plan_edit_explain.py
"""

import json
import statistics
import tempfile
from pathlib import Path

import numpy as np

import lwps
from lwps import models, optim, train
from lwps.autoplace import measure
from lwps.planning import explain_plan

LAYER = "conv2"


def traced_step(batch):
    """The training step of LeNet as traced, and made-up inputs."""
    model = models.lenet5()
    params, state, _ = model.init(lwps.random.key(0), lwps.ShapedArray((batch, 28, 28, 1), "float32"))
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, 28, 28, 1), np.float32)
    labels = rng.integers(0, 10, batch, np.int32)
    args = (params, state, optim.sgd(0.01, 0.9).init(params), images, labels, np.float32(0.01))
    step = train.train_step_of(model, lambda lr: optim.sgd(lr, 0.9))
    return lwps.trace(step, *args, donate_argnums=(0, 1, 2)), args


def show(plan, traced):
    """Where the layer's eqns run under a plan, what that costs, and what moving all of them would."""
    report = explain_plan(plan, traced, LAYER)
    for phase in report.phases:
        print(
            f"  {phase.phase}: {phase.eqns}, {phase.placed_s * 1e3:.2f} ms, hand-overs {phase.handover_s * 1e3:.2f} ms"
        )
        for move in phase.moves:
            print(f"    on {move.processor} the step would take {move.objective_more_s * 1e3:+.2f} ms")
    print(f"  the step: {report.predicted_s * 1e3:.2f} ms predicted")


def solved(traced, args, machine, pins):
    """The plan that keeps these pins, and the step that runs it. What is pinned is never fused with what is not, so
    another choice of pins is another program, and is measured anew.
    """
    program = lwps.optimize(traced, pins=pins)
    profile = lwps.profile(program, machine, args)
    plan = lwps.make_plan(program, profile, "mincut" if len(machine.names) == 2 else machine.names[0], pins)
    return plan, lwps.compile(program, plan, machine)


def edited_pins(plan, path, processors):
    """What one would do in an editor: pin the layer to a processor where the plan has not put all of it."""
    lwps.save_plan(plan, path)
    data = json.loads(path.read_text())
    now = {processor for name, processor in data["placement"].items() if name.startswith(f"{LAYER}/")}
    data["pins"] = {LAYER: next((p for p in processors if now != {p}), processors[0])}
    path.write_text(json.dumps(data, indent=1))
    return lwps.load_plan(path).pins


def main(batch=32, rounds=11):
    machine = lwps.Machine.detect()
    traced, args = traced_step(batch)
    plan, step = solved(traced, args, machine, {})
    print(f"{plan.policy}, {len(plan.placement)} eqns; {LAYER} is where it is because of this:")
    show(plan, traced)

    with tempfile.TemporaryDirectory() as folder:
        pins = edited_pins(plan, Path(folder) / "plan.json", machine.names)
    pinned_plan, pinned_step = solved(traced, args, machine, pins)
    print(f"pinned, {pins}:")
    show(pinned_plan, traced)

    steps = {"as planned": step.executable, "pinned": pinned_step.executable}
    samples = measure(steps, [np.asarray(x) for x in lwps.tree.leaves(args)], rounds=rounds)
    for name, seconds in samples.items():
        print(f"{name}: {statistics.median(seconds) * 1e3:.2f} ms measured")
    return pinned_plan


if __name__ == "__main__":
    main()
