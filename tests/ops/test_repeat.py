"""Arrays made longer are those of NumPy, and known repeats need no gather."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from lwps import tracing
from lwps.core import ShapedArray
from lwps.ops.repeat import repeat, tile


def numbered(shape):
    return np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)


@given(
    shape=array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    reps=st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=4),
)
def test_tile_is_numpys(shape, reps):
    x = numbered(shape)
    np.testing.assert_array_equal(tile(x, reps), np.tile(x, reps), strict=True)


@given(shape=array_shapes(max_dims=3, min_side=0, max_side=4), count=st.integers(0, 3), data=st.data())
def test_repeat_is_numpys(shape, count, data):
    x, axis = numbered(shape), data.draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    np.testing.assert_array_equal(repeat(x, count, axis), np.repeat(x, count, axis), strict=True)
    n = x.size if axis is None else shape[axis]
    counts = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    np.testing.assert_array_equal(repeat(x, counts, axis), np.repeat(x, np.array(counts, int), axis), strict=True)


def test_a_number_of_repeats_is_one_broadcast():
    x = ShapedArray((2, 3), "float32")
    for fn in (lambda x: tile(x, (2, 2)), lambda x: repeat(x, 3, 0)):
        eqns = [eqn for eqn in tracing.trace(fn, x).eqns if eqn.runs]
        assert [eqn.primitive.name for eqn in eqns] == ["broadcast_to"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: tile(x, -1), ValueError, "tile: reps must be integers of at least 0, got -1"),
        (lambda x: tile(x, (1, 0.5)), ValueError, r"tile: reps must be integers of at least 0, got \(1, 0.5\)"),
        (
            lambda x: repeat(x, [1, 2], 1),
            ValueError,
            r"repeat: repeats must be an integer of at least 0 or one for each of 3, got \[1, 2\]",
        ),
        (lambda x: repeat(x, -1, 1), ValueError, "repeat: repeats must be an integer of at least 0 .* got -1"),
        (lambda x: repeat(x, 1.5, 1), ValueError, "repeat: repeats must be an integer of at least 0 .* got 1.5"),
        (lambda x: repeat(x, 1, 2), ValueError, "repeat: axes must be different ones of 2"),
        (
            lambda x: repeat(x, x, 0),
            TypeError,
            r"repeat: repeats must be known while tracing, got float32\[2,3\]; use take with indices",
        ),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        tracing.trace(call, ShapedArray((2, 3), "float32"))
