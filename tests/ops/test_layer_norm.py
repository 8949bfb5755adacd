import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps.core import ShapedArray, aval_of, evaluate
from lwps.ops.layer_norm import (
    layer_norm,
    layer_norm_p,
    layer_norm_vjp_p,
    rms_norm,
    rms_norm_p,
    rms_norm_vjp_p,
)

from .as_gpu import on_each_runner, run

EPS = 1e-5
KINDS = {"layer_norm": (layer_norm_p, layer_norm_vjp_p), "rms_norm": (rms_norm_p, rms_norm_vjp_p)}
of_each_kind = pytest.mark.parametrize("kind", KINDS)

# rows of one element, below and above a vector of 16, above a GPU's group with vectors (1024); more rows than a chunk
# of 16, than 256 chunks of it
SHAPES = ((1, 1), (3, 5), (2, 3, 16), (40, 100), (2, 1100), (17, 129), (4100, 2), (7,))


def arrays_of(shape, seed, mean=0.0, spread=1.0):
    """ct, x, scale, bias in float32."""
    rng = np.random.default_rng(seed)
    ct, x = rng.standard_normal((2, *shape))
    scale, bias = rng.uniform(0.5, 2, shape[-1:]), rng.standard_normal(shape[-1:])
    return tuple(a.astype(np.float32) for a in (ct, x * spread + mean, scale, bias))


# means up to 1000 with deviations down to 1: naive E[x^2] - E[x]^2 has no right digit left there
cases = st.builds(
    arrays_of,
    st.sampled_from(SHAPES),
    st.integers(0, 2**32 - 1),
    st.sampled_from((0.0, -5.0, 1000.0)),
    st.sampled_from((1.0, 100.0)),
)


def units(kind, x):
    """Rows normalised, and what they were multiplied with, in float64."""
    x = x.astype(np.float64)
    d = x - x.mean(-1, keepdims=True) if kind == "layer_norm" else x
    gain = 1 / np.sqrt((d**2).mean(-1, keepdims=True) + EPS)
    return d * gain, gain


def vjp_reference(kind, ct, x, scale):
    u, gain = units(kind, x)
    ct = ct.astype(np.float64)
    g = ct * scale
    mean = g.mean(-1, keepdims=True) if kind == "layer_norm" else 0
    over = tuple(range(x.ndim - 1))
    sums = ((ct * u).sum(over), ct.sum(over))[: 2 if kind == "layer_norm" else 1]
    return gain * (g - mean - u * (g * u).mean(-1, keepdims=True)), *sums


def affine(kind, scale, bias):
    return (scale, bias) if kind == "layer_norm" else (scale,)


@on_each_runner
@of_each_kind
@given(case=cases)
def test_matches_the_float64_reference(runner, kind, case):
    _, x, scale, bias = case
    (y,) = run(runner, KINDS[kind][0], x, *affine(kind, scale, bias), eps=EPS)
    u, gain = units(kind, x)
    want = u * scale + (bias if kind == "layer_norm" else 0)
    # a mean that is right to a rounding may move every y by that rounding over the deviation
    slack = 4 * np.spacing(np.abs(x).max(-1, keepdims=True)) * gain * scale
    assert (np.abs(y - want) <= 1e-5 + 1e-5 * np.abs(want) + slack).all()


@on_each_runner
@of_each_kind
@given(case=cases)
def test_vjp_matches_the_float64_reference(runner, kind, case):
    ct, x, scale, _ = case
    got = run(runner, KINDS[kind][1], ct, x, scale, eps=EPS)
    dx, *sums = vjp_reference(kind, ct, x, scale)
    _, gain = units(kind, x)
    np.testing.assert_allclose(got[0], dx, rtol=1e-4, atol=2e-5 * gain.max() * np.abs(x).max())
    rows = x.size // x.shape[-1]
    for total, want in zip(got[1:], sums, strict=True):
        np.testing.assert_allclose(total, want, rtol=1e-4, atol=1e-4 * np.sqrt(rows))


@on_each_runner
@pytest.mark.parametrize("value", [0.0, -1e6, 0.1])
def test_a_constant_row_has_no_variance_and_becomes_the_bias(runner, value):
    x, one = np.full((3, 1000), value, np.float32), np.ones(1000, np.float32)
    (y,) = run(runner, layer_norm_p, x, one, 2 * one, eps=EPS)
    np.testing.assert_array_equal(y, 2)


@on_each_runner
@pytest.mark.parametrize("outlier", [1e4, -1e5])
def test_rows_that_begin_with_an_outlier_keep_their_digits(runner, outlier):
    x, one = np.random.default_rng(0).standard_normal((2, 20000), np.float32), np.ones(20000, np.float32)
    x[:, 0] = outlier
    (y,) = run(runner, layer_norm_p, x, one, 0 * one, eps=EPS)
    np.testing.assert_allclose(y, units("layer_norm", x)[0], rtol=1e-4, atol=5e-5)


@on_each_runner
@of_each_kind
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_nan_or_infinity_spoils_its_row_and_no_other(runner, kind, bad):
    ct, x, scale, bias = arrays_of((3, 40), 0)
    x[1, 7] = bad
    (y,) = run(runner, KINDS[kind][0], x, *affine(kind, scale, bias), eps=EPS)
    spoilt = np.isnan(y[1]) if kind == "layer_norm" or np.isnan(bad) else np.isnan(y[1]) == (np.arange(40) == 7)
    assert spoilt.all()
    assert np.isfinite(y[[0, 2]]).all()
    dx, dscale, *_ = run(runner, KINDS[kind][1], ct, x, scale, eps=EPS)
    assert np.isnan(dx[1]).any()
    assert np.isfinite(dx[[0, 2]]).all()
    assert np.isnan(dscale[7])


@on_each_runner
@of_each_kind
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3)])
def test_empty_arrays_pass_and_their_sums_are_zero(runner, kind, shape):
    x, one = np.zeros(shape, np.float32), np.ones(shape[-1:], np.float32)
    (y,) = run(runner, KINDS[kind][0], x, *affine(kind, one, one), eps=EPS)
    assert y.shape == shape
    _, *sums = run(runner, KINDS[kind][1], x, x, one, eps=EPS)
    for total in sums:
        np.testing.assert_array_equal(total, 0 * one)


@on_each_runner
@of_each_kind
def test_the_same_call_gives_the_same_bits(runner, kind):
    ct, x, scale, _ = arrays_of((3000, 33), 0)
    first, again = (run(runner, KINDS[kind][1], ct, x, scale, eps=EPS) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


@of_each_kind
@given(case=st.builds(arrays_of, st.sampled_from(((2, 3), (3, 2, 4), (5,))), st.integers(0, 99)))
def test_vjp_is_the_derivative(check_vjp, kind, case):
    _, x, scale, bias = case
    check_vjp(KINDS[kind][0], x, *affine(kind, scale, bias), eps=1e-2, step=1e-5)


@of_each_kind
@given(case=cases)
def test_numpy_rules_keep_float64(kind, case):
    ct, x, scale, bias = (a.astype(np.float64) for a in case)
    (y,) = KINDS[kind][0].bind(x, *affine(kind, scale, bias), eps=EPS)
    assert y.dtype == np.float64
    want = units(kind, x)[0] * scale + (bias if kind == "layer_norm" else 0)
    np.testing.assert_allclose(y, want, rtol=1e-9, atol=1e-9)
    for got, want in zip(KINDS[kind][1].bind(ct, x, scale, eps=EPS), vjp_reference(kind, ct, x, scale), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-7)


def test_the_last_axes_are_normalised_as_one():
    rng = np.random.default_rng(0)
    x, scale, bias = rng.standard_normal((4, 2, 3)), rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    u = units("layer_norm", x.reshape(4, 6))[0].reshape(x.shape)
    np.testing.assert_allclose(layer_norm(x, scale, bias, axis=(-2, -1)), u * scale + bias, rtol=1e-9)
    np.testing.assert_allclose(layer_norm(x, axis=(1, 2)), u, rtol=1e-9)
    u = units("rms_norm", x.reshape(4, 6))[0].reshape(x.shape)
    np.testing.assert_allclose(rms_norm(x, scale, axis=(-1, -2)), u * scale, rtol=1e-9)
    np.testing.assert_allclose(rms_norm(x[0, 0]), units("rms_norm", x[0, 0])[0], rtol=1e-9)


@of_each_kind
def test_parts_of_a_split_are_the_whole(kind):
    _, x, scale, bias = arrays_of((4, 5, 6), 0)
    primitive, ins = KINDS[kind][0], (x, *affine(kind, scale, bias))
    (whole,) = evaluate(primitive, ins, {"eps": EPS})
    for split in primitive.split(*map(aval_of, ins), eps=EPS):
        assert split.ins[1:] == (None,) * (len(ins) - 1)
        parts = [evaluate(primitive, (part, *ins[1:]), {"eps": EPS})[0] for part in np.array_split(x, 2, split.ins[0])]
        np.testing.assert_array_equal(np.concatenate(parts, axis=split.outs[0]), whole)


def host_arrays(primitive, *ins):
    """Results and scratch of the NumPy rule, not written yet."""
    avals = [aval_of(a) for a in ins]
    wanted = primitive.aval(*avals, eps=EPS), primitive.numpy.scratch(*avals, eps=EPS)
    return [[np.full(a.shape, np.nan, a.dtype) for a in some] for some in wanted]


@of_each_kind
def test_results_may_overwrite_what_the_alias_rules_allow(kind):
    ct, x, scale, bias = arrays_of((1000, 90), 0)
    for primitive, ins in zip(KINDS[kind], ((x, *affine(kind, scale, bias)), (ct, x, scale)), strict=True):
        expected = evaluate(primitive, ins, {"eps": EPS})
        for row in primitive.alias(*map(aval_of, ins), eps=EPS):
            copies = [a.copy() for a in ins]
            outs, scratch = host_arrays(primitive, *ins)
            outs[row.out] = copies[row.inp]
            primitive.numpy.run(*outs, *copies, *scratch, eps=EPS)
            for got, want in zip(outs, expected, strict=True):
                np.testing.assert_array_equal(got, want)


@of_each_kind
def test_numpy_rules_allocate_nothing_of_size(kind):
    ct, x, scale, bias = arrays_of((40, 150, 160), 0)
    for primitive, ins in zip(KINDS[kind], ((x, *affine(kind, scale, bias)), (ct, x, scale)), strict=True):
        outs, scratch = host_arrays(primitive, *ins)
        assert sum(a.nbytes for a in scratch) < x.nbytes / 5
        tracemalloc.start()
        primitive.numpy.run(*outs, *ins, *scratch, eps=EPS)
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 50
        tracemalloc.stop()


# --- refusals ---------------------------------------------------------------------------------------


@of_each_kind
@pytest.mark.parametrize(
    ("x", "scale"),
    [
        (np.zeros((2, 3), np.int32), np.zeros(3, np.int32)),
        (np.zeros((2, 3), np.float32), np.zeros(2, np.float32)),
        (np.zeros((2, 3), np.float32), np.zeros(3, np.float64)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(kind, x, scale):
    forward, backward = KINDS[kind]
    match = r": x must be floats \[..., K\] and the others \[K\] of its dtype, got .*; use astype"
    with pytest.raises(TypeError, match=f"^{kind}{match}"):
        forward.bind(x, *affine(kind, scale, scale), eps=EPS)
    with pytest.raises(TypeError, match=f"^{kind}_vjp{match}"):
        backward.bind(x, x, scale, eps=EPS)


@pytest.mark.parametrize("op", [layer_norm, rms_norm])
def test_settings_that_cannot_be_are_refused(op):
    x, name = np.zeros((2, 3), np.float32), op.__name__
    with pytest.raises(TypeError, match=rf"^{name}: x must have at least one axis, got float32\[\]"):
        op(np.float32(0))
    for axis in (0, (), (0, 2)):
        with pytest.raises(
            ValueError, match=rf"^{name}: axis must name the last axis or the last few, got .*transpose"
        ):
            op(np.zeros((2, 3, 4), np.float32), axis=axis)
    match = rf"^{name}: scale and bias must have the shape \[3\] of the axes that are normalised, got float32\[2\] for"
    with pytest.raises(TypeError, match=match):
        op(x, np.zeros(2, np.float32))
    for eps in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=rf"^{name}: eps must be a positive number, got"):
            op(x, eps=eps)


@of_each_kind
def test_a_cotangent_of_another_shape_is_refused(kind):
    x, scale = ShapedArray((2, 3), "float32"), ShapedArray((3,), "float32")
    with pytest.raises(TypeError, match=rf"^{kind}_vjp: ct must match x, got float32\[3\] and float32\[2,3\]"):
        KINDS[kind][1].aval(scale, x, scale, eps=EPS)
