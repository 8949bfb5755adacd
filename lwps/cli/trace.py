"""`lwps trace`."""

import json as jsons
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
    WeightDecay,
    given_of,
    plan_at,
    subject_of,
)
from lwps.cli.terminal import out, write_text
from lwps.core import Program
from lwps.planning import fit
from lwps.report.listing import layer_rows, program_dot, program_json, program_text
from lwps.transforms.optimize import optimize


def trace(
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
    optimized: Annotated[
        bool, typer.Option("--optimized/--raw", help="Simplified and fused, as it runs, or as it was recorded.")
    ] = True,
    layers: Annotated[bool, typer.Option("--layers", help="Flops and bytes by layer instead of the op list.")] = False,
    plan: Annotated[Path | None, typer.Option(help="The program of this plan, and where it puts each eqn.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the op list to this file as JSON; - prints it.")] = None,
    dot: Annotated[Path | None, typer.Option(help="Write a drawing for Graphviz to this file; - prints it.")] = None,
) -> None:
    """The op list of a model's training step: forward, backward and update, one eqn a line.

    Example: lwps trace lenet5 --image-size 28 --layers
    """
    given = given_of(model, batch, image_size, channels, context, classes, optimizer, weight_decay, clip)
    placement = None
    if plan:
        if not optimized:
            raise typer.BadParameter("--raw must be left out with --plan: a plan places the program as it runs")
        loaded, subject = plan_at(plan, given, data)
        program, placement = fit(loaded, subject.trace()[0])
    else:
        traced = subject_of(given, data).trace()[0]
        program = optimize(traced) if optimized else traced
    if json:
        write_text(json, jsons.dumps(program_json(program, placement), indent=1))
    if dot:
        write_text(dot, program_dot(program, placement))
    if layers:
        out.print(_layer_table(program))
    elif not json and not dot:
        out.print(program_text(program, placement), highlight=False, markup=False, soft_wrap=True)


def _layer_table(program: Program) -> Table:
    rows = layer_rows(program)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("layer", "phase", "eqns", "Mflop", "MB", "flop/byte"):
        table.add_column(heading, justify="left" if heading in ("layer", "phase") else "right", overflow="fold")
    for row in rows:
        table.add_row(row.layer or "(none)", row.phase, *_numbers(row.eqns, row.flops, row.nbytes))
    table.add_section()
    table.add_row(
        "all", "", *_numbers(sum(r.eqns for r in rows), sum(r.flops for r in rows), sum(r.nbytes for r in rows))
    )
    return table


def _numbers(eqns: int, flops: int, nbytes: int) -> tuple[str, str, str, str]:
    return str(eqns), f"{flops / 1e6:.3f}", f"{nbytes / 1e6:.3f}", f"{flops / nbytes:.2f}" if nbytes else "-"
