"""Rows overwritten where indices say, the last one stays, on every processor."""

import numpy as np
import pytest
from hypothesis import example, given

import lwps
from lwps import testing
from lwps.core import aval_of
from lwps.ops.overwrite import overwrite_p
from tests.ops.test_gather import drawn, numbered, picks
from tests.places import on_each_place, run


def reference(x, y, indices, axis):
    """One row after the other."""
    out, n = x.copy(), x.shape[axis]
    rows = y.reshape(*x.shape[:axis], indices.size, *x.shape[axis + 1 :])
    for k, index in enumerate(indices.ravel().tolist()):
        if -n <= index < n:
            out[(slice(None),) * axis + (index,)] = rows[(slice(None),) * axis + (k,)]
    return out


def rows_of(case, dtype="float32"):
    shape, picked, axis, seed = case
    y = -1 - numbered((*shape[:axis], *picked, *shape[axis + 1 :]))
    return numbered(shape).astype(dtype), y.astype(dtype), drawn(picked, shape[axis], seed), axis


@on_each_place
@given(case=picks())
@example(case=((50, 600), (20, 3), 0, 0))  # more columns than a work-item owns
@example(case=((2, 3, 1), (5000,), 1, 0))
def test_the_last_row_written_stays(place, case):
    *ins, axis = rows_of(case)
    np.testing.assert_array_equal(run(overwrite_p, *ins, place=place, axis=axis)[0], reference(*ins, axis))


@on_each_place
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "uint32"])
def test_every_dtype(place, dtype):
    *ins, axis = rows_of(((3, 4, 2), (5,), 1, 1), dtype)
    np.testing.assert_array_equal(run(overwrite_p, *ins, place=place, axis=axis)[0], reference(*ins, axis), strict=True)


@given(case=picks())
def test_vjp_matches_differences(check_vjp, case):
    *ins, axis = rows_of(case, "float64")
    check_vjp(overwrite_p, *ins, seed=case[-1], axis=axis)


@given(case=picks())
def test_it_may_be_written_over_its_array(case):
    x, y, indices, axis = rows_of(case)
    want = reference(x, y, indices, axis)
    scratch = [np.empty(a.shape, a.dtype) for a in overwrite_p.numpy.scratch(*map(aval_of, (x, y, indices)), axis=axis)]
    overwrite_p.numpy.run(x, x, y, indices, *scratch, axis=axis)
    np.testing.assert_array_equal(x, want)


@pytest.mark.parametrize("processor", testing.PROCESSORS)
def test_a_donated_array_is_changed_in_place(processor):
    step = lwps.jit(lambda x, i, y: x.at[i].set(y), placement=processor, donate_argnums=(0,))
    x = np.zeros((4, 3), np.float32)
    for k in range(4):
        x = step(x, np.array([k, -4], np.int32), np.full(3, k + 1, np.float32))
    np.testing.assert_array_equal(x, [[4] * 3, [2] * 3, [3] * 3, [4] * 3])


@given(case=picks())
def test_parts_of_a_split_are_the_whole(case):
    x, y, indices, axis = rows_of(case)
    splits = overwrite_p.split(*map(aval_of, (x, y, indices)), axis=axis)
    assert len(splits) == x.ndim - 1
    for split in splits:
        pairs = zip(np.array_split(x, 2, split.ins[0]), np.array_split(y, 2, split.ins[1]), strict=True)
        parts = [overwrite_p.bind(a, b, indices, axis=axis)[0] for a, b in pairs]
        np.testing.assert_array_equal(np.concatenate(parts, split.outs[0]), reference(x, y, indices, axis))


@pytest.mark.parametrize(
    ("y", "indices", "axis", "error", "message"),
    [
        (
            np.ones((2, 2)),
            np.zeros(2, np.int32),
            0,
            TypeError,
            r"overwrite: y must be what the indices pick from axis 0 of x, got float64\[2,2\], int32\[2\] and float64",
        ),
        (np.ones((2, 3)), np.zeros(2, np.uint8), 0, TypeError, r"overwrite: indices must be int32, got uint8\[2\]"),
        (np.ones((2, 3)), np.zeros(2, np.int32), 2, ValueError, "overwrite: axis must be from 0 to 1, got 2"),
    ],
)
def test_refusals_say_what_must_hold(y, indices, axis, error, message):
    with pytest.raises(error, match=message):
        overwrite_p.bind(np.ones((2, 3)), y, indices, axis=axis)
