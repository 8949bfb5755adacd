"""Hypothesis strategies for small programs and their costs, and the exhaustive search that policies must match."""

import itertools
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from hypothesis import strategies as st

from lwps import core, tracing
from lwps.core import PHASES, Program, ShapedArray
from lwps.placement.costs import Costs, cost_table
from lwps.plan import Handover, Placement, Profile, eqn_key

SIZES = (2, 16)  # of square matrices: two sizes, so that hand-overs differ in bytes
LAYERS = ("", "a", "a/b", "c")
MOST_PLACEMENTS = 1 << 13

# from below a clock's tick to longer than any step; equal ones make ties
mixed = st.sampled_from((0.0, 1e-9, 1e-6, 1.0, 1e3)) | st.floats(1e-9, 1e-3) | st.floats(0.0, 4.0)
comparable = st.integers(0, 4).map(float)  # close calls: here every hand-over can decide
durations = mixed | comparable


@st.composite
def programs(draw: st.DrawFn, max_eqns: int = 8) -> Program:
    """Programs of 1 to `max_eqns` eqns in several layers and phases.

    They hold elementwise eqns, matrix products, views (reshape), eqns with two results, values read often and
    never, and donated inputs. Products take one factor from the inputs, so that values grow slowly enough for float32.
    """
    with tracing.new_trace() as trace:
        avals = draw(st.lists(st.sampled_from([ShapedArray((n, n), "float32") for n in SIZES]), min_size=1, max_size=3))
        inputs = [trace.new_input(a) for a in avals]
        values: list[Any] = list(inputs)
        for _ in range(draw(st.integers(1, max_eqns))):
            with tracing.scope(phase=draw(st.sampled_from(PHASES)), layer=draw(st.sampled_from(LAYERS))):
                values += _bind(draw, values, inputs)
        made = st.sampled_from(values[len(inputs) :])
        program = trace.program(draw(st.lists(made | st.sampled_from(values), min_size=1, max_size=4)))
    donated = draw(st.sets(st.integers(0, len(inputs) - 1)))
    program = attrs.evolve(program, donated=frozenset(donated))
    core.check_program(program)
    return program


def _bind(draw: st.DrawFn, values: Sequence[Any], inputs: Sequence[Any]) -> tuple[Any, ...]:
    """The results of one more eqn."""
    from lwps.ops import elementwise as ew
    from lwps.ops.fused import fused_p
    from lwps.ops.matmul import matmul_p
    from lwps.ops.shape import reshape_p

    x = draw(st.sampled_from(values))
    y = draw(st.sampled_from([v for v in values if v.aval == x.aval]))
    factors = [v for v in inputs if v.aval == x.aval]
    one, two = (ew.tanh_p, ew.relu_p, ew.neg_p), (ew.add_p, ew.sub_p, ew.maximum_p)
    kinds = ["one", "two", "view", "both", *(["product"] if factors else [])]
    kind = draw(st.sampled_from(kinds))
    if kind == "one":
        return draw(st.sampled_from(one)).bind(x)
    if kind == "two":
        return draw(st.sampled_from(two)).bind(x, y)
    if kind == "view":
        flat = x.ndim == 1
        n = int(np.sqrt(x.size))
        return reshape_p.bind(x, shape=(n, n) if flat else (x.size,))
    if kind == "both":
        body, _ = tracing.record(lambda x, y: [*ew.add_p.bind(x, y), *ew.sub_p.bind(x, y)], (x.aval, y.aval))
        return fused_p.bind(x, y, body=body)
    factor = draw(st.sampled_from(factors))
    if draw(st.booleans()):
        return ew.mul_p.bind(x, factor)
    return matmul_p.bind(x, factor, transpose_x=False, transpose_y=False)


@st.composite
def profiles(
    draw: st.DrawFn,
    program: Program,
    processors: Sequence[str] = ("cpu", "cl-cpu"),
    durations: st.SearchStrategy[float] = durations,
) -> Profile:
    """Measurements of every eqn of `program`; only the first processor is sure to run all of them."""
    seconds = {}
    for key in dict.fromkeys(eqn_key(eqn) for eqn in program.eqns):
        able = [p for k, p in enumerate(processors) if k == 0 or draw(st.integers(0, 7)) > 0]
        seconds[key] = {p: draw(durations) for p in able}
    pairs = itertools.permutations(processors, 2)
    cheap = draw(st.sampled_from((1.0, 0.25, 1e-5)))  # dear hand-overs alone would make one processor the best plan
    handovers = {pair: Handover(draw(durations) * cheap, draw(durations) * cheap / 1024) for pair in pairs}
    host_s = {p: draw(durations) for p in processors}
    return Profile("made up", "svm-fine", tuple(processors), seconds, host_s, handovers)


@st.composite
def pins(draw: st.DrawFn, program: Program, profile: Profile) -> dict[str, str]:
    """Some eqns by name, each with a processor that can run it."""
    found = {}
    for name, eqn in zip(program.names, program.eqns, strict=True):
        if draw(st.integers(0, 4)) == 0:
            able = [p for p in profile.processors if np.isfinite(profile.eqn_s(eqn, p))]
            found[name] = draw(st.sampled_from(able))
    return found


@st.composite
def cost_tables(draw: st.DrawFn, max_eqns: int = 8, processors: Sequence[str] = ("cpu", "cl-cpu")) -> Costs:
    """Costs of a random program with pins; every eqn has seconds of its own (in a profile equal eqns share theirs)."""
    program = draw(programs(max_eqns))
    durations = draw(st.sampled_from((mixed, comparable)))
    profile = draw(profiles(program, processors, durations))
    costs = cost_table(program, profile, draw(pins(program, profile)))
    drawn = [[draw(durations) for _ in processors] for _ in program.eqns]
    seconds = np.where(np.isfinite(costs.seconds), drawn, np.inf)
    return attrs.evolve(costs, seconds=np.where(costs.runs[:, None], seconds, 0.0))


def placements(program: Program, processors: Sequence[str]) -> st.SearchStrategy[Placement]:
    """Any of `processors` for every eqn that does work."""
    rows = (st.sampled_from(processors) if eqn.runs else st.none() for eqn in program.eqns)
    return st.tuples(*rows).map(Placement)


def exhaustive(costs: Costs) -> tuple[tuple[str | None, ...], float]:
    """The best of all placements and its objective; ValueError if there are too many to try."""
    names = [_able(costs, k) for k in range(len(costs.program.eqns))]
    count = np.prod([float(len(row)) for row in names])
    if count > MOST_PLACEMENTS:
        raise ValueError(f"exhaustive: must have at most {MOST_PLACEMENTS} placements to try, got {count:.3g}")
    best = min(itertools.product(*names), key=costs.objective)
    return best, costs.objective(best)


def _able(costs: Costs, k: int) -> list[str | None]:
    if not costs.runs[k]:
        return [None]
    return [p for p, s in zip(costs.processors, costs.seconds[k], strict=True) if np.isfinite(s)]
