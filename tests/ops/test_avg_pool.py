"""Means of windows, of all taps or of those on the image."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import lwps
from lwps import tracing
from lwps.core import evaluate_program
from lwps.ops.avg_pool import avg_pool, avg_pool1d
from lwps.ops.windows import Windows, canonical_padding
from lwps.testing import PROCESSORS


@st.composite
def pools(draw):
    """Windows that overlap, with gaps between them, and cut by every border; images of one pixel and of none."""
    shape = tuple(draw(st.integers(low, high)) for low, high in ((0, 2), (1, 9), (1, 9), (0, 18)))
    window, strides = (draw(st.tuples(st.integers(1, 4), st.integers(1, 4))) for _ in range(2))
    sides = st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)) for n in window))
    padding = canonical_padding(draw(st.sampled_from(("VALID", "SAME")) | sides), shape[1:3], window, strides)
    assume(all(n <= size + sum(p) and max(p) < n for n, size, p in zip(window, shape[1:3], padding, strict=True)))
    return shape, (window, strides, padding)


def reference(x, window, strides, padding, count_include_pad):
    """One window after the other."""
    windows = Windows(window, strides, padding)
    y = np.zeros((x.shape[0], *windows.counts(x.shape[1:3]), x.shape[3]))
    for i, j in np.ndindex(*y.shape[1:3]):
        rows, columns = (
            slice(max(0, at * s - p[0]), max(0, at * s - p[0] + n))
            for at, s, p, n in zip((i, j), strides, padding, window, strict=True)
        )
        inside = x[:, rows, columns]
        count = windows.taps if count_include_pad else inside.shape[1] * inside.shape[2]
        y[:, i, j] = inside.sum((1, 2)) / count
    return y


def normals(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


@given(case=pools(), count_include_pad=st.booleans())
def test_matches_a_plain_loop(case, count_include_pad):
    shape, params = case
    x = normals(*shape)
    got = avg_pool(x, *params, count_include_pad)
    np.testing.assert_allclose(got, reference(x, *params, count_include_pad), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_is_the_same_everywhere_and_so_is_its_gradient(processor, count_include_pad):
    params = (3, 3), (2, 2), ((1, 1), (1, 1))
    x, ct = normals(2, 7, 8, 5).astype(np.float32), normals(2, 4, 4, 5).astype(np.float32)
    fn = lambda x: (avg_pool(x, *params, count_include_pad) * ct).sum()
    step = lwps.jit(lambda x: (avg_pool(x, *params, count_include_pad), lwps.grad(fn)(x)), placement=processor)
    y, dx = map(np.asarray, step(x))
    np.testing.assert_allclose(y, reference(x, *params, count_include_pad), rtol=1e-5, atol=1e-6)
    program = tracing.trace(lwps.grad(fn), x)
    np.testing.assert_allclose(dx, evaluate_program(program, [x])[0], rtol=1e-5, atol=1e-6)


@given(case=pools(), count_include_pad=st.booleans())
def test_gradients_match_differences(case, count_include_pad):
    shape, params = case
    x, towards = normals(*shape), normals(*shape, seed=1)
    fn = lambda x: avg_pool(x, *params, count_include_pad)
    y, vjp = lwps.vjp(fn, x)
    ct = normals(*y.shape, seed=2)
    np.testing.assert_allclose((vjp(ct)[0] * towards).sum(), (ct * fn(towards)).sum(), rtol=1e-9, atol=1e-9)


def test_the_gradient_asks_for_none_of_the_weights():
    x = normals(1, 6, 6, 3).astype(np.float32)
    program = tracing.trace(lwps.grad(lambda x: (avg_pool(x, 2) ** 2).sum()), x)
    assert [e.primitive.name for e in program.eqns if "conv2d" in e.primitive.name] == ["conv2d", "conv2d_input_vjp"]


def test_strides_are_the_window_by_default_and_whole_numbers_become_floats():
    x = np.arange(36, dtype=np.int32).reshape(1, 6, 6, 1)
    y = avg_pool(x, 2)
    assert (y.shape, y.dtype) == ((1, 3, 3, 1), np.float32)
    assert y[0, 0, 0, 0] == (0 + 1 + 6 + 7) / 4


@pytest.mark.parametrize("count_include_pad", [True, False])
def test_sequences_are_images_of_one_line(count_include_pad):
    x = normals(2, 9, 3)
    expected = avg_pool(x[:, None], (1, 3), (1, 2), ((0, 0), (1, 2)), count_include_pad)[:, 0]
    np.testing.assert_array_equal(avg_pool1d(x, 3, 2, (1, 2), count_include_pad), expected)
    assert avg_pool1d(x, 3).shape == (2, 3, 3)
    assert avg_pool1d(x, 3, 2, "SAME").shape == (2, 5, 3)


@pytest.mark.parametrize(
    ("fn", "error", "message"),
    [
        (lambda x: avg_pool(x[0], 2), TypeError, r"avg_pool: x must be \[N, H, W, C\], got float32\[6,6,2\]"),
        (lambda x: avg_pool(x, 0), ValueError, r"avg_pool: window must be one or two ints of at least 1, got 0"),
        (lambda x: avg_pool(x, 2, 0), ValueError, r"avg_pool: strides must be one or two ints of at least 1, got 0"),
        (lambda x: avg_pool(x, 2, padding=2), ValueError, r"avg_pool: padding must be \"SAME\", \"VALID\" or"),
        (lambda x: avg_pool(x, 2, padding=((2, 0), (0, 0))), ValueError, r"avg_pool: padding must be less than the w"),
        (lambda x: avg_pool(x, 7), TypeError, r"avg_pool: the window must have taps and fit into the padded input"),
        (lambda x: avg_pool1d(x, 2), TypeError, r"avg_pool1d: x must be \[N, T, C\], got float32\[1,6,6,2\]"),
        (lambda x: avg_pool1d(x[0], (2,)), ValueError, r"avg_pool1d: window must be an int of at least 1, got \(2,\)"),
        (lambda x: avg_pool1d(x[0], 2, 0), ValueError, r"avg_pool1d: stride must be an int of at least 1, got 0"),
        (lambda x: avg_pool1d(x[0], 2, 1, 1), ValueError, r"avg_pool1d: padding must be .*\(before, behind\)"),
    ],
)
def test_refusals_are_by_name(fn, error, message):
    with pytest.raises(error, match=message):
        fn(np.ones((1, 6, 6, 2), np.float32))
