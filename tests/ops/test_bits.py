"""Bits of integers on every processor, exactly as in NumPy."""

import numpy as np
import pytest

from lwps.ops import elementwise as ew
from tests.ops.elements import (
    run_together,
)
from tests.places import on_each_processor, run

VALUES = {
    "bool": [False, True],
    "uint8": [0, 1, 5, 128, 255],
    "int32": [0, 1, -1, 5, -6, 2**31 - 1, -(2**31)],
    "uint32": [0, 1, 5, 2**31, 2**32 - 1],
}
BINARY = {
    "and": (ew.bitwise_and_p, np.bitwise_and),
    "or": (ew.bitwise_or_p, np.bitwise_or),
    "xor": (ew.bitwise_xor_p, np.bitwise_xor),
}
SHIFTS = {"left": (ew.left_shift_p, np.left_shift), "right": (ew.right_shift_p, np.right_shift)}


@on_each_processor
@pytest.mark.parametrize("dtype", VALUES)
def test_bitwise_ops_of_every_pair(processor, dtype):
    values = np.array(VALUES[dtype], dtype)
    x, y = np.repeat(values, len(values)), np.tile(values, len(values))
    found = run_together([p for p, _ in BINARY.values()], x, y, place=processor)
    for (name, (_, reference)), z in zip(BINARY.items(), found, strict=True):
        np.testing.assert_array_equal(z, reference(x, y), err_msg=name, strict=True)
    np.testing.assert_array_equal(run(ew.bitwise_not_p, x, place=processor)[0], ~x, strict=True)


@on_each_processor
@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32"])
def test_shifts_by_more_bits_than_there_are_leave_nothing_but_the_sign(processor, dtype):
    values = np.array(VALUES[dtype], dtype)
    by = np.array([0, 1, 7, 8, 31, 32, 33, 200, *([-1] if dtype == "int32" else [])], dtype)
    x, n = np.repeat(values, len(by)), np.tile(by, len(values))
    found = run_together([p for p, _ in SHIFTS.values()], x, n, place=processor)
    for (name, (_, reference)), z in zip(SHIFTS.items(), found, strict=True):
        np.testing.assert_array_equal(z, reference(x, n), err_msg=name, strict=True)


def test_bits_have_no_cotangent():
    x = np.ones(2, np.int32)
    assert ew.bitwise_and_p.vjp([None], (x, x), (x,), (False, False)) == (None, None)


@pytest.mark.parametrize("op", [ew.bitwise_and, ew.bitwise_or, ew.bitwise_xor, ew.left_shift, ew.right_shift])
def test_floats_are_refused_by_name(op):
    with pytest.raises(TypeError, match=rf"{op.__name__}: inputs must share one dtype of .*, got float64\[2\]"):
        op(np.ones(2), np.ones(2))
