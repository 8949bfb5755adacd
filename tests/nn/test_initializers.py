"""Initializers: their variances, their limits, and what they refuse."""

import math

import numpy as np
import pytest

import lwps
from lwps.nn import initializers
from lwps.ops import random

SHAPE = (3, 3, 16, 64)
IN, OUT = 9 * 16, 9 * 64
KEY = random.key(1)

SCALED = {
    "lecun_normal": 1 / IN,
    "lecun_uniform": 1 / IN,
    "glorot_normal": 2 / (IN + OUT),
    "glorot_uniform": 2 / (IN + OUT),
    "he_normal": 2 / IN,
    "he_uniform": 2 / IN,
}


@pytest.mark.parametrize(("name", "variance"), SCALED.items())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_variances_are_those_of_the_fans(name, variance, dtype):
    w = getattr(initializers, name)()(KEY, SHAPE, dtype)
    assert (w.shape, w.dtype) == (SHAPE, dtype)
    # 9,216 draws: the deviation of their mean square is 1.5 %, of their mean 1 %
    assert np.mean(np.square(w)) == pytest.approx(variance, rel=0.06)
    assert abs(np.mean(w)) < 0.05 * math.sqrt(variance)
    limit = math.sqrt(3 * variance) if name.endswith("uniform") else 2 * math.sqrt(variance) / 0.8796
    assert 0.97 * limit < np.abs(w).max() <= limit * (1 + 1e-6)


def test_axes_say_what_is_in_and_out():
    w = initializers.variance_scaling(1.0, "fan_in", "normal", in_axis=0, out_axis=(1, 2))(KEY, (4, 50, 50))
    assert np.var(w) == pytest.approx(1 / 4, rel=0.06)
    w = initializers.variance_scaling(1.0, "fan_out", "normal", in_axis=0, out_axis=(1, 2))(KEY, (50, 10, 20))
    assert np.var(w) == pytest.approx(1 / 200, rel=0.06)


def test_plain_distributions_have_the_size_asked_for():
    assert np.std(initializers.normal(0.3)(KEY, (100, 100))) == pytest.approx(0.3, rel=0.04)
    w = initializers.truncated_normal(0.3, -1, 1.5)(KEY, (100, 100))
    assert -0.3 <= w.min() < -0.29
    assert 0.44 < w.max() <= 0.45 * (1 + 1e-6)
    w = initializers.uniform(2.0)(KEY, (100, 100))
    assert 0 <= w.min() < 0.01
    assert 1.99 < w.max() < 2
    assert (initializers.zeros(KEY, (2, 3)) == 0).all()
    assert (initializers.ones(KEY, (2, 3), "float64") == np.ones((2, 3))).all()
    assert (initializers.constant(7)(KEY, (2, 3), "int32") == 7).all()


@pytest.mark.parametrize(("shape", "axis"), [((6, 4), -1), ((4, 6), -1), ((2, 3, 5), -1), ((3, 4, 2), 0), ((5, 5), 1)])
def test_orthogonal_weights_have_orthonormal_columns_or_rows(shape, axis):
    w = initializers.orthogonal(2.0, axis)(KEY, shape)
    assert (w.shape, w.dtype) == (shape, np.float32)
    matrix = np.moveaxis(w, axis, -1).reshape(-1, shape[axis]) / 2.0
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(matrix.shape[1]), atol=1e-6)
    np.testing.assert_array_equal(w, initializers.orthogonal(2.0, axis)(KEY, shape))


def test_initializers_can_be_traced():
    made = lwps.jit(lambda key: initializers.he_normal()(key, (8, 8)), placement="cpu")(KEY)
    np.testing.assert_allclose(made, initializers.he_normal()(KEY, (8, 8)), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.variance_scaling(1, "fan", "normal"), "mode must be fan_in, .*, got 'fan'"),
        (lambda: initializers.variance_scaling(1, "fan_in", "cauchy"), "distribution must be normal, .*'cauchy'"),
        (lambda: initializers.variance_scaling(-1, "fan_in", "normal"), "scale must be at least 0, got -1"),
        (lambda: initializers.he_normal()(KEY, (3,)), r"shape must have axes .*, got \(3,\); use zeros or normal"),
        (lambda: initializers.orthogonal()(KEY, (3,)), r"orthogonal: .* at least two axes, got uint32\[2\] and \(3,\)"),
        (
            lambda: lwps.trace(lambda key: initializers.orthogonal()(key, (3, 3)), KEY),
            "orthogonal: the key must be known .*; call init outside of jit",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
