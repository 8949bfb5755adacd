"""Programs as text, JSON, a drawing, and sums by layer."""

import json
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lwps import tracing
from lwps.ops import elementwise as ew
from lwps.ops.matmul import matmul
from lwps.plan import Placement
from lwps.report.listing import layer_rows, program_dot, program_json, program_text
from lwps.testing.programs import placements, programs


def two_layers(x, w):
    with tracing.layer('one "a"'):
        h = ew.tanh(matmul(x, w))
    with tracing.layer("two"):
        return ew.exp(h.reshape((20,))).sum()


TRACED = tracing.trace(two_layers, np.ones((4, 6), np.float32), np.ones((6, 5), np.float32), donate_argnums=(1,))


@given(programs())
def test_json_says_who_reads_what(program):
    data = json.loads(json.dumps(program_json(program)))
    assert data["fingerprint"] == program.fingerprint
    assert [row["name"] for row in data["eqns"]] == list(program.names)
    assert [row["donated"] for row in data["inputs"]] == [k in program.donated for k in range(len(program.inputs))]
    written = {row["name"]: row["aval"] for row in (*data["inputs"], *data["consts"])}
    for row, eqn in zip(data["eqns"], program.eqns, strict=True):
        assert [written[name] for name in row["ins"]] == [str(v.aval) for v in eqn.ins]
        written |= {out["name"]: out["aval"] for out in row["outs"]}
    assert [written[name] for name in data["outputs"]] == [str(v.aval) for v in program.outputs]


@given(st.data())
def test_a_drawing_has_every_eqn_and_its_edges_join_what_is_drawn(data):
    program = data.draw(programs())
    placement = data.draw(st.none() | placements(program, ("cpu", "gpu")))
    dot = program_dot(program, placement)
    drawn = set(re.findall(r"^ +(\w+) \[", dot, re.MULTILINE))
    assert {f"e{k}" for k in range(len(program.eqns))} <= drawn
    edges = re.findall(r"^  (\w+) -> (\w+)", dot, re.MULTILINE)
    assert {end for edge in edges for end in edge} <= drawn
    assert dot.count("{") == dot.count("}")
    reads = {(k, v) for k, eqn in enumerate(program.eqns) for v in eqn.ins}
    written = {v for eqn in program.eqns for v in eqn.outs} | set(program.inputs)
    assert sum(target.startswith("e") for _, target in edges) == sum(v in written for _, v in reads)


def test_names_are_quoted_in_drawings():
    assert r'label="one \"a\""' in program_dot(TRACED)


def test_values_that_are_handed_over_are_bold():
    rows = ["cpu", "gpu", None, "gpu", "gpu"]
    bold = [line for line in program_dot(TRACED, Placement(tuple(rows))).split("\n") if "bold" in line]
    assert len(bold) == 1
    assert "e0 -> e1" in bold[0]


def test_text_with_a_placement_says_where_each_eqn_runs():
    text = program_text(TRACED, Placement(("cpu", "gpu", None, "gpu", "gpu"))).split("\n")
    assert [line.rpartition(" @ ")[2] for line in text if line.startswith("    ")] == [
        "cpu",
        "gpu",
        "nowhere",
        "gpu",
        "gpu",
    ]
    assert program_text(TRACED) == str(TRACED)


def test_layers_are_summed_up_by_phase_without_what_only_makes_views():
    rows = {(row.layer, row.phase): row for row in layer_rows(TRACED)}
    one, two = rows['one "a"', "forward"], rows["two", "forward"]
    assert (one.eqns, two.eqns) == (2, 2)
    matmul_eqn, tanh_eqn = TRACED.eqns[:2]
    costs = [eqn.primitive.cost(*eqn.in_avals, **eqn.params) for eqn in (matmul_eqn, tanh_eqn)]
    assert one.flops == sum(c.flops for c in costs) >= 2 * 4 * 6 * 5
    assert one.nbytes == sum(c.nbytes for c in costs)


@given(programs())
def test_the_sums_of_layers_are_those_of_the_program(program):
    rows = layer_rows(program)
    works = [eqn for eqn in program.eqns if eqn.runs]
    assert sum(row.eqns for row in rows) == len(works)
    assert sum(row.flops for row in rows) == sum(e.primitive.cost(*e.in_avals, **e.params).flops for e in works)
