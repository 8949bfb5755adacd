import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import lwps
from lwps import tracing
from lwps.core import ShapedArray, aval_of
from lwps.ops.pool import global_avg_pool, global_max_pool, max_pool, max_pool1d, max_pool_p, max_pool_vjp_p
from lwps.ops.windows import Windows, canonical_padding
from tests.ops.as_gpu import on_each_runner, run

seeds = st.integers(0, 2**32 - 1)


@st.composite
def pools(draw):
    """A shape and params: gaps between windows, windows that overlap, windows cut by every border."""
    shape = tuple(draw(st.integers(low, high)) for low, high in ((0, 2), (1, 9), (1, 9), (0, 18)))
    window, strides = (draw(st.tuples(st.integers(1, 4), st.integers(1, 4))) for _ in range(2))
    less = [st.integers(0, n - 1) for n in window]
    sides = st.tuples(*(st.tuples(side, side) for side in less))
    padding = canonical_padding(draw(st.one_of(st.sampled_from(("VALID", "SAME")), sides)), shape[1:3], window, strides)
    assume(all(n <= size + sum(p) and max(p) < n for n, size, p in zip(window, shape[1:3], padding, strict=True)))
    return shape, {"window": window, "strides": strides, "padding": padding}


def image_of(shape, seed):
    """Few values, so that there are ties; some NaN; and infinities, which padding must not be mistaken for."""
    values = np.array([-np.inf, -np.inf, -2, -1, 0, 1, 2, np.inf, np.nan], np.float32)
    return np.random.default_rng(seed).choice(values, shape, p=[0.25, 0.15, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])


def reference(x, window, strides, padding):
    """The maxima and their taps, one window after the other."""
    hw = Windows(window, strides, padding).counts(x.shape[1:3])
    y = np.zeros((x.shape[0], *hw, x.shape[3]), x.dtype)
    index = np.zeros(y.shape, np.uint8)
    for n, oh, ow, c in np.ndindex(y.shape):
        taps = {}
        for tap in range(window[0] * window[1]):
            i = oh * strides[0] - padding[0][0] + tap // window[1]
            j = ow * strides[1] - padding[1][0] + tap % window[1]
            if 0 <= i < x.shape[1] and 0 <= j < x.shape[2]:
                taps[tap] = x[n, i, j, c]
        order = list(taps.values())
        best = int(np.argmax(order))  # NumPy's: the first maximum, or the first NaN
        y[n, oh, ow, c], index[n, oh, ow, c] = order[best], list(taps)[best]
    return y, index


def gradient_reference(ct, index, input_hw, window, strides, padding):
    (top, bottom), (left, right) = padding
    framed = np.zeros((ct.shape[0], input_hw[0] + top + bottom, input_hw[1] + left + right, ct.shape[3]))
    for n, oh, ow, c in np.ndindex(ct.shape):
        r, s = divmod(int(index[n, oh, ow, c]), window[1])
        framed[n, oh * strides[0] + r, ow * strides[1] + s, c] += ct[n, oh, ow, c]
    return framed[:, top : top + input_hw[0], left : left + input_hw[1]]


@on_each_runner
@given(case=pools(), seed=seeds)
@example(
    case=((1, 17, 17, 5), {"window": (15, 17), "strides": (1, 1), "padding": ((7, 7), (0, 0))}), seed=0
)  # 255 taps
@example(
    case=((2, 70, 70, 3), {"window": (3, 3), "strides": (2, 2), "padding": ((1, 1), (1, 1))}), seed=0
)  # many items
def test_matches_the_reference_to_the_bit(runner, case, seed):
    shape, params = case
    x = image_of(shape, seed)
    y, index = run(runner, max_pool_p, x, **params)
    expected, expected_index = reference(x, **params)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(index, expected_index)


@on_each_runner
@given(case=pools(), seed=seeds)
def test_gradient_goes_to_the_tap_that_was_picked(runner, case, seed):
    shape, params = case
    x = image_of(shape, seed)
    y, index = reference(x, **params)
    ct = np.random.default_rng(seed).standard_normal(y.shape, np.float32)
    ct[ct > 1.5] = np.inf  # zero times infinity would spread as NaN
    (dx,) = run(runner, max_pool_vjp_p, ct, index, input_hw=shape[1:3], **params)
    np.testing.assert_allclose(dx, gradient_reference(ct, index, shape[1:3], **params), rtol=1e-5, atol=1e-5)


@given(case=pools(), seed=seeds)
def test_vjp_matches_central_differences(check_vjp, case, seed):
    x = np.random.default_rng(seed).permutation(np.prod(case[0])).reshape(case[0]).astype(np.float64)  # no ties
    check_vjp(max_pool_p, x, seed=seed, **case[1])


def test_no_cotangent_gives_none():
    params = {"window": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0))}
    x = np.ones((1, 2, 2, 1), np.float32)
    outs = max_pool_p.bind(x, **params)
    assert max_pool_p.vjp((None, None), (x,), outs, (True,), **params) == (None,)
    assert max_pool_p.vjp((outs[0], None), (x,), outs, (False,), **params) == (None,)


@given(case=pools(), seed=seeds)
def test_float64_stays_float64(case, seed):
    x = image_of(case[0], seed).astype(np.float64)
    y, index = run("cpu", max_pool_p, x, **case[1])
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, reference(x, **case[1])[0])
    (dx,) = run("cpu", max_pool_vjp_p, np.ones_like(y), index, input_hw=case[0][1:3], **case[1])
    assert dx.dtype == np.float64


@given(case=pools(), seed=seeds)
def test_parts_that_split_names_give_parts_of_the_results(case, seed):
    x = image_of(case[0], seed)
    assume(x.size)
    outs = max_pool_p.bind(x, **case[1])
    for split in max_pool_p.split(aval_of(x), **case[1]):
        parts = max_pool_p.bind(x.take([0], split.ins[0]), **case[1])
        for whole, part, axis in zip(outs, parts, split.outs, strict=True):
            np.testing.assert_array_equal(part, whole.take([0], axis))
    extra = {**case[1], "input_hw": x.shape[1:3]}
    ct = np.ones_like(outs[0])
    (dx,) = max_pool_vjp_p.bind(ct, outs[1], **extra)
    for split in max_pool_vjp_p.split(aval_of(ct), aval_of(outs[1]), **extra):
        (part,) = max_pool_vjp_p.bind(*(a.take([0], k) for a, k in zip((ct, outs[1]), split.ins, strict=True)), **extra)
        np.testing.assert_array_equal(part, dx.take([0], split.outs[0]))


def test_numpy_rules_allocate_nothing_of_size():
    params = {"window": (3, 3), "strides": (2, 2), "padding": ((1, 1), (1, 1))}
    x = np.random.default_rng(0).standard_normal((8, 64, 64, 32), np.float32)
    arrays = [np.empty(a.shape, a.dtype) for a in max_pool_p.aval(aval_of(x), **params)]
    scratch = [np.empty(a.shape, a.dtype) for a in max_pool_p.numpy.scratch(aval_of(x), **params)]
    dx = np.empty_like(x)
    tracemalloc.start()
    max_pool_p.numpy.run(*arrays, x, *scratch, **params)
    max_pool_vjp_p.numpy.run(dx, *arrays, scratch[0], input_hw=x.shape[1:3], **params)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000  # what NumPy buffers of a masked ufunc, whatever its size


def test_the_op_strides_by_its_window_and_takes_names_for_padding():
    x = np.arange(36, dtype=np.float32).reshape(1, 6, 6, 1)
    assert max_pool(x, 3)[0, ..., 0].tolist() == [[14, 17], [32, 35]]
    assert max_pool(x, (2, 3), (1, 3), "VALID").shape == (1, 5, 2, 1)
    assert max_pool(x, 3, 2, "SAME").shape == (1, 3, 3, 1)


def test_cost_counts_a_comparison_for_each_tap():
    x = ShapedArray((1, 4, 4, 2), "float32")
    params = {"window": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0))}
    cost = max_pool_p.cost(x, **params)
    assert (cost.flops, cost.nbytes) == (8 * 4, 32 * 4 + 8 * 4 + 8)
    ct, index = max_pool_p.aval(x, **params)
    assert max_pool_vjp_p.cost(ct, index, input_hw=(4, 4), **params) == cost


def test_global_average_pool_is_the_mean_over_pixels():
    x = np.random.default_rng(0).standard_normal((3, 5, 7, 2), np.float32)
    np.testing.assert_allclose(global_avg_pool(x), x.mean((1, 2)), rtol=1e-5, atol=1e-6)
    assert tracing.trace(global_avg_pool, x).outputs[0].aval == ShapedArray((3, 2), "float32")


def test_global_max_pool_is_the_largest_pixel_and_its_gradient_goes_to_the_first():
    x = np.zeros((1, 2, 3, 2), np.float32)
    x[0, 0, 2, 0] = x[0, 1, 1, 0] = 5
    np.testing.assert_array_equal(global_max_pool(x), [[5, 0]])
    dx = lwps.grad(lambda x: global_max_pool(x).sum())(x)
    assert np.argwhere(dx).tolist() == [[0, 0, 0, 1], [0, 0, 2, 0]]


def test_sequences_are_images_of_one_line():
    x = image_of((2, 9, 3), 0)
    expected = max_pool(x[:, None], (1, 3), (1, 2), ((0, 0), (1, 2)))[:, 0]
    np.testing.assert_array_equal(max_pool1d(x, 3, 2, (1, 2)), expected)
    assert max_pool1d(x, 3).shape == (2, 3, 3)
    assert max_pool1d(x, 3, 2, "SAME").shape == (2, 5, 3)


X = ShapedArray((1, 20, 20, 2), "float32")


@pytest.mark.parametrize(
    ("x", "window", "padding", "error", "message"),
    [
        (
            ShapedArray((4, 4, 2), "float32"),
            (2, 2),
            0,
            TypeError,
            r"max_pool: x must be \[N, H, W, C\].* float32\[4,4,2\]",
        ),
        (
            ShapedArray((1, 4, 4, 2), "int32"),
            (2, 2),
            0,
            TypeError,
            r"max_pool: .* of dtype float32 or float64, got int32",
        ),
        (X, (16, 16), 0, ValueError, r"max_pool: the window must have at most 255 taps, got \(16, 16\); pool twice"),
        (X, (2, 3), 2, ValueError, r"max_pool: padding must be less than the window, got .*; use pad"),
        (X, (21, 2), 0, TypeError, r"max_pool: the window must .* fit into the padded input"),
    ],
)
def test_refusals_name_what_must_hold(x, window, padding, error, message):
    with pytest.raises(error, match=message):
        max_pool_p.aval(x, window=window, strides=(1, 1), padding=((padding, padding), (padding, padding)))


def test_the_vjp_refuses_what_does_not_belong_to_the_pool():
    params = {"input_hw": (4, 4), "window": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0))}
    ct, index = ShapedArray((1, 2, 2, 3), "float32"), ShapedArray((1, 2, 2, 3), "int32")
    with pytest.raises(TypeError, match=r"max_pool_vjp: ct must be floats and index uint8 \[N, 2, 2, C\], got .*int32"):
        max_pool_vjp_p.aval(ct, index, **params)
    with pytest.raises(ValueError, match=r"max_pool_vjp: strides must be at least 1, got \(0, 1\)"):
        max_pool_vjp_p.aval(ct, index, **{**params, "strides": (0, 1)})


def test_the_ops_refuse_by_name():
    with pytest.raises(ValueError, match=r"max_pool: window must be one or two ints of at least 1, got 0"):
        max_pool(np.ones((1, 4, 4, 1), np.float32), 0)
    with pytest.raises(ValueError, match=r"max_pool: padding must be \"SAME\""):
        max_pool(np.ones((1, 4, 4, 1), np.float32), 2, padding="same")
    with pytest.raises(TypeError, match=r"max_pool: x must be \[N, H, W, C\], got float32\[4,4\]; use reshape"):
        max_pool(np.ones((4, 4), np.float32), 2)
    with pytest.raises(TypeError, match=r"global_avg_pool: x must be \[N, H, W, C\], got float32\[4,4\]"):
        global_avg_pool(np.ones((4, 4), np.float32))
    with pytest.raises(TypeError, match=r"global_max_pool: x must be \[N, H, W, C\], got float32\[4,4\]"):
        global_max_pool(np.ones((4, 4), np.float32))
    with pytest.raises(TypeError, match=r"max_pool1d: x must be \[N, T, C\], got float32\[4,4\]; use reshape"):
        max_pool1d(np.ones((4, 4), np.float32), 2)
    with pytest.raises(ValueError, match=r"max_pool1d: window must be an int of at least 1, got 0"):
        max_pool1d(np.ones((1, 4, 4), np.float32), 0)
    with pytest.raises(ValueError, match=r"max_pool1d: padding must be \"SAME\", \"VALID\" or \(before, behind\)"):
        max_pool1d(np.ones((1, 4, 4), np.float32), 2, padding=((0, 0), (0, 0)))
