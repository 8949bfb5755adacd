"""`lwps plan` and `lwps profile`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lwps.cli.subject import (
    Batch,
    Channels,
    Classes,
    Clip,
    Context,
    Data,
    ImageSize,
    Model,
    Optimizer,
    Pin,
    WeightDecay,
    given_of,
    pins_of,
    plan_at,
    subject_of,
)
from lwps.cli.terminal import Memory, Processors, err, machine_of, out
from lwps.placement import POLICIES
from lwps.plan import Plan, load_profile, save_plan, save_profile
from lwps.report import plans

Output = Annotated[Path, typer.Option("--output", "-o", help="The file to write.", show_default=False)]


def profile(
    output: Output,
    model: Model = None,
    batch: Batch = None,
    image_size: ImageSize = None,
    channels: Channels = None,
    context: Context = None,
    classes: Classes = None,
    optimizer: Optimizer = None,
    weight_decay: WeightDecay = None,
    clip: Clip = None,
    data: Data = None,
    pin: Pin = None,
    processors: Processors = None,
    memory: Memory = None,
) -> None:
    """Measure every eqn of a model's training step on every processor, for `lwps plan --profile`, here or elsewhere.

    Pins are those that it will be planned with: an eqn never reaches across one.

    Example: lwps profile resnet18 --batch 8 -o board.json
    """
    machine = machine_of(processors, memory)
    given = given_of(model, batch, image_size, channels, context, classes, optimizer, weight_decay, clip)
    subject = subject_of(given, data)
    err.print(f"profiling {subject.model}, batch {subject.batch}, on {machine.describe()}", style="dim", markup=False)
    measured = plans.profile_of(subject, machine, pins_of(pin))
    save_profile(measured, output)
    kinds = f"{len(measured.seconds)} kinds of eqns on {', '.join(measured.processors)}"
    out.print(f"{kinds}: {output}", highlight=False, markup=False)


def plan(
    output: Output,
    model: Model = None,
    batch: Batch = None,
    image_size: ImageSize = None,
    channels: Channels = None,
    context: Context = None,
    classes: Classes = None,
    optimizer: Optimizer = None,
    weight_decay: WeightDecay = None,
    clip: Clip = None,
    data: Data = None,
    policy: Annotated[
        str | None, typer.Option(help=f"{', '.join(POLICIES)}, or a processor's name. Default: mincut.")
    ] = None,
    pin: Pin = None,
    profile: Annotated[
        Path | None, typer.Option(help="Plan by this profile instead of measuring here; needs no device.")
    ] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", help="Solve this plan anew, with the pins and the policy that it holds.")
    ] = None,
    processors: Processors = None,
    memory: Memory = None,
) -> None:
    """Decide where every eqn of a model's training step runs, and write it to a file that can be edited.

    In the file, `pins` maps eqns, layers or patterns to processors; they are kept wherever the plan is used.

    Example: lwps plan resnet18 --batch 8 --pin 'layer4/*=cpu' -o plan.json
    """
    known = load_profile(profile) if profile else None
    if known and processors:
        known = known.on(processors.split(","))
    if known and memory not in (None, known.memory):
        raise typer.BadParameter(f"--memory must be left out or that of the profile, {known.memory}, got {memory}")
    given = given_of(model, batch, image_size, channels, context, classes, optimizer, weight_decay, clip)
    if from_:
        old, _ = plan_at(from_, given, data)
        old = plans.with_pins(old, pins_of(pin))
        here = lambda: machine_of(processors or ",".join(old.processors), memory or old.memory)
        made = plans.replan(old, policy, here, known)
    else:
        subject = subject_of(given, data)
        if known is None:
            err.print(f"profiling {subject.model}, batch {subject.batch}", style="dim")
        made = plans.plan_of(subject, policy or "mincut", pins_of(pin), partial(machine_of, processors, memory), known)
    save_plan(made, output)
    of = ", ".join(f"{name} {value}" for name, value in made.subject.items())
    out.print(f"{of}\nmachine: {made.machine}", highlight=False, markup=False)
    out.print(_comparison(made))
    out.print(f"{made.policy} is in {output}", highlight=False, markup=False)


def _comparison(plan: Plan) -> Table:
    table = Table(title="ms a step", box=None, padding=(0, 2, 0, 0))
    for heading in ("policy", "objective", "predicted", "handed", "eqns"):
        table.add_column(heading, justify="left" if heading in ("policy", "eqns") else "right", no_wrap=True)
    for row in plans.compare(plan):
        mark = "*" if row.policy == plan.policy else " "
        seconds = (f"{s * 1e3:.2f}" for s in (row.objective_s, row.predicted_s))
        where = ", ".join(f"{n} {p}" for p, n in row.eqns.items())
        table.add_row(f"{mark}{row.policy}", *seconds, str(row.handovers), where)
    return table
