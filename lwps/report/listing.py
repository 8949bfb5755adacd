"""A program as text, as JSON, as a drawing for Graphviz, and summed up by layer. No device is needed."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from lwps.core import PHASES, Eqn, Namer, Program, Var, format_param
from lwps.plan import FORMAT, Placement

COLOURS = ("#a6cee3", "#fdbf6f", "#b2df8a", "#cab2d6", "#fb9a99", "#ffff99")  # of processors, or of phases


def program_text(program: Program, placement: Placement | None = None) -> str:
    """One eqn a line, with its layer and phase; with a placement its processor too."""
    if placement is None:
        return str(program)
    lines = str(program).split("\n")
    where = iter(placement.processors)
    return "\n".join(f"{line}  @ {next(where) or 'nowhere'}" if line.startswith("    ") else line for line in lines)


def program_json(program: Program, placement: Placement | None = None) -> dict[str, Any]:
    """Everything about a program but the code of its primitives; values are named by letters as in its text."""
    name = Namer()
    inputs = [
        {"name": name(v), "aval": str(v.aval), "donated": k in program.donated} for k, v in enumerate(program.inputs)
    ]
    consts = [{"name": name(v), "aval": str(v.aval)} for v, _ in program.consts]
    where = placement.processors if placement else [None] * len(program.eqns)
    eqns = []
    for row, eqn, processor in zip(program.names, program.eqns, where, strict=True):
        ins = [name(v) for v in eqn.ins]
        outs = [{"name": name(v), "aval": str(v.aval)} for v in eqn.outs]
        eqns.append(_eqn_json(row, eqn, ins, outs) | ({"processor": processor} if placement else {}))
    return {
        "kind": "program",
        "format": FORMAT,
        "fingerprint": program.fingerprint,
        "inputs": inputs,
        "consts": consts,
        "eqns": eqns,
        "outputs": [name(v) for v in program.outputs],
    }


def _eqn_json(name: str, eqn: Eqn, ins: Sequence[str], outs: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    cost = eqn.primitive.cost(*eqn.in_avals, **eqn.params)
    return {
        "name": name,
        "primitive": eqn.primitive.name,
        "layer": eqn.layer,
        "phase": eqn.phase,
        "ins": list(ins),
        "outs": list(outs),
        "params": {key: format_param(value) for key, value in sorted(eqn.params.items())},
        "runs": eqn.runs,
        "flops": cost.flops if eqn.runs else 0,
        "bytes": cost.nbytes if eqn.runs else 0,
        "source": eqn.source,
    }


# --- by layer -----------------------------------------------------------------------------------


@attrs.frozen
class LayerRow:
    """The eqns of one layer and phase that do work, their arithmetic and their memory traffic."""

    layer: str
    phase: str
    eqns: int
    flops: int
    nbytes: int


def layer_rows(program: Program) -> list[LayerRow]:
    """A row for each layer and phase, layers in the order of their first eqns."""
    found: dict[tuple[str, str], list[Eqn]] = {}
    for eqn in program.eqns:
        if eqn.runs:
            found.setdefault((eqn.layer, eqn.phase), []).append(eqn)
    layers = list(dict.fromkeys(layer for layer, _ in found))
    return [_row(layer, phase, found[layer, phase]) for layer in layers for phase in PHASES if (layer, phase) in found]


def _row(layer: str, phase: str, eqns: Sequence[Eqn]) -> LayerRow:
    costs = [eqn.primitive.cost(*eqn.in_avals, **eqn.params) for eqn in eqns]
    return LayerRow(layer, phase, len(eqns), sum(c.flops for c in costs), sum(c.nbytes for c in costs))


# --- drawn --------------------------------------------------------------------------------------


def program_dot(program: Program, placement: Placement | None = None) -> str:
    """A graph for Graphviz: eqns in boxes by layer, coloured by phase, or with a placement by processor.

    Edges are values; those that are handed over between processors are bold.
    """
    where = placement.processors if placement else [eqn.phase for eqn in program.eqns]
    kinds = list(dict.fromkeys(p for p in where if p)) if placement else list(PHASES)
    colour = dict(zip(kinds, COLOURS, strict=False))
    writer: dict[Var, int] = {v: k for k, eqn in enumerate(program.eqns) for v in eqn.outs}
    lines = ["digraph program {", '  node [shape=box style=filled fillcolor=white fontname="sans-serif"];']
    lines += [f"  {_quoted(kind)} [shape=plain fillcolor={_quoted(colour.get(kind, 'white'))}];" for kind in kinds]
    for n, (layer, eqns) in enumerate(_by_layer(program).items()):
        lines.append(f"  subgraph cluster_{n} {{ label={_quoted(layer or 'top')};")
        for k in eqns:
            fill = colour.get(where[k] or "", "white")
            label = _quoted(program.eqns[k].primitive.name)
            lines.append(f"    e{k} [label={label} tooltip={_quoted(program.names[k])} fillcolor={_quoted(fill)}];")
        lines.append("  }")
    for k, eqn in enumerate(program.eqns):
        for v in dict.fromkeys(eqn.ins):
            lines += _edge(program, writer, where, v, k)
    lines += [f"  e{writer[v]} -> out{o};" for o, v in enumerate(program.outputs) if v in writer]
    lines += [f"  out{o} [shape=ellipse label={_quoted(f'output {o}')}];" for o in range(len(program.outputs))]
    return "\n".join([*lines, "}"])


def _by_layer(program: Program) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for k, eqn in enumerate(program.eqns):
        found.setdefault(eqn.layer, []).append(k)
    return found


def _edge(program: Program, writer: Mapping[Var, int], where: Sequence[str | None], var: Var, reader: int) -> list[str]:
    label = f"label={_quoted(str(var.aval))}"
    if var in writer:
        source = writer[var]
        handed = where[source] and where[reader] and where[source] != where[reader]
        return [f"  e{source} -> e{reader} [{label}{' style=bold' if handed else ''}];"]
    if var in program.inputs:
        n = program.inputs.index(var)
        return [f"  in{n} [shape=ellipse label={_quoted(f'input {n}')}];", f"  in{n} -> e{reader} [{label}];"]
    return []  # constants


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
