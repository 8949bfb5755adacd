"""Comparisons, logic and choice on every processor as in NumPy."""

import numpy as np
import pytest
from hypothesis import given

from lwps.core import ShapedArray, aval_of
from lwps.ops import elementwise as ew
from tests.ops.elements import (
    SPECIAL,
    run_together,
    seeds,
    shapes,
    triples,
    uniform,
)
from tests.places import on_each_place, on_each_processor, run

COMPARISONS = {
    "equal": (ew.equal_p, np.equal),
    "not_equal": (ew.not_equal_p, np.not_equal),
    "less": (ew.less_p, np.less),
    "less_equal": (ew.less_equal_p, np.less_equal),
    "greater": (ew.greater_p, np.greater),
    "greater_equal": (ew.greater_equal_p, np.greater_equal),
}


@on_each_processor
@given(shape=shapes, seed=seeds)
def test_comparisons_give_bool(processor, shape, seed):
    x, y = (np.round(uniform(seed + k, shape, -2, 2)) for k in range(2))  # few values: many are equal
    results = run_together([primitive for primitive, _ in COMPARISONS.values()], x, y, place=processor)
    for (name, (_, reference)), z in zip(COMPARISONS.items(), results, strict=True):
        assert z.dtype == np.bool_
        np.testing.assert_array_equal(z, reference(x, y), err_msg=name)


@on_each_processor
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "uint32", "float32"])
def test_every_dtype_compares_and_nan_is_like_nothing(processor, dtype):
    x, y = np.repeat(SPECIAL, len(SPECIAL)), np.tile(SPECIAL, len(SPECIAL))
    if dtype != "float32":
        x, y = (np.random.default_rng(k).integers(0, 2 if dtype == "bool" else 9, 64).astype(dtype) for k in range(2))
    results = run_together([primitive for primitive, _ in COMPARISONS.values()], x, y, place=processor)
    for (name, (_, reference)), z in zip(COMPARISONS.items(), results, strict=True):
        np.testing.assert_array_equal(z, reference(x, y), err_msg=name, strict=True)


@on_each_processor
def test_logical_ops(processor):
    x, y = np.array([True, True, False, False]), np.array([True, False, True, False])
    both, either, one = run_together([ew.logical_and_p, ew.logical_or_p, ew.logical_xor_p], x, y, place=processor)
    np.testing.assert_array_equal(both, x & y)
    np.testing.assert_array_equal(either, x | y)
    np.testing.assert_array_equal(one, x ^ y)
    np.testing.assert_array_equal(run(ew.logical_not_p, x, place=processor)[0], ~x)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "uint32", "float32", "float64"])
def test_logic_of_any_dtype_asks_whether_elements_are_zero(dtype):
    x, y = np.array([0, 0, 1, 2]).astype(dtype), np.array([0, 3, 0, 4]).astype(dtype)
    for name in ("logical_and", "logical_or", "logical_xor"):
        np.testing.assert_array_equal(getattr(ew, name)(x, y), getattr(np, name)(x, y), strict=True)
    np.testing.assert_array_equal(ew.logical_not(x), np.logical_not(x), strict=True)
    np.testing.assert_array_equal(ew.where(x, 1, 2), np.where(x, 1, 2))
    assert ew.logical_and(np.nan, 2).item() is True


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite"])
def test_kinds_of_numbers(name):
    for x in (SPECIAL, np.array([1, 2]), np.array([True]), np.array(3, np.uint8), 1.5):
        np.testing.assert_array_equal(getattr(ew, name)(x), getattr(np, name)(x))


@on_each_place
@pytest.mark.parametrize("shapes", [((3, 41),) * 3, ((3, 1), (3, 41), (41,)), ((41,), (), (3, 1))], ids=str)
def test_where_chooses_by_element(place, shapes):
    cond = uniform(0, shapes[0], 0, 1) < 0.5
    x, y = uniform(1, shapes[1], -1, 1), uniform(2, shapes[2], -1, 1)
    (z,) = run(ew.where_p, cond, x, y, place=place)
    np.testing.assert_array_equal(z, np.where(cond, x, y))


def test_where_keeps_the_other_side_from_what_it_does_not_choose():
    z = ew.where(np.array([True, False]), np.array([1.0, np.nan]), np.array([np.inf, 2.0]))
    np.testing.assert_array_equal(z, [1, 2])


@given(shapes=triples, seed=seeds)
def test_vjp_of_where_matches_differences(check_vjp, shapes, seed):
    rng = np.random.default_rng(seed)
    check_vjp(ew.where_p, rng.random(shapes[0]) < 0.5, rng.random(shapes[1]), rng.random(shapes[2]), seed=seed)


def test_comparisons_give_no_cotangent():
    x = np.ones(2)
    assert ew.less_p.vjp([None], (x, x), (x,), (True, True)) == (None, None)


def test_a_comparison_takes_over_no_input():
    x = ShapedArray((4, 3), "float32")
    assert ew.less_p.alias(x, x) == ()


@pytest.mark.parametrize("overwritten", [0, 1, 2])
def test_numpy_rules_survive_the_aliases_they_declare(overwritten):
    ins = [np.array([True, False, True]), np.arange(3.0), np.arange(3.0) + 10]
    want = np.where(*ins)
    allowed = [row.inp for row in ew.where_p.alias(*map(aval_of, ins))]
    if overwritten in allowed:
        ew.where_p.numpy.run(ins[overwritten], *ins)
        np.testing.assert_array_equal(ins[overwritten], want)
    else:
        assert overwritten != 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ew.where_p.bind(np.ones(2), *np.ones((2, 2))), TypeError, "where: the condition must be bool"),
        (
            lambda: ew.logical_and_p.bind(*np.ones((2, 2))),
            TypeError,
            "logical_and: inputs must share one dtype of bool",
        ),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call()
