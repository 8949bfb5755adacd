"""`lwps explain`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import attrs
import typer
from rich.markup import escape
from rich.table import Table

from lwps.cli.terminal import Json, out, write_json
from lwps.placement.explain import Crossing, EqnReport, LayerReport, Move, PhaseReport, Value
from lwps.plan import load_plan
from lwps.planning import explain_plan
from lwps.report.subject import Subject


def explain(
    plan: Annotated[Path, typer.Argument(help="A plan that `lwps plan` wrote.")],
    pattern: Annotated[
        str,
        typer.Argument(metavar="EQN|LAYER", help="An eqn, a layer (and all below it) or a pattern: '*/backward/*'."),
    ],
    json: Json = None,
) -> None:
    """Why an eqn or a layer is where a plan puts it: seconds, hand-overs, neighbours, and what moving it would cost.

    Example: lwps explain plan.json layer4/0/conv1/forward/conv2d#0
    """
    loaded = load_plan(plan)
    report = explain_plan(loaded, Subject.of(loaded).trace()[0], pattern)
    if isinstance(report, EqnReport):
        _show_eqn(report)
    else:
        _show_layer(report)
    write_json(json, attrs.asdict(report))


def _show_eqn(report: EqnReport) -> None:
    out.print(report.name, style="bold", highlight=False, markup=False)
    out.print(report.signature, highlight=False, markup=False)
    if report.made_of:
        out.print(f"made of {', '.join(report.made_of)}", highlight=False, markup=False)
    if report.processor is None:
        out.print("only makes a view: it runs nowhere and costs nothing")
    else:
        pinned = ", where it is pinned" if report.pinned else ""
        out.print(f"runs on {report.processor}{pinned}", highlight=False)
        out.print(_seconds_and_moves(report.seconds, report.processor, report.moves))
    for kind, values in (("reads", report.reads), ("writes", report.writes)):
        for value in values:
            out.print(f"{kind} {value.aval}: {_ends(value)}", highlight=False, markup=False)
    _show_crossings(report.crossings)


def _ends(value: Value) -> str:
    rows = zip(value.ends, value.where, strict=True)
    return ", ".join(f"{end} on {where}" if where else end for end, where in rows) or "nobody"


def _show_layer(report: LayerReport) -> None:
    out.print(
        f"{report.pattern}: {len(report.eqns)} eqns; the step takes {_ms(report.objective_s)} by the objective,"
        f" {_ms(report.predicted_s)} as simulated",
        highlight=False,
        markup=False,
    )
    for phase in report.phases:
        _show_phase(phase)
    out.print(_rows(report))


def _show_phase(phase: PhaseReport) -> None:
    where = ", ".join(f"{n} on {p}" for p, n in phase.eqns.items())
    out.print(
        f"\n{phase.phase}: {where}; {_ms(phase.placed_s)} there, and {_ms(phase.handover_s)} for"
        f" {len(phase.crossings)} hand-overs",
        highlight=False,
    )
    out.print(_seconds_and_moves(phase.seconds, "", phase.moves))


def _rows(report: LayerReport) -> Table:
    """One eqn a line; what a move would cost the step by the objective."""
    processors = list(dict.fromkeys(p for row in report.eqns for p in row.seconds))
    table = _table("eqn", "on", *(f">ms on {p}" for p in processors), ">ms more if moved")
    for row in report.eqns:
        seconds = (f"{row.seconds[p] * 1e3:.3f}" if p in row.seconds else "-" for p in processors)
        more = ", ".join(f"{s * 1e3:+.3f} to {p}" for p, s in row.objective_more_s.items())
        table.add_row(escape(row.name), f"{row.processor}{' (pinned)' * row.pinned}", *seconds, more or "-")
    return table


def _seconds_and_moves(seconds: Mapping[str, float], here: str, moves: Sequence[Move]) -> Table:
    table = _table("processor", ">ms", ">step by objective", ">more", ">step simulated", ">more")
    moved = {move.processor: move for move in moves}
    for processor, own in seconds.items():
        name = f"{processor}{' (here)' * (processor == here)}"
        m = moved.get(processor)
        if m is None:
            table.add_row(name, f"{own * 1e3:.3f}")
        else:
            table.add_row(
                f"{name} if moved",
                f"{own * 1e3:.3f}",
                f"{m.objective_s * 1e3:.3f}",
                f"{m.objective_more_s * 1e3:+.3f}",
                f"{m.predicted_s * 1e3:.3f}",
                f"{m.predicted_more_s * 1e3:+.3f}",
            )
    return table


def _show_crossings(crossings: Sequence[Crossing]) -> None:
    if not crossings:
        out.print("no hand-overs")
        return
    table = _table("handed over", "from", "to", ">bytes", ">us", "read there by")
    for c in crossings:
        seconds = f"{c.seconds * 1e6:.1f}"
        cells = (f"{c.writer} {c.aval}", c.source, c.target, str(c.nbytes), seconds, ", ".join(c.readers))
        table.add_row(*map(escape, cells))
    out.print(table)


def _table(*headings: str) -> Table:
    """A table with these headings; columns whose heading begins with `>` hold numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading.removeprefix(">"), justify="right" if heading[0] == ">" else "left", overflow="fold")
    return table


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"
