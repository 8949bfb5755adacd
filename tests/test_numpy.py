"""`lwps.numpy` means by its names what NumPy means by them, run at once and traced."""

import numpy as np
import pytest

import lwps.numpy as lnp
from lwps import tracing
from lwps.core import aval_of, evaluate_program

X = np.array([[1.5, -2, 3, 0.5], [4, 5, -6, 0.25]])
POSITIVE = np.abs(X) + 0.5
WHOLE = np.array([[3, -1, 2], [7, 0, -5]], np.int32)


ON_X = [
    lambda np, x: np.abs(x),
    lambda np, x: np.absolute(x),
    lambda np, x: np.add(x, 2),
    lambda np, x: np.subtract(1, x),
    lambda np, x: np.multiply(x, x),
    lambda np, x: np.divide(x, 4),
    lambda np, x: np.true_divide(x, 4),
    lambda np, x: np.negative(x),
    lambda np, x: np.power(x, 3),
    lambda np, x: np.reciprocal(x),
    lambda np, x: np.sign(np.add(x, -1.5)),
    lambda np, x: np.square(x),
    lambda np, x: np.exp(x),
    lambda np, x: np.tanh(x),
    lambda np, x: np.maximum(x, 1),
    lambda np, x: np.minimum(x, 1),
    lambda np, x: np.clip(x, -1, 2),
    lambda np, x: np.clip(x, None, 2),
    lambda np, x: np.where(np.greater(x, 0), x, 0),
    lambda np, x: np.isnan(np.where(np.greater(x, 0), x, np.nan)),
    lambda np, x: np.logical_and(np.greater(x, 0), np.less_equal(x, 3)),
    lambda np, x: np.logical_or(np.equal(x, 3), np.less(x, 0)),
    lambda np, x: np.logical_not(np.greater_equal(x, 3)),
    lambda np, x: np.not_equal(x, 3),
    lambda np, x: np.sum(x),
    lambda np, x: np.sum(x, axis=0),
    lambda np, x: np.mean(x, axis=1, keepdims=True),
    lambda np, x: np.max(x, axis=0),
    lambda np, x: np.min(x, axis=1),
    lambda np, x: np.amax(x),
    lambda np, x: np.amin(x),
    lambda np, x: np.argmax(x),
    lambda np, x: np.argmax(x, axis=1),
    lambda np, x: np.argmin(x, axis=0),
    lambda np, x: np.argmin(x, axis=1, keepdims=True),
    lambda np, x: np.var(x),
    lambda np, x: np.var(x, axis=1, ddof=1),
    lambda np, x: np.std(x, axis=0, keepdims=True),
    lambda np, x: np.any(np.greater(x, 3), axis=1),
    lambda np, x: np.all(x, axis=0),
    lambda np, x: np.reshape(x, (4, 2)),
    lambda np, x: np.ravel(x),
    lambda np, x: np.transpose(x),
    lambda np, x: np.swapaxes(np.reshape(x, (2, 2, 2)), 0, -1),
    lambda np, x: np.moveaxis(np.reshape(x, (1, 2, 4)), 0, -1),
    lambda np, x: np.moveaxis(np.reshape(x, (1, 2, 4)), -1, 0),
    lambda np, x: np.expand_dims(x, 1),
    lambda np, x: np.squeeze(np.reshape(x, (2, 1, 4)), 1),
    lambda np, x: np.broadcast_to(x, (3, 2, 4)),
    lambda np, x: np.concatenate([x, x], axis=1),
    lambda np, x: np.concatenate([x, x[:, :1]], axis=None),
    lambda np, x: np.stack([x, np.zeros_like(x)], axis=1),
    lambda np, x: np.stack([x, x], axis=-1),
    lambda np, x: np.vstack([x, x[0]]),
    lambda np, x: np.hstack([x, x[:, :1]]),
    lambda np, x: np.hstack([x[0], x[0, 0], x[1]]),
    lambda np, x: np.flip(x, 1),
    lambda np, x: np.roll(x, 1, axis=1),
    lambda np, x: np.tile(x, (2, 3)),
    lambda np, x: np.repeat(x, 2, axis=1),
    lambda np, x: np.split(x, 2, axis=1)[1],
    lambda np, x: np.array_split(x, 3, axis=1)[0],
    lambda np, x: np.diff(x),
    lambda np, x: np.sort(x),
    lambda np, x: np.sort(x, axis=None),
    lambda np, x: np.argsort(x, axis=0),
    lambda np, x: np.take(x, [[3, -1]], axis=1),
    lambda np, x: np.take_along_axis(x, np.argmax(x, axis=1, keepdims=True), axis=1),
    lambda np, x: np.pad(x, 1),
    lambda np, x: np.pad(x, ((0, 1), (2, 0)), constant_values=7),
    lambda np, x: np.matmul(x, np.transpose(x)),
    lambda np, x: np.ones_like(x),
    lambda np, x: np.full_like(x, 3),
    lambda np, x: np.multiply(x, np.pi * np.e),
    lambda np, x: np.astype(x, np.float32),
    lambda np, x: x[:, np.newaxis],
]


@pytest.mark.parametrize("fn", ON_X, ids=range(len(ON_X)))
def test_names_mean_what_they_mean_in_numpy(fn):
    with np.errstate(all="ignore"):
        want = np.asarray(fn(np, X))
        at_once = fn(lnp, X)
    program = tracing.trace(lambda x: fn(lnp, x), aval_of(X))
    for got in (at_once, *evaluate_program(program, [X])):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("name", ["log", "sqrt"])
def test_functions_of_positive_numbers(name):
    np.testing.assert_allclose(getattr(lnp, name)(POSITIVE), getattr(np, name)(POSITIVE))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "uint32", "float32"])
def test_min_and_sign_of_every_dtype(dtype):
    x = np.abs(WHOLE).astype(dtype) if "u" in dtype else WHOLE.astype(dtype)
    np.testing.assert_array_equal(lnp.min(x, axis=1), x.min(axis=1), strict=True)
    if dtype != "bool":
        np.testing.assert_array_equal(lnp.sign(x), np.sign(x), strict=True)


def test_min_of_the_least_integer_does_not_overflow():
    assert lnp.min(np.array([-(2**31), 2**31 - 1], np.int32)).item() == -(2**31)


def test_nan_is_kept_by_sign_min_and_max():
    x = np.array([1, np.nan, -1])
    np.testing.assert_array_equal(lnp.sign(x), np.sign(x))
    assert np.isnan(lnp.min(x))
    assert np.isnan(lnp.max(x))


def test_arrays_from_nothing():
    assert (lnp.zeros(3).tolist(), lnp.zeros(3).dtype) == ([0, 0, 0], np.float32)
    assert lnp.ones((2, 1), lnp.int32).tolist() == [[1], [1]]
    assert lnp.full((2,), 7, lnp.uint8).tolist() == [7, 7]
    assert (lnp.arange(4).tolist(), lnp.arange(4).dtype) == ([0, 1, 2, 3], np.int32)
    assert lnp.arange(1, 2, 0.25).dtype == np.float32
    assert lnp.eye(2).tolist() == [[1, 0], [0, 1]]
    assert lnp.asarray([1, 2]).dtype == np.int32
    assert lnp.array([1.5, 2]).dtype == np.float32
    assert lnp.asarray([1, 2], "float64").dtype == np.float64


def test_every_public_name_is_there():
    assert all(hasattr(lnp, name) for name in lnp.__all__)
    assert lnp.__all__ == sorted(lnp.__all__, key=lambda name: (name.rstrip("0123456789"), len(name), name))


@pytest.mark.parametrize(("name", "near"), [("summ", "sum"), ("arg_max", "argmax"), ("concat", "concatenate")])
def test_a_missing_name_is_refused_with_the_nearest(name, near):
    with pytest.raises(
        AttributeError, match=f"lwps.numpy: must be a name it has, got '{name}'; the nearest is '{near}'"
    ):
        getattr(lnp, name)


def test_nothing_to_concatenate_is_refused():
    with pytest.raises(ValueError, match="concatenate: there must be at least one array, got none"):
        lnp.concatenate([])
