"""Python's operators on tracers, and on another array class, do what they do on NumPy's arrays."""

import operator

import numpy as np
import pytest

from lwps import tracing
from lwps.core import aval_of, evaluate_program
from lwps.ops import operators


class Boxed:
    """An array class of somebody else's."""

    def __init__(self, value):
        self.value = np.asarray(value)
        self.aval = aval_of(self.value)

    shape = property(lambda self: self.aval.shape)
    dtype = property(lambda self: self.aval.dtype)
    ndim = property(lambda self: self.aval.ndim)

    def __array__(self, dtype=None, copy=None):
        return self.value


operators.attach(Boxed)


def traced(fn, *xs):
    """`fn` of arrays through a program."""
    program = tracing.trace(fn, *(aval_of(x) for x in xs))
    (y, *others) = evaluate_program(program, xs)
    return [y, *others] if others else y


X = np.array([[1.5, -2, 3], [4, 5, -6]])
Y = np.array([2.0, -4, 3])
BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.eq, operator.ne, operator.lt]
BINARY += [operator.le, operator.gt, operator.ge, operator.floordiv, operator.mod]


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
def test_binary_operators_with_arrays_and_numbers_on_either_side(op):
    for y in (Y, 2.0, 3, np.float64(3)):
        np.testing.assert_array_equal(traced(lambda x, y=y: op(x, y), X), op(X, y))
        np.testing.assert_array_equal(traced(lambda x, y=y: op(y, x), X), op(y, X))
        np.testing.assert_array_equal(op(Boxed(X), y), op(X, y))
    np.testing.assert_array_equal(traced(op, X, Y), op(X, Y))


def test_divmod_on_either_side():
    for got, want in zip(traced(lambda x: list(divmod(x, 4)), X), divmod(X, 4), strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(divmod(7, Boxed(Y))[1], 7 % Y)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32"])
def test_operators_on_bits(dtype):
    x, y = np.array([0, 1, 1]).astype(dtype), np.array([1, 1, 0]).astype(dtype)
    for op in (operator.and_, operator.or_, operator.xor):
        for got in (traced(op, x, y), op(Boxed(x), y), op(x, Boxed(y))):
            np.testing.assert_array_equal(got, op(x, y), strict=True)
    np.testing.assert_array_equal(traced(operator.invert, x), ~x, strict=True)
    if dtype != "bool":
        np.testing.assert_array_equal(traced(lambda x: (x << 3) >> 1, x), (x << 3) >> 1, strict=True)
        np.testing.assert_array_equal(traced(lambda x: 1 << x, x), 1 << x)
        np.testing.assert_array_equal(traced(lambda x: 9 >> x, x), 9 >> x)


def test_matmul_on_either_side():
    np.testing.assert_allclose(traced(lambda x: x @ Y, X), X @ Y)
    np.testing.assert_allclose(traced(lambda y: X @ y, Y), X @ Y)


def test_unary_operators():
    np.testing.assert_array_equal(traced(lambda x: -x, X), -X)
    np.testing.assert_array_equal(traced(lambda x: +x, X), X)
    np.testing.assert_array_equal(traced(abs, X), abs(X))
    np.testing.assert_array_equal(traced(abs, np.array([1, 2], np.uint8)), [1, 2])
    flags = X > 0
    np.testing.assert_array_equal(traced(lambda x: ~x | (x & flags), flags), np.ones_like(flags))


@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 3, 7, np.int64(5)])
def test_integer_powers(n):
    np.testing.assert_allclose(traced(lambda x: x**n, X), X**n)


def test_powers_of_what_is_not_whole():
    np.testing.assert_allclose(traced(lambda x: abs(x) ** 0.3, X), abs(X) ** 0.3)
    np.testing.assert_allclose(traced(lambda x: 2**x, X), 2**X)
    np.testing.assert_allclose(traced(lambda x, y: abs(x) ** y, X, Y), abs(X) ** Y)


def test_comparing_leaves_tracers_hashable_and_strangers_unequal():
    def fn(x):
        assert {x: 1}[x] == 1
        assert (x == "a name") is False
        assert (x != None) is True  # noqa: E711 - the comparison is what is tested
        return x

    traced(fn, X)


# --- methods --------------------------------------------------------------------------------------


def test_iteration_walks_the_first_axis():
    np.testing.assert_array_equal(traced(lambda x: sum(row * k for k, row in enumerate(x)), X), X[1])
    first, second = Boxed(X)
    np.testing.assert_array_equal(first, X[0])
    np.testing.assert_array_equal(second, X[1])


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x.T,
        lambda x: x.transpose(1, 0),
        lambda x: x.transpose((1, 0)),
        lambda x: x.transpose(),
        lambda x: x.reshape(3, 2),
        lambda x: x.reshape((3, -1)),
        lambda x: x.reshape(-1),
        lambda x: x.astype("float32"),
        lambda x: x.sum(),
        lambda x: x.sum(0),
        lambda x: x.sum(axis=-1, keepdims=True),
        lambda x: x.mean(axis=(0, 1)),
        lambda x: x.max(1),
        lambda x: x.argmax(),
        lambda x: x.argmax(axis=-1),
        lambda x: x.argmax(keepdims=True),
        lambda x: x.argmax(0, keepdims=True),
        lambda x: x.min(axis=0),
        lambda x: x.argmin(1),
        lambda x: x.prod(axis=1),
        lambda x: x.var(),
        lambda x: x.std(axis=0, ddof=1),
        lambda x: x.any(axis=1),
        lambda x: x.all(),
        lambda x: x.cumsum(),
        lambda x: x.cumsum(axis=1),
        lambda x: x.cumprod(0),
        lambda x: x.round(),
        lambda x: x.clip(-1, 2),
        lambda x: x.take([2, 0], axis=1),
        lambda x: x.repeat(2, axis=0),
        lambda x: x.diagonal(1),
        lambda x: x.dot(x.T),
        lambda x: np.repeat(x, 2, axis=1),
        lambda x: x.ravel(),
        lambda x: x.flatten(),
        lambda x: x[None].squeeze(),
        lambda x: x.sum(dtype="float32"),
        np.sum,
        np.min,
        np.prod,
        np.all,
        lambda x: np.std(x, axis=1),
        lambda x: np.var(x, ddof=1),
        lambda x: np.cumsum(x, axis=0),
        lambda x: np.clip(x, 0, 1),
        lambda x: np.round(x, 1),
        lambda x: np.mean(x, axis=0),
        lambda x: np.max(x, axis=1),
        lambda x: np.argmax(x, axis=1),
        lambda x: np.reshape(x, (3, 2)),
        np.transpose,
    ],
)
def test_methods_are_numpys(fn):
    got, want = traced(fn, X), np.asarray(fn(X))
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want)
    np.testing.assert_allclose(fn(Boxed(X)), want)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.astype("int32") ** x.astype("int32"), TypeError, "power: one of two arrays must be floats"),
        (lambda x: x & x, TypeError, r"bitwise_and: inputs must share one dtype of .* got float64\[2,3\]"),
        (lambda x: list(x.sum()), TypeError, "iteration: the array must have a first axis"),
        (lambda x: x.reshape(3, 2, order="F"), ValueError, "reshape: the order must be 'C'"),
        (lambda x: x.sum(out=X), TypeError, "sum: out must be None"),
        (lambda x: x.argmax(out=X), TypeError, "argmax: out must be None"),
        (lambda x: x + "1", TypeError, "unsupported operand"),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        traced(call, X)
