"""Losses against float64 NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps import optim


@given(rows=st.integers(1, 6), classes=st.integers(1, 5), seed=st.integers(0, 99))
def test_cross_entropy_is_the_log_of_the_right_share(rows, classes, seed):
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((rows, classes)) * 40).astype(np.float32)  # shares below float32's smallest number
    labels = rng.integers(0, classes, rows, np.int32)
    x = logits.astype(np.float64)
    want = np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1)) + x.max(-1) - x[np.arange(rows), labels]
    got = optim.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@given(rows=st.integers(1, 6), seed=st.integers(0, 99))
def test_mean_squared_error_is_the_mean_of_squares(rows, seed):
    x, y = np.random.default_rng(seed).standard_normal((2, rows, 3)).astype(np.float32)
    got = optim.losses.mean_squared_error(x, y)
    assert got.shape == ()
    np.testing.assert_allclose(got, np.mean((x.astype(np.float64) - y) ** 2), rtol=1e-5)


def test_shapes_that_would_only_broadcast_are_refused():
    with pytest.raises(
        TypeError, match=r"mean_squared_error: .* one shape, got float32\[4,1\] and float32\[4\]; reshape one"
    ):
        optim.losses.mean_squared_error(np.zeros((4, 1), np.float32), np.zeros(4, np.float32))
