import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps.core import ShapedArray, aval_of, evaluate
from lwps.ops.group_norm import group_norm, group_norm_p, group_norm_vjp_p

from .as_gpu import on_each_runner, run

EPS = 1e-5

# (shape, groups): one group, as many as channels, rows around the chunk of 64, channels around a CPU work-item's 64
SHAPES = (
    ((2, 3), 1),
    ((2, 3, 4), 2),
    ((3, 65, 6), 6),
    ((1, 8, 8, 64), 8),
    ((2, 9, 15, 130), 13),
    ((70, 1, 2), 2),
    ((2, 200, 66), 1),
)


def case_of(shape_and_groups, seed, mean=0.0, spread=1.0):
    """ct, x, scale, bias in float32, and the number of groups."""
    shape, groups = shape_and_groups
    rng = np.random.default_rng(seed)
    ct, x = rng.standard_normal((2, *shape))
    scale, bias = rng.uniform(0.5, 2, shape[-1:]), rng.standard_normal(shape[-1:])
    return *(a.astype(np.float32) for a in (ct, x * spread + mean, scale, bias)), groups


# means up to 1000 with deviations down to 1: naive E[x^2] - E[x]^2 has no right digit left there
cases = st.builds(
    case_of,
    st.sampled_from(SHAPES),
    st.integers(0, 2**32 - 1),
    st.sampled_from((0.0, -5.0, 1000.0)),
    st.sampled_from((1.0, 100.0)),
)


def grouped(x, groups):
    """[N, rows, groups, channels of a group] in float64."""
    return x.astype(np.float64).reshape(x.shape[0], -1, groups, x.shape[-1] // groups)


def mean_of_groups(x):
    return x.mean((1, 3), keepdims=True)


def units(x, groups):
    """Groups normalised, and what they were multiplied with."""
    x = grouped(x, groups)
    d = x - mean_of_groups(x)
    gain = 1 / np.sqrt(mean_of_groups(d**2) + EPS)
    return d * gain, gain


def vjp_reference(ct, x, scale, groups):
    u, gain = units(x, groups)
    ct = grouped(ct, groups)
    g = ct * scale.reshape(groups, -1)
    dx = gain * (g - mean_of_groups(g) - u * mean_of_groups(g * u))
    return dx.reshape(x.shape), (ct * u).sum((0, 1)).reshape(-1), ct.sum((0, 1)).reshape(-1)


@on_each_runner
@given(case=cases)
def test_matches_the_float64_reference(runner, case):
    _, x, scale, bias, groups = case
    (y,) = run(runner, group_norm_p, x, scale, bias, groups=groups, eps=EPS)
    u, gain = units(x, groups)
    want = u.reshape(x.shape) * scale + bias
    # a mean that is right to a rounding may move every y by that rounding over the deviation
    slack = 4 * np.spacing(np.abs(x).max()) * gain.max() * scale
    assert (np.abs(y - want) <= 1e-5 + 1e-5 * np.abs(want) + slack).all()


@on_each_runner
@given(case=cases)
def test_vjp_matches_the_float64_reference(runner, case):
    ct, x, scale, _, groups = case
    dx, dscale, dbias = run(runner, group_norm_vjp_p, ct, x, scale, groups=groups, eps=EPS)
    want = vjp_reference(ct, x, scale, groups)
    gain = units(x, groups)[1].max()
    np.testing.assert_allclose(dx, want[0], rtol=1e-4, atol=2e-5 * gain * np.abs(x).max())
    rows = x.size // x.shape[-1]
    off = 1e-5 + np.spacing(np.abs(x).max()) * gain  # of each term, as above
    np.testing.assert_allclose(dscale, want[1], rtol=1e-4, atol=4 * off * rows)
    np.testing.assert_allclose(dbias, want[2], rtol=1e-4, atol=1e-5 * rows)


@on_each_runner
@pytest.mark.parametrize("value", [0.0, -1e6, 0.1])
def test_a_constant_group_has_no_variance_and_becomes_the_bias(runner, value):
    x, one = np.full((2, 300, 6), value, np.float32), np.ones(6, np.float32)
    (y,) = run(runner, group_norm_p, x, one, 2 * one, groups=2, eps=EPS)
    np.testing.assert_array_equal(y, 2)


@on_each_runner
def test_channels_of_a_group_may_have_means_of_their_own(runner):
    x = np.random.default_rng(0).standard_normal((2, 300, 4), np.float32) + np.float32([0, 100, -1000, 5])
    one = np.ones(4, np.float32)
    (y,) = run(runner, group_norm_p, x, one, 0 * one, groups=2, eps=EPS)
    np.testing.assert_allclose(y, units(x, 2)[0].reshape(x.shape), rtol=1e-4, atol=1e-5)


@on_each_runner
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_nan_or_infinity_spoils_its_group_and_no_other(runner, bad):
    ct, x, scale, bias, _ = case_of(((2, 70, 6), 3), 0)
    x[1, 66, 2] = bad
    hit = np.zeros(x.shape, bool)
    hit[1, :, 2:4] = True
    (y,) = run(runner, group_norm_p, x, scale, bias, groups=3, eps=EPS)
    np.testing.assert_array_equal(np.isnan(y), hit)
    dx, dscale, dbias = run(runner, group_norm_vjp_p, ct, x, scale, groups=3, eps=EPS)
    np.testing.assert_array_equal(np.isnan(dx), hit)
    np.testing.assert_array_equal(np.isnan(dscale), np.arange(6) // 2 == 1)
    assert np.isfinite(dbias).all()


@on_each_runner
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty_arrays_pass_and_their_sums_are_zero(runner, shape):
    x, one = np.zeros(shape, np.float32), np.ones(shape[-1:], np.float32)
    (y,) = run(runner, group_norm_p, x, one, one, groups=2, eps=EPS)
    assert y.shape == shape
    _, dscale, dbias = run(runner, group_norm_vjp_p, x, x, one, groups=2, eps=EPS)
    np.testing.assert_array_equal(dscale, 0 * one)
    np.testing.assert_array_equal(dbias, 0 * one)


@on_each_runner
def test_the_same_call_gives_the_same_bits(runner):
    ct, x, scale, _, groups = case_of(((3, 700, 9), 3), 0)
    first, again = (run(runner, group_norm_vjp_p, ct, x, scale, groups=groups, eps=EPS) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


@given(case=st.builds(case_of, st.sampled_from((((2, 3), 1), ((3, 2, 4), 2), ((2, 3, 3), 3))), st.integers(0, 99)))
def test_vjp_is_the_derivative(check_vjp, case):
    _, x, scale, bias, groups = case
    check_vjp(group_norm_p, x, scale, bias, groups=groups, eps=1e-2, step=1e-5)


@given(case=cases)
def test_numpy_rules_keep_float64(case):
    *arrays, groups = case
    ct, x, scale, bias = (a.astype(np.float64) for a in arrays)
    y = group_norm(x, groups, scale, bias)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, units(x, groups)[0].reshape(x.shape) * scale + bias, rtol=1e-9, atol=1e-9)
    got = group_norm_vjp_p.bind(ct, x, scale, groups=groups, eps=EPS)
    for a, b in zip(got, vjp_reference(ct, x, scale, groups), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-7)


def test_without_scale_and_bias_groups_are_normalised_only():
    x = np.random.default_rng(0).standard_normal((2, 5, 4))
    np.testing.assert_allclose(group_norm(x, 2), units(x, 2)[0].reshape(x.shape), rtol=1e-9)


def test_parts_of_a_split_are_the_whole():
    _, x, scale, bias, groups = case_of(((4, 5, 6), 3), 0)
    params = {"groups": groups, "eps": EPS}
    (whole,) = evaluate(group_norm_p, (x, scale, bias), params)
    (split,) = group_norm_p.split(*map(aval_of, (x, scale, bias)), **params)
    assert split.ins == (0, None, None)
    parts = [evaluate(group_norm_p, (part, scale, bias), params)[0] for part in np.array_split(x, 2)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-6, atol=1e-6)


def host_arrays(primitive, params, *ins):
    """Results and scratch of the NumPy rule, not written yet."""
    avals = [aval_of(a) for a in ins]
    wanted = primitive.aval(*avals, **params), primitive.numpy.scratch(*avals, **params)
    return [[np.full(a.shape, np.nan, a.dtype) for a in some] for some in wanted]


def test_results_may_overwrite_what_the_alias_rules_allow():
    ct, x, scale, bias, groups = case_of(((3, 1000, 60), 4), 0)
    params = {"groups": groups, "eps": EPS}
    for primitive, ins in ((group_norm_p, (x, scale, bias)), (group_norm_vjp_p, (ct, x, scale))):
        expected = evaluate(primitive, ins, params)
        for row in primitive.alias(*map(aval_of, ins), **params):
            copies = [a.copy() for a in ins]
            outs, scratch = host_arrays(primitive, params, *ins)
            outs[row.out] = copies[row.inp]
            primitive.numpy.run(*outs, *copies, *scratch, **params)
            for got, want in zip(outs, expected, strict=True):
                np.testing.assert_array_equal(got, want)


def test_numpy_rules_allocate_nothing_of_size():
    ct, x, scale, bias, groups = case_of(((8, 50, 50, 64), 4), 0)
    params = {"groups": groups, "eps": EPS}
    for primitive, ins in ((group_norm_p, (x, scale, bias)), (group_norm_vjp_p, (ct, x, scale))):
        outs, scratch = host_arrays(primitive, params, *ins)
        assert sum(a.nbytes for a in scratch) < x.nbytes / 15
        tracemalloc.start()
        primitive.numpy.run(*outs, *ins, *scratch, **params)
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 50
        tracemalloc.stop()


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "channels"),
    [
        (np.zeros((2, 4), np.int32), np.zeros(4, np.int32)),
        (np.zeros((2, 4), np.float32), np.zeros(2, np.float32)),
        (np.zeros((2, 4), np.float32), np.zeros(4, np.float64)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(x, channels):
    match = r": x must be floats \[N, ..., C\] and the others \[C\] of its dtype, got .*; use astype"
    with pytest.raises(TypeError, match=f"^group_norm{match}"):
        group_norm(x, 2, channels, channels)
    with pytest.raises(TypeError, match=f"^group_norm_vjp{match}"):
        group_norm_vjp_p.bind(x, x, channels, groups=2, eps=EPS)


def test_an_array_without_a_batch_is_refused():
    with pytest.raises(TypeError, match=r"group_norm: x must have a batch axis and channels .* got float32\[4\]"):
        group_norm(np.zeros(4, np.float32), 2)


@pytest.mark.parametrize("groups", [0, -1, 3, 8])
def test_groups_that_do_not_divide_the_channels_are_refused(groups):
    with pytest.raises(ValueError, match=rf"group_norm: groups must divide the 4 channels, got {groups} for float32"):
        group_norm(np.zeros((2, 4), np.float32), groups)


@pytest.mark.parametrize("eps", [0.0, -1.0, float("nan"), float("inf")])
def test_an_eps_that_is_not_positive_is_refused(eps):
    with pytest.raises(ValueError, match=r"group_norm: eps must be a positive number, got"):
        group_norm(np.zeros((2, 4), np.float32), 2, eps=eps)


def test_a_cotangent_of_another_shape_is_refused():
    x, scale = ShapedArray((2, 4), "float32"), ShapedArray((4,), "float32")
    with pytest.raises(TypeError, match=r"group_norm_vjp: ct must match x, got float32\[4\] and float32\[2,4\]"):
        group_norm_vjp_p.aval(scale, x, scale, groups=2, eps=EPS)
