"""Images in another size: exact weights of pixels, on every processor."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lwps import nn, tracing
from lwps.core import Device, ShapedArray, aval_of, evaluate_program
from lwps.ops import random
from lwps.ops.resize import resize, resize_p, resize_transpose_p
from tests.places import on_each_place, run

seeds = st.integers(0, 2**32 - 1)
METHODS = ("nearest", "bilinear")


def weights_of(n, m, method):
    """The part that each of n pixels has in each of m, by the positions of their centres."""
    weights = np.zeros((m, n))
    for i in range(m):
        centre = Fraction(2 * i + 1, 2) * n / m
        if method == "nearest":
            weights[i, centre.__floor__()] = 1
            continue
        before = (centre - Fraction(1, 2)).__floor__()
        behind = float(centre - Fraction(1, 2) - before)
        weights[i, max(before, 0)] += 1 - behind
        weights[i, min(before + 1, n - 1)] += behind
    return weights


def reference(x, size, method):
    h, w = (weights_of(n, m, method) for n, m in zip(x.shape[1:3], size, strict=True))
    return np.einsum("ih,jw,nhwc->nijc", h, w, x.astype(np.float64))


def transpose_reference(ct, size, method):
    h, w = (weights_of(n, m, method) for n, m in zip(size, ct.shape[1:3], strict=True))
    return np.einsum("ih,jw,nijc->nhwc", h, w, ct.astype(np.float64))


@st.composite
def images(draw):
    """(shape of the image, new size, seed): larger, smaller, equal, with and without a common divisor."""
    side = st.integers(1, 12)
    shape = draw(st.integers(0, 3)), draw(side), draw(side), draw(st.sampled_from((0, 1, 3, 17)))
    return shape, (draw(side), draw(side)), draw(seeds)


@on_each_place
@pytest.mark.parametrize("method", METHODS)
@given(case=images())
@example(case=((2, 9, 40, 65), (18, 60), 0))  # more than one work-item
def test_resize_weighs_pixels_by_their_distance(place, method, case):
    shape, size, seed = case
    x = np.random.default_rng(seed).standard_normal(shape, np.float32)
    (y,) = run(resize_p, x, place=place, size=size, method=method)
    np.testing.assert_allclose(y, reference(x, size, method), rtol=1e-5, atol=1e-6)


@on_each_place
@pytest.mark.parametrize("method", METHODS)
@given(case=images())
@example(case=((2, 18, 60, 65), (9, 40), 0))
@example(case=((1, 5, 3, 1), (1, 1), 0))
@example(case=((2, 0, 0, 3), (2, 3), 0))
def test_its_transpose_gives_every_pixel_its_part(place, method, case):
    shape, size, seed = case
    ct = np.random.default_rng(seed).standard_normal(shape, np.float32)
    (x,) = run(resize_transpose_p, ct, place=place, size=size, method=method)
    np.testing.assert_allclose(x, transpose_reference(ct, size, method), rtol=1e-5, atol=1e-5)


@on_each_place
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32"])
def test_the_nearest_pixel_is_picked_of_every_dtype(place, dtype):
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 250, (2, 3, 5, 3)).astype(dtype)
    (y,) = run(resize_p, x, place=place, size=(7, 4), method="nearest")
    np.testing.assert_array_equal(y, reference(x, (7, 4), "nearest").astype(dtype), strict=True)


@on_each_place
@pytest.mark.parametrize("method", METHODS)
def test_infinity_and_nan_stay_with_the_pixels_around_them(place, method):
    x = np.zeros((1, 4, 4, 1), np.float32)
    x[0, 1, 1], x[0, 3, 3] = np.inf, np.nan
    (y,) = run(resize_p, x, place=place, size=(8, 8), method=method)
    with np.errstate(invalid="ignore"):
        (want,) = resize_p.bind(x.astype(np.float64), size=(8, 8), method=method)
    np.testing.assert_array_equal(y, want)
    assert np.isfinite(y[0, :2, 5:]).all()


@pytest.mark.parametrize("method", METHODS)
@given(case=images())
def test_vjps_match_differences(check_vjp, method, case):
    shape, size, seed = case
    rng = np.random.default_rng(seed)
    check_vjp(resize_p, rng.standard_normal(shape), seed=seed, size=size, method=method)
    check_vjp(resize_transpose_p, rng.standard_normal(shape), seed=seed, size=size, method=method)


def test_they_split_along_the_batch_and_the_channels():
    x = np.random.default_rng(0).standard_normal((4, 5, 6, 3))
    whole = reference(x, (7, 8), "bilinear")
    for split in resize_p.split(aval_of(x), size=(7, 8), method="bilinear"):
        parts = [resize_p.bind(p, size=(7, 8), method="bilinear")[0] for p in np.array_split(x, 2, split.ins[0])]
        np.testing.assert_allclose(np.concatenate(parts, split.outs[0]), whole)


def test_images_whose_fractions_do_not_fit_stay_on_the_host():
    (variant,) = resize_p.opencl
    x = ShapedArray((1, 40000, 1, 1), "float32")
    assert not variant.applies(Device(), x, size=(40000, 1), method="nearest")
    assert variant.applies(Device(), x, size=(20000, 1), method="nearest")


def test_resize_takes_the_whole_shape_with_or_without_a_batch():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    want = reference(x, (6, 2), "bilinear")
    np.testing.assert_allclose(resize(x, (2, 6, 2, 5)), want)
    np.testing.assert_allclose(resize(x, (2, 6, 2, 5), "linear"), want)
    np.testing.assert_allclose(resize(x[0], (6, 2, 5)), want[0])
    assert tracing.trace(lambda x: resize(x, x.shape), aval_of(x)).eqns == ()
    assert resize(x, (2, 0, 2, 5)).shape == (2, 0, 2, 5)


def test_upsample_repeats_or_blends_pixels():
    x = np.arange(8, dtype=np.float32).reshape(1, 2, 4, 1)
    layer = nn.upsample((2, 3))
    params, state, out = layer.init(random.key(0), aval_of(x))
    y, _ = layer.apply(params, state, x, train=True)
    assert out == aval_of(y)
    np.testing.assert_array_equal(y, x.repeat(2, 1).repeat(3, 2))
    program = tracing.trace(lambda x: nn.upsample(2, "bilinear").apply({}, {}, x, train=True)[0], x)
    np.testing.assert_allclose(evaluate_program(program, [x])[0], reference(x, (4, 8), "bilinear"), rtol=1e-6)


X = np.zeros((1, 2, 3, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: resize(X, (1, 4, 6, 4), "cubic"),
            ValueError,
            "resize: method must be one of nearest, bilinear, linear, got 'cubic'",
        ),
        (
            lambda: resize(X, (1, 4, 6, 5)),
            TypeError,
            r"resize: only H and W of .* may change, got float64\[1,2,3,4\] and shape \(1, 4, 6, 5\)",
        ),
        (lambda: resize(X, (4, 6, 4)), TypeError, "resize: only H and W"),
        (lambda: resize(X[0, 0], (4, 6)), TypeError, "resize: only H and W"),
        (
            lambda: resize(X.astype(np.uint8), (1, 4, 6, 4)),
            TypeError,
            r"resize: x must be float images \[N, H, W, C\], got uint8\[1,2,3,4\]; use reshape or astype",
        ),
        (lambda: resize(X[:, :0], (1, 4, 6, 4)), TypeError, r"resize: there must be pixels to make others of, got"),
        (
            lambda: resize_p.bind(X[0], size=(1, 1), method="nearest"),
            TypeError,
            r"resize: x must be images \[N, H, W, C\], got float64\[2,3,4\]",
        ),
        (
            lambda: resize_transpose_p.bind(X.astype(np.int32), size=(1, 1), method="nearest"),
            TypeError,
            "resize_transpose: ct must be float images",
        ),
        (
            lambda: resize_transpose_p.bind(X, size=(0, 1), method="nearest"),
            TypeError,
            r"resize_transpose: there must be pixels to make others of, got float64\[1,0,1,4\] and size \(2, 3\)",
        ),
        (lambda: nn.upsample(0), ValueError, "upsample: scale must be a number of at least 1"),
        (lambda: nn.upsample(2, "cubic"), ValueError, "upsample: method must be one of nearest, bilinear, linear"),
        (
            lambda: nn.upsample(2).init(random.key(0), ShapedArray((2, 3), "float32")),
            TypeError,
            r"upsample: x must be images \[N, H, W, C\], got float32\[2,3\]",
        ),
    ],
)
def test_refusals_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call()
