"""Elementwise primitives by the table: each beside its reference, many of them in one kernel, so that few are built."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes

from lwps.core import Eqn, Primitive, Program, Var, aval_of
from lwps.ops.fused import fused_p
from tests.places import run

seeds = st.integers(0, 2**32 - 1)
shapes = array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=19)  # 19: two vectors of 8 and a rest
pairs = mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=11).map(lambda found: found.input_shapes)
triples = mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=11).map(lambda found: found.input_shapes)
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 3.5], np.float32)


@attrs.frozen
class Case:
    """A primitive of floats, what it must equal in float64, and where its operands are drawn from."""

    primitive: Primitive
    reference: Callable[..., Any]
    low: float = -10
    high: float = 10
    n: int = 1  # operands
    smooth: tuple[float, float] = (0.5, 2)  # where it has a slope everywhere
    rtol: float = 1e-6
    atol: float = 1e-37  # denormal numbers may be flushed to zero
    params: Mapping[str, Any] = attrs.field(factory=dict)


def uniform(seed: int, shape: Sequence[int], low: float, high: float) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def run_each(rows: Sequence[tuple[Primitive, Sequence[np.ndarray], Mapping[str, Any]]], place: str) -> list[np.ndarray]:
    """The result of each primitive on operands of its own, by one chain. All results must have one shape."""
    eqns, inputs = [], []
    for primitive, ins, params in rows:
        variables = tuple(Var(aval_of(x)) for x in ins)
        (aval,) = primitive.aval(*map(aval_of, ins), **params)
        eqns.append(Eqn(primitive, variables, (Var(aval),), params))
        inputs += variables
    body = Program(tuple(inputs), tuple(eqns), tuple(e.outs[0] for e in eqns))
    return list(run(fused_p, *(x for _, ins, _ in rows for x in ins), place=place, body=body))


def run_together(primitives: Sequence[Primitive], *ins: np.ndarray, place: str, params: Any = None) -> list[np.ndarray]:
    """The result of each primitive on the same operands."""
    return run_each([(p, ins, own) for p, own in zip(primitives, params or [{}] * len(primitives), strict=True)], place)


def assert_values(cases: Mapping[str, Case], place: str, shape: Sequence[int], seed: int) -> None:
    """Each case equals its float64 reference, on operands drawn from its range."""
    rows = []
    for k, case in enumerate(cases.values()):
        ins = [uniform(seed + 10 * k + i, shape, case.low, case.high) for i in range(case.n)]
        rows.append((case.primitive, ins, case.params))
    for (name, case), (_, ins, _), y in zip(cases.items(), rows, run_each(rows, place), strict=True):
        assert (y.shape, y.dtype) == (tuple(shape), np.float32), name
        want = case.reference(*(x.astype(np.float64) for x in ins))
        np.testing.assert_allclose(y, want, rtol=case.rtol, atol=case.atol, err_msg=name)


def assert_slopes(check_vjp: Any, case: Case, shapes: Sequence[Sequence[int]], seed: int) -> None:
    """The vjp rule is the slope of the NumPy rule, on operands of these shapes from where it is smooth."""
    rng = np.random.default_rng(seed)
    check_vjp(case.primitive, *(rng.uniform(*case.smooth, s) for s in shapes), seed=seed, **case.params)


def assert_special(cases: Mapping[str, Case], place: str) -> None:
    """NaN, infinities and zeros, in every combination of operands, come out as from the reference."""
    every = [x.reshape(-1) for x in np.meshgrid(SPECIAL, SPECIAL, SPECIAL)]
    with np.errstate(all="ignore"):
        rows = [(case.primitive, every[: case.n], case.params) for case in cases.values()]
        for (name, case), y in zip(cases.items(), run_each(rows, place), strict=True):
            want = case.reference(*(x.astype(np.float64) for x in every[: case.n]))
            np.testing.assert_allclose(y, want, rtol=case.rtol, atol=case.atol, err_msg=name)
