"""Aliases, splits and costs that all elementwise primitives share."""

import importlib

import numpy as np
import pytest
from hypothesis import given

from lwps.core import ShapedArray, aval_of
from lwps.ops import elementwise as ew
from tests.ops.elements import (
    pairs,
    seeds,
    uniform,
)


def test_a_result_may_take_over_only_inputs_of_its_own_aval():
    x, row = ShapedArray((4, 3), "float32"), ShapedArray((3,), "float32")
    assert [row.inp for row in ew.add_p.alias(x, x)] == [0, 1]
    assert [row.inp for row in ew.add_p.alias(row, x)] == [1]


@given(shapes=pairs, seed=seeds)
def test_parts_of_a_split_make_the_whole(shapes, seed):
    x, y = (uniform(seed + k, s, -1, 1) for k, s in enumerate(shapes))
    (whole,) = ew.add_p.bind(x, y)
    for split in ew.add_p.split(aval_of(x), aval_of(y)):
        (axis,) = split.outs
        if whole.shape[axis] < 2:
            continue
        parts = []
        for keep in (slice(0, 1), slice(1, None)):
            cut = [v if a is None else v[(slice(None),) * a + (keep,)] for v, a in zip((x, y), split.ins, strict=True)]
            parts.append(ew.add_p.bind(*cut)[0])
        np.testing.assert_array_equal(np.concatenate(parts, axis), whole)


def test_costs_count_operations_and_bytes():
    cost = ew.add_p.cost(ShapedArray((4, 3), "float32"), ShapedArray((3,), "float32"))
    assert (cost.flops, cost.nbytes) == (12, 48 + 12 + 48)
    assert ew.full_p.cost(shape=(4,), value=0, dtype="uint8").nbytes == 4


FAMILIES = ("activation", "arithmetic", "exponential", "hyperbolic", "power", "rounding", "trigonometry")
TABLES = {family: importlib.import_module(f"tests.ops.test_{family}").CASES for family in FAMILIES}
EVERY = {f"{family}: {name}": case for family, cases in TABLES.items() for name, case in cases.items()}


@pytest.mark.parametrize("name", EVERY)
def test_numpy_rules_survive_the_aliases_they_declare(name):
    case = EVERY[name]
    ins = [uniform(k, (33,), *case.smooth) for k in range(case.n)]
    (want,) = case.primitive.bind(*ins, **case.params)
    for row in case.primitive.alias(*map(aval_of, ins), **case.params):
        own = [x.copy() for x in ins]
        case.primitive.numpy.run(own[row.inp], *own, **case.params)
        np.testing.assert_array_equal(own[row.inp], want)


@pytest.mark.parametrize("name", EVERY)
def test_rules_keep_float64_and_its_digits(name):
    case = EVERY[name]
    ins = [uniform(k, (9,), *case.smooth).astype(np.float64) for k in range(case.n)]
    (y,) = case.primitive.bind(*ins, **case.params)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, case.reference(*ins), rtol=1e-13)
