"""Transposed convolution: the gradient of a convolution with the sizes that users ask for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lwps
from lwps import tracing
from lwps.core import ShapedArray
from lwps.ops.conv import conv2d
from lwps.ops.conv_transpose import conv2d_transpose


def normals(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def reference(x, w, strides, dilation, groups):
    """The whole result: every pixel spread over its window, and zeros of one more stride behind."""
    (n, height, width, _), (r, s, each, k) = x.shape, w.shape
    size = [(m - 1) * a + (t - 1) * d + 1 + a for m, a, t, d in zip((height, width), strides, (r, s), dilation)]
    y = np.zeros((n, *size, k))
    for i, j, a, b, g in np.ndindex(height, width, r, s, groups):
        outs = slice(g * (k // groups), (g + 1) * (k // groups))
        spread = x[:, i, j, g * each : (g + 1) * each] @ w[a, b, :, outs]
        y[:, i * strides[0] + a * dilation[0], j * strides[1] + b * dilation[1], outs] += spread
    return y


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
sizes = {
    "hw": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    "window": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    "strides": pairs,
    "dilation": pairs,
    "groups": st.sampled_from((1, 2, 4)),
}
transposed = given(**sizes)


@transposed
def test_names_of_paddings_give_the_sizes_of_jax(hw, window, strides, dilation, groups):
    x, w = normals(2, *hw, 4), normals(*window, 4 // groups, 8)
    whole = reference(x, w, strides, dilation, groups)
    spans = [(t - 1) * d + 1 for t, d in zip(window, dilation)]
    same = conv2d_transpose(x, w, strides, "SAME", dilation, groups)
    assert same.shape == (2, hw[0] * strides[0], hw[1] * strides[1], 8)
    top, left = (max(0, n - a) // 2 for n, a in zip(spans, strides))
    expected = whole[:, top : top + same.shape[1], left : left + same.shape[2]]
    np.testing.assert_allclose(same, expected, rtol=1e-10, atol=1e-12)
    valid = conv2d_transpose(x, w, strides, "VALID", dilation, groups)
    assert valid.shape[1:3] == tuple(m * a + max(0, n - a) for m, a, n in zip(hw, strides, spans))
    expected = whole[:, : valid.shape[1], : valid.shape[2]]
    np.testing.assert_allclose(valid, expected, rtol=1e-10, atol=1e-12)


@given(**sizes, top=st.integers(0, 2), bottom=st.integers(-2, 2), left=st.integers(0, 1), right=st.integers(-1, 1))
def test_paddings_of_numbers_cut_the_whole_result(hw, window, strides, dilation, groups, top, bottom, left, right):
    x, w = normals(2, *hw, 4), normals(*window, 4 // groups, 8)
    bottom, right = max(bottom, 1 - strides[0]), max(right, 1 - strides[1])
    padding = (top, bottom), (left, right)
    rows, columns = (
        (m - 1) * a + (t - 1) * d + 1 - sum(p) for m, a, t, d, p in zip(hw, strides, window, dilation, padding)
    )
    if rows < 1 or columns < 1:
        with pytest.raises(ValueError, match="conv2d_transpose: padding must leave something of the result"):
            conv2d_transpose(x, w, strides, padding, dilation, groups)
        return
    expected = reference(x, w, strides, dilation, groups)[:, top : top + rows, left : left + columns]
    got = conv2d_transpose(x, w, strides, padding, dilation, groups)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("padding", "size"), [("SAME", 6), ("VALID", 7)])
def test_it_is_the_gradient_of_the_convolution_that_makes_its_input(padding, size):
    image, w = normals(1, size, size, 2), normals(3, 3, 2, 5)
    y, vjp = lwps.vjp(lambda x: conv2d(x, w, 2, padding), image)
    ct = normals(*y.shape)
    got = conv2d_transpose(ct, w.transpose(0, 1, 3, 2), 2, padding)
    np.testing.assert_allclose(got, vjp(ct)[0], rtol=1e-10, atol=1e-12)


@transposed
def test_gradients_match_differences(hw, window, strides, dilation, groups):
    x, w = normals(1, *hw, 4), normals(*window, 4 // groups, 4)
    fn = lambda x, w: conv2d_transpose(x, w, strides, "SAME", dilation, groups)
    y, vjp = lwps.vjp(fn, x, w)
    ct, dx, dw = normals(*y.shape, seed=1), normals(*x.shape, seed=2), normals(*w.shape, seed=3)
    expected = (ct * (fn(dx, w) + fn(x, dw))).sum()  # linear in each
    found = sum((a * b).sum() for a, b in zip(vjp(ct), (dx, dw)))
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


def test_second_derivatives_are_there():
    x, w = normals(1, 3, 3, 2), normals(2, 2, 2, 3)
    loss = lambda x: (conv2d_transpose(x, w, 2) ** 2).sum()
    program = tracing.trace(lwps.grad(lambda x: (lwps.grad(loss)(x) ** 2).sum()), ShapedArray(x.shape, "float32"))
    assert {"conv2d", "conv2d_input_vjp"} <= {eqn.primitive.name for eqn in program.eqns}


X, W = np.ones((1, 5, 5, 4), np.float32), np.ones((3, 3, 4, 6), np.float32)


@pytest.mark.parametrize(
    ("x", "w", "params", "error", "message"),
    [
        (X[0], W, {}, TypeError, r"x must be \[N, H, W, C\] and w .* got float32\[5,5,4\] and float32\[3,3,4,6\]"),
        (X, W[:, :, :3], {}, TypeError, r"x must have pixels and groups \(1\) times the channels that w sums over"),
        (X, W[:, :, :1], {"groups": 4}, TypeError, r"x must have .* w a multiple of groups channels, got .*3,3,1,6"),
        (X[:, :0], W, {}, TypeError, r"x must have pixels"),
        (X, W, {"groups": 0}, ValueError, r"groups must be at least 1, got 0"),
        (X, W, {"strides": 0}, ValueError, r"strides must be one or two ints of at least 1, got 0"),
        (X, W, {"dilation": 0}, ValueError, r"dilation must be one or two ints of at least 1, got 0"),
        (X, W, {"padding": 1}, ValueError, r"padding must be \"SAME\", \"VALID\" or .* got 1 for strides \(1, 1\)"),
        (X, W, {"padding": ((0, -2), (0, 0)), "strides": 2}, ValueError, r"padding must be .* the second > -stride"),
        (X, W, {"padding": ((-1, 0), (0, 0))}, ValueError, r"padding must be .* the first >= 0"),
        (
            X,
            W,
            {"padding": ((3, 4), (0, 0))},
            ValueError,
            r"padding must leave something .* got \(3, 4\) for 5 windows",
        ),
    ],
)
def test_refusals_are_by_name(x, w, params, error, message):
    with pytest.raises(error, match=f"^conv2d_transpose: {message}"):
        conv2d_transpose(x, w, **params)
