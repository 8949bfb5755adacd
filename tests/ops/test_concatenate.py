"""Arrays one behind the other, on every processor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from lwps.core import aval_of
from lwps.ops.concatenate import concatenate, concatenate_p
from tests.places import on_each_place, run


@st.composite
def joined(draw):
    shape = draw(array_shapes(max_dims=4, max_side=9))
    axis = draw(st.integers(0, len(shape) - 1))
    lengths = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    return [(*shape[:axis], n, *shape[axis + 1 :]) for n in lengths], axis, draw(st.integers(0, 2**32 - 1))


def arrays(shapes, seed):
    return [np.random.default_rng((seed, k)).standard_normal(s) for k, s in enumerate(shapes)]


@on_each_place
@given(case=joined())
def test_matches_numpy(place, case):
    shapes, axis, seed = case
    xs = [x.astype(np.float32) for x in arrays(shapes, seed)]
    np.testing.assert_array_equal(run(concatenate_p, *xs, place=place, axis=axis)[0], np.concatenate(xs, axis))


@given(case=joined())
def test_vjp_matches_differences(check_vjp, case):
    shapes, axis, seed = case
    check_vjp(concatenate_p, *arrays(shapes, seed), seed=seed, axis=axis)


def test_it_splits_along_the_other_axes():
    x = np.ones((2, 3, 4))
    assert [row.outs for row in concatenate_p.split(aval_of(x), aval_of(x), axis=1)] == [(0,), (2,)]


@pytest.mark.parametrize(
    ("xs", "axis", "error", "message"),
    [
        (
            [np.ones((2, 3)), np.ones((2, 4))],
            0,
            TypeError,
            r"concatenate: arrays must have one dtype and agree .* float64\[2,4\]",
        ),
        ([np.ones(2), np.ones(2, np.float32)], 0, TypeError, "concatenate: arrays must have one dtype"),
        ([np.ones(2), np.ones((2, 2))], 0, TypeError, "concatenate: arrays must have one dtype and agree"),
        ([np.ones(2)], 1, ValueError, "concatenate: axes must be different ones of 1"),
    ],
)
def test_refusals_say_what_must_hold(xs, axis, error, message):
    with pytest.raises(error, match=message):
        concatenate(xs, axis)
