"""Known numbers, other dtypes, copies, and Python numbers beside arrays."""

import numpy as np
import pytest
from hypothesis import given

from lwps.core import ShapedArray, aval_of
from lwps.ops import elementwise as ew
from tests.ops.elements import (
    run_together,
    seeds,
    shapes,
    uniform,
)
from tests.places import on_each_processor, run


@on_each_processor
@pytest.mark.parametrize("source", ew.C_TYPES)
def test_astype_converts_as_numpy(processor, source):
    for values in ([0, 1, 2, 3.75, 200], [-1, -3.75, 0.5]):
        targets = [t for t in ew.C_TYPES if min(values) >= 0 or "u" not in t]
        if min(values) < 0 and (source == "bool" or "u" in source):
            continue
        x = np.array(values).astype(source)
        params = [{"dtype": t} for t in targets]
        results = run_together([ew.astype_p] * len(targets), x, place=processor, params=params)
        for target, y in zip(targets, results, strict=True):
            np.testing.assert_array_equal(y, x.astype(target), strict=True)


@on_each_processor
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (0.1, "float32"),
        (-np.inf, "float32"),
        (np.nan, "float32"),
        (1e-42, "float32"),
        (-(2**31), "int32"),
        (2**32 - 1, "uint32"),
        (255, "uint8"),
        (True, "bool"),
    ],
)
def test_full_holds_exactly_the_number(processor, value, dtype):
    (y,) = run(ew.full_p, place=processor, shape=(2, 3), value=value, dtype=dtype)
    np.testing.assert_array_equal(y, np.full((2, 3), value, dtype))


@on_each_processor
@given(shape=shapes, seed=seeds)
def test_copies_are_equal(processor, shape, seed):
    x = uniform(seed, shape, -1e6, 1e6)
    for y in run_together([ew.copy_p, ew.stop_gradient_p], x, place=processor):
        np.testing.assert_array_equal(y, x, strict=True)


def test_vjp_of_astype_goes_back_to_the_dtype_before():
    x = np.ones(3, np.float32)
    (ct,) = ew.astype_p.vjp([np.ones(3)], (x,), (), (True,), dtype="float64")
    assert ct.dtype == np.float32
    assert ew.astype_p.vjp([np.ones(3)], (x.astype(np.int32),), (), (True,), dtype="float64") == (None,)


def test_copy_hands_its_cotangent_on_and_stop_gradient_does_not():
    x = np.ones(2)
    (ct,) = ew.copy_p.vjp([x], (x,), (x,), (True,))
    assert ct is x
    assert ew.stop_gradient_p.vjp([x], (x,), (x,), (True,)) == (None,)


@pytest.mark.parametrize(
    ("x", "y", "dtype"),
    [
        (np.float32(1), 2, "float32"),
        (np.ones(2, np.float32), 2.5, "float32"),
        (np.ones(2, np.float64), 2.5, "float64"),
        (np.ones(2, np.uint8), 2, "uint8"),
        (np.ones(2, np.uint8), 2.5, "float32"),
        (np.ones(2, bool), 2, "int32"),
        (np.ones(2, np.int32), np.ones(2, np.float32), "float32"),
        (np.ones(2, np.int64), 1, "int32"),  # arrays of NumPy's default integers become 32-bit
        (1, 2, "int32"),
        (1, 2.0, "float32"),
    ],
)
def test_operands_get_one_dtype_and_numbers_do_not_widen(x, y, dtype):
    z = ew.add(x, y)
    assert z.dtype == dtype
    np.testing.assert_array_equal(z, np.add(x, y))


def test_zeros_like_and_a_dtype_that_is_there_already():
    x = np.arange(3.0)
    assert aval_of(ew.zeros_like(x)) == ShapedArray((3,), "float64")
    assert ew.astype(x, "float64") is x


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ew.add(np.ones(2, np.int32), np.ones(2, np.uint32)), TypeError, "add: int32 and uint32 do not mix"),
        (lambda: ew.full((2,), 300, "uint8"), TypeError, "full: the value must fit uint8, got 300"),
        (lambda: ew.full((2,), 0.5, "int32"), TypeError, "full: the value must fit int32, got 0.5"),
        (lambda: ew.add(np.ones(2, np.uint8), -1), TypeError, "full: the value must fit uint8, got -1"),
        (lambda: ew.add(1, 2**40), TypeError, "full: the value must fit int32, got 1099511627776"),
        (lambda: ew.full((2,), np.nan, "int32"), TypeError, "full: the value must fit int32, got nan"),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call()
