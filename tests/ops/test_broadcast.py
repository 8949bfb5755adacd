"""Arrays repeated along axes on every processor, and the sums that are the cotangents."""

import numpy as np
import pytest
from hypothesis import given

from lwps.ops import elementwise as ew
from tests.ops.elements import (
    pairs,
    seeds,
    uniform,
)
from tests.places import on_each_processor, run


@on_each_processor
@given(shapes=pairs, seed=seeds)
def test_broadcast_to_repeats(processor, shapes, seed):
    x = uniform(seed, shapes[0], -1, 1)
    shape = np.broadcast_shapes(*shapes)
    (y,) = run(ew.broadcast_to_p, x, place=processor, shape=shape)
    np.testing.assert_array_equal(y, np.broadcast_to(x, shape))


@given(shapes=pairs, seed=seeds)
def test_vjp_of_broadcast_to_matches_differences(check_vjp, shapes, seed):
    x = np.random.default_rng(seed).random(shapes[0])
    check_vjp(ew.broadcast_to_p, x, seed=seed, shape=np.broadcast_shapes(*shapes))


def test_a_shape_that_is_there_already_needs_no_op():
    x = np.arange(3.0)
    assert ew.broadcast_to(x, (3,)) is x


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ew.broadcast_to(np.ones(2), (3,)), TypeError, "broadcast_to: shapes must broadcast together"),
        (lambda: ew.broadcast_to(np.ones((2, 2)), (2,)), TypeError, r"broadcast_to: x must broadcast to float64\[2\]"),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call()
