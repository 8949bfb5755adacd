"""Convolutions along one axis compute what those along two do of one line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps import tracing
from lwps.ops.conv1d import conv1d, conv1d_transpose


def normals(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def reference(x, w, stride, before, behind, dilation, groups):
    """One result after the other."""
    framed = np.pad(x, ((0, 0), (before, behind), (0, 0)))
    taps, each, channels = w.shape
    span = (taps - 1) * dilation + 1
    y = np.zeros((len(x), (framed.shape[1] - span) // stride + 1, channels))
    for t, k in np.ndindex(*y.shape[1:]):
        group = k // (channels // groups)
        under = framed[:, t * stride : t * stride + span : dilation, group * each : (group + 1) * each]
        y[:, t, k] = (under * w[:, :, k]).sum((1, 2))
    return y


lines = given(
    n=st.integers(1, 3),
    size=st.integers(1, 12),
    taps=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    groups=st.sampled_from((1, 2, 4)),
    padding=st.sampled_from(("SAME", "VALID")) | st.tuples(st.integers(0, 3), st.integers(0, 3)),
)


@lines
def test_conv1d_matches_a_plain_loop(n, size, taps, stride, dilation, groups, padding):
    x, w = normals(n, size, 4), normals(taps, 4 // groups, 8)
    span = (taps - 1) * dilation + 1
    total = max(0, (-(-size // stride) - 1) * stride + span - size)
    before, behind = {"SAME": (total // 2, total - total // 2), "VALID": (0, 0)}.get(padding, padding)
    if size + before + behind < span:
        with pytest.raises(TypeError, match="the window must have taps and fit"):
            conv1d(x, w, stride, padding, dilation, groups)
        return
    expected = reference(x, w, stride, before, behind, dilation, groups)
    np.testing.assert_allclose(conv1d(x, w, stride, padding, dilation, groups), expected, rtol=1e-10, atol=1e-12)


@lines
def test_conv1d_transpose_spreads_every_element_over_a_window(n, size, taps, stride, dilation, groups, padding):
    x, w = normals(n, size, 4), normals(taps, 4 // groups, 8)
    span = (taps - 1) * dilation + 1
    whole = np.zeros((n, (size - 1) * stride + span + stride, 8))
    for t, r, k in np.ndindex(size, taps, 8):
        group = k // (8 // groups)
        part = x[:, t, group * (4 // groups) : (group + 1) * (4 // groups)]
        whole[:, t * stride + r * dilation, k] += part @ w[r, :, k]
    length = {"SAME": size * stride, "VALID": size * stride + max(0, span - stride)}.get(padding)
    first = max(0, span - stride) // 2 if padding == "SAME" else 0
    if length is None:
        first, length = padding[0], (size - 1) * stride + span - sum(padding)
    if length < 1:
        with pytest.raises(ValueError, match="conv1d_transpose: padding must leave something"):
            conv1d_transpose(x, w, stride, padding, dilation, groups)
        return
    got = conv1d_transpose(x, w, stride, padding, dilation, groups)
    np.testing.assert_allclose(got, whole[:, first : first + length], rtol=1e-10, atol=1e-12)


def test_a_causal_convolution_reads_nothing_behind():
    x, w = normals(1, 9, 2), normals(3, 2, 2)
    y = conv1d(x, w, padding="CAUSAL", dilation=2)
    assert y.shape == x.shape
    np.testing.assert_array_equal(y, conv1d(x, w, padding=(4, 0), dilation=2))
    x[:, 5:] = np.nan
    changed = conv1d(x, w, padding="CAUSAL", dilation=2)
    np.testing.assert_array_equal(changed[:, :5], y[:, :5])
    assert np.isnan(changed[:, 5:]).all()


def test_no_elements_are_moved_to_make_a_line_an_image():
    program = tracing.trace(conv1d, np.ones((2, 9, 4), np.float32), np.ones((3, 4, 4), np.float32))
    assert [eqn.primitive.name for eqn in program.eqns if eqn.runs] == ["conv2d"]


X, W = np.ones((1, 5, 2), np.float32), np.ones((3, 2, 4), np.float32)


@pytest.mark.parametrize("op", [conv1d, conv1d_transpose])
@pytest.mark.parametrize(
    ("x", "w", "params", "error", "message"),
    [
        (X[0], W, {}, TypeError, r"x must be \[N, T, C\] and w \[R, C / groups, K\], got .*float\d+\[5,2\]"),
        (X, W[:, :1], {}, TypeError, r"x must be \[N, T, C\] .* got .*\[3,1,4\] with groups 1"),
        (X, W, {"stride": 0}, ValueError, r"stride must be an int of at least 1, got 0"),
        (X, W, {"stride": (1, 1)}, ValueError, r"stride must be an int of at least 1, got \(1, 1\)"),
        (X, W, {"dilation": 0}, ValueError, r"dilation must be an int of at least 1, got 0"),
        (X, W, {"padding": 2}, ValueError, r'padding must be "SAME", "VALID" or \(before, behind\) of ints, got 2'),
        (X, W, {"padding": "FULL"}, ValueError, r"padding must be .* got 'FULL'"),
        (X, W, {"padding": (-1, 0)}, ValueError, r"padding must be .* got "),
    ],
)
def test_refusals_are_by_name(op, x, w, params, error, message):
    with pytest.raises(error, match=f"^{op.__name__}: {message}"):
        op(x, w, **params)
