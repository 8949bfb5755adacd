"""`lwps.numpy` means by its names what NumPy means by them, run at once and traced."""

import re

import numpy as np
import pytest

import lwps.numpy as lnp
from lwps import tracing
from lwps.core import aval_of, evaluate_program
from lwps.numpy import missing

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
    lambda np, x: np.fabs(x),
    lambda np, x: np.fmod(x, -0.75),
    lambda np, x: np.float_power(np.abs(x), 2),
    lambda np, x: np.cbrt(x),
    lambda np, x: np.hypot(x, 1),
    lambda np, x: np.logaddexp2(x, 1),
    lambda np, x: np.arcsinh(x),
    lambda np, x: np.arccosh(np.abs(x) + 1),
    lambda np, x: np.arctanh(x / 8),
    lambda np, x: np.array_equal(x, x),
    lambda np, x: np.array_equal(x, x + 1),
    lambda np, x: np.array_equal(x, x[0]),
    lambda np, x: np.average(x, axis=0),
    lambda np, x: np.average(x, axis=1, weights=[1, 2, 3, 4]),
    lambda np, x: np.median(x, axis=1),
    lambda np, x: np.quantile(x, 0.3),
    lambda np, x: np.percentile(x, 30, axis=0, keepdims=True),
    lambda np, x: np.positive(x),
    lambda np, x: np.floor_divide(x, 0.75),
    lambda np, x: np.remainder(x, -0.75),
    lambda np, x: np.mod(4, x),
    lambda np, x: np.stack(np.divmod(x, 3)),
    lambda np, x: np.power(np.abs(x), 0.3),
    lambda np, x: np.power(2, x),
    lambda np, x: np.exp2(x),
    lambda np, x: np.expm1(x),
    lambda np, x: np.logaddexp(x, 1),
    lambda np, x: np.sin(x),
    lambda np, x: np.cos(x),
    lambda np, x: np.tan(x),
    lambda np, x: np.sinh(x),
    lambda np, x: np.cosh(x),
    lambda np, x: np.arcsin(x / 8),
    lambda np, x: np.arccos(x / 8),
    lambda np, x: np.arctan(x),
    lambda np, x: np.arctan2(x, -1),
    lambda np, x: np.deg2rad(x),
    lambda np, x: np.radians(x),
    lambda np, x: np.rad2deg(x),
    lambda np, x: np.degrees(x),
    lambda np, x: np.floor(x),
    lambda np, x: np.ceil(x),
    lambda np, x: np.trunc(x),
    lambda np, x: np.fix(x),
    lambda np, x: np.rint(x),
    lambda np, x: np.round(x),
    lambda np, x: np.round(x * 0.37, 1),
    lambda np, x: np.round(x * 37, decimals=-1),
    lambda np, x: np.fmax(x, 1),
    lambda np, x: np.fmin(x, np.nan),
    lambda np, x: np.nan_to_num(np.where(np.greater(x, 0), np.log(np.floor(np.abs(x))), np.nan)),
    lambda np, x: np.nan_to_num(np.where(np.greater(x, 0), x, -np.inf), neginf=7),
    lambda np, x: np.isfinite(np.divide(1, np.floor(np.abs(x)))),
    lambda np, x: np.isinf(np.divide(1, np.floor(np.abs(x)))),
    lambda np, x: np.isclose(x, x + 1e-6),
    lambda np, x: np.isclose(np.where(np.greater(x, 0), np.nan, x), np.nan, equal_nan=True),
    lambda np, x: np.isclose(np.where(np.greater(x, 0), np.inf, x), np.inf),
    lambda np, x: np.allclose(x, x * (1 + 1e-7)),
    lambda np, x: np.logical_xor(np.greater(x, 0), x),
    lambda np, x: np.bitwise_and(np.greater(x, 0), np.less(x, 4)),
    lambda np, x: np.bitwise_or(np.astype(x, np.int32), 5),
    lambda np, x: np.bitwise_xor(np.astype(x, np.int32), 5),
    lambda np, x: np.bitwise_not(np.astype(x, np.int32)),
    lambda np, x: np.invert(np.greater(x, 0)),
    lambda np, x: np.left_shift(np.astype(x, np.int32), 2),
    lambda np, x: np.right_shift(np.astype(x, np.int32), 1),
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
    lambda np, x: np.sum(np.reshape(x, (2, 2, 2)), axis=(0, 2)),
    lambda np, x: np.max(np.reshape(x, (2, 2, 2)), axis=(-1, 0), keepdims=True),
    lambda np, x: np.sum(np.greater(x, 0), dtype=np.float64),
    lambda np, x: np.prod(x),
    lambda np, x: np.prod(x, axis=1, keepdims=True),
    lambda np, x: np.prod(np.reshape(x, (2, 2, 2)), axis=(0, 2)),
    lambda np, x: np.ptp(x, axis=1),
    lambda np, x: np.argmax(x, keepdims=True),
    lambda np, x: np.argmin(x),
    lambda np, x: np.var(np.reshape(x, (2, 2, 2)), axis=(0, 2), keepdims=True),
    lambda np, x: np.std(x, ddof=1),
    lambda np, x: np.any(x - x),
    lambda np, x: np.all(np.reshape(x, (2, 2, 2)), axis=(0, 2)),
    lambda np, x: np.count_nonzero(np.floor(x), axis=0),
    lambda np, x: np.cumsum(x),
    lambda np, x: np.cumsum(x, axis=0),
    lambda np, x: np.cumprod(x, axis=-1),
    lambda np, x: np.nansum(np.where(np.greater(x, 4), np.nan, x), axis=1),
    lambda np, x: np.nanmean(np.where(np.greater(x, 4), np.nan, x), axis=1, keepdims=True),
    lambda np, x: np.nanmax(np.where(np.greater(x, 0), np.nan, x), axis=1),
    lambda np, x: np.nanmin(np.where(np.greater(x, 0), x, np.nan), axis=0),
    lambda np, x: np.nanmax(np.astype(x, np.int32)),
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
    lambda np, x: np.meshgrid(x[0], x[1])[1],
    lambda np, x: np.meshgrid(x[0], x[1], x[0], indexing="ij")[0],
    lambda np, x: np.moveaxis(np.reshape(x, (1, 2, 4)), (0, 2), (-1, 0)),
    lambda np, x: np.einsum("ij,kj->ik", x, x),
    lambda np, x: np.tensordot(x, x, 2),
    lambda np, x: np.dot(x, x.T),
    lambda np, x: np.inner(x, x),
    lambda np, x: np.outer(x, x),
    lambda np, x: np.vdot(x, x),
    lambda np, x: np.tril(x, -1),
    lambda np, x: np.triu(x),
    lambda np, x: np.diag(x[0]),
    lambda np, x: np.diagonal(x, 1),
    lambda np, x: np.trace(x),
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
        traced = evaluate_program(program, [X])
    for got in (at_once, *traced):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("name", ["log", "log2", "log10", "log1p", "sqrt"])
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


def test_integers_are_what_they_round_to_and_may_not_lose_digits():
    assert lnp.round(WHOLE, 2) is WHOLE
    assert lnp.nan_to_num(WHOLE) is WHOLE
    with pytest.raises(TypeError, match="round: integers must be rounded to 0 decimals or more, got -1; use astype"):
        lnp.round(WHOLE, -1)


def test_arrays_from_nothing():
    assert (lnp.zeros(3).tolist(), lnp.zeros(3).dtype) == ([0, 0, 0], np.float32)
    assert lnp.ones((2, 1), lnp.int32).tolist() == [[1], [1]]
    assert lnp.full((2,), 7, lnp.uint8).tolist() == [7, 7]
    assert (lnp.arange(4).tolist(), lnp.arange(4).dtype) == ([0, 1, 2, 3], np.int32)
    assert lnp.arange(1, 2, 0.25).dtype == np.float32
    assert (lnp.full(2, 7).tolist(), lnp.full(2, 7).dtype) == ([7, 7], np.int32)
    assert (lnp.full((), 0.5).dtype, lnp.full(1, True).dtype) == (np.float32, np.bool_)
    assert lnp.full((2, 2), [1, 2]).tolist() == [[1, 2], [1, 2]]
    assert (lnp.empty((1, 2)).shape, lnp.empty_like(WHOLE).dtype) == ((1, 2), np.int32)
    assert lnp.zeros_like(WHOLE, "float32").dtype == lnp.ones_like(WHOLE, np.float32).dtype == np.float32
    assert lnp.full_like(WHOLE, 0.5, float).dtype == np.float64
    assert lnp.eye(2).tolist() == lnp.identity(2).tolist() == [[1, 0], [0, 1]]
    assert lnp.eye(2, 3, 1, "int32").tolist() == [[0, 1, 0], [0, 0, 1]]
    assert lnp.tri(2, 3, 1).tolist() == [[1, 1, 0], [1, 1, 1]]
    assert (lnp.linspace(0, 1, 3).tolist(), lnp.linspace(0, 1, 3).dtype) == ([0, 0.5, 1], np.float32)
    assert lnp.linspace(0, 1, 2, endpoint=False).tolist() == [0, 0.5]
    assert lnp.asarray([1, 2]).dtype == np.int32
    assert lnp.array([1.5, 2]).dtype == np.float32
    assert lnp.asarray([1, 2], "float64").dtype == np.float64


def test_every_public_name_is_there():
    assert all(hasattr(lnp, name) for name in lnp.__all__)


@pytest.mark.parametrize(("name", "near"), [("summ", "sum"), ("arg_max", "argmax"), ("concat", "concatenate")])
def test_a_missing_name_is_refused_with_the_nearest(name, near):
    with pytest.raises(
        AttributeError, match=f"lwps.numpy: must be a name it has, got '{name}'; the nearest is '{near}'"
    ):
        getattr(lnp, name)


def test_nothing_to_concatenate_is_refused():
    with pytest.raises(ValueError, match="concatenate: there must be at least one array, got none"):
        lnp.concatenate([])


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("random", "use lwps.random, whose functions take a key"),
        ("linalg", "use lwps.ops.statistics.norm for norms, matmul for products"),
        ("nonzero", "use where"),
        ("kron", "use einsum"),
        ("float16", "use float32"),
        ("int64", "use int32"),
        ("sigmoid", "NumPy has no such name; use lwps.ops.elementwise.sigmoid"),
        ("xyzzy", "docs/numpy.md has all of them"),
    ],
)
def test_where_a_name_alike_would_mislead_the_message_says_what_to_use(name, instead):
    with pytest.raises(AttributeError, match=re.escape(f"got '{name}'; {instead}")):
        getattr(lnp, name)


def test_what_is_there_is_not_called_missing():
    assert not set(missing.INSTEAD) & set(lnp.__all__)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lnp.meshgrid(X[0], indexing="yx"), "meshgrid: indexing must be 'xy' or 'ij', got 'yx'"),
        (lambda: lnp.moveaxis(X, (0, 1), 0), "moveaxis: there must be as many sources as destinations"),
        (lambda: lnp.moveaxis(X, 2, 0), "moveaxis: axes must be different ones of 2"),
    ],
)
def test_refusals_of_shapes_say_what_must_hold(call, message):
    with pytest.raises(ValueError, match=message):
        call()
