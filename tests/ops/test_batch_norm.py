import itertools
import tracemalloc

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps import testing
from lwps.core import Device, ShapedArray, aval_of, evaluate
from lwps.ops.batch_norm import batch_norm, batch_norm_inference, batch_norm_p, batch_norm_vjp_p
from lwps.testing import processors

on_each_processor = pytest.mark.parametrize("processor", testing.PROCESSORS)
EPS = 1e-5

# rows around the chunk of 64, more than 256 chunks of it (longer chunks), the chunk of 512; channels around
# the 64 of a CPU work-item
SHAPES = ((1, 1), (2, 3), (64, 64), (65, 65), (3, 43, 1), (2, 9, 7, 130), (16390, 3), (131100, 1))


@attrs.frozen
class Case:
    """Inputs in float32, their channels with means and deviations of their own."""

    x: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    ct: np.ndarray


@st.composite
def cases(draw, shapes=SHAPES):
    """Means up to 1000 with deviations down to 1: naive E[x^2] - E[x]^2 has no right digit left there."""
    shape = draw(st.sampled_from(shapes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mean = draw(st.sampled_from((0, -5, 1000)))
    spread = draw(st.sampled_from((1, 100)))
    x, ct = rng.standard_normal((2, *shape))
    channels = shape[-1:]
    arrays = x * spread + mean, rng.uniform(0.5, 2, channels), rng.standard_normal(channels), ct
    return Case(*(a.astype(np.float32) for a in arrays))


@pytest.fixture
def as_gpu(monkeypatch):
    """Runs a primitive's kernels for GPUs, in groups of 32, on every OpenCL device."""
    described = {
        name: (*found[:3], Device("gpu", max_work_group_size=32)) for name, found in processors._opencl().items()
    }
    monkeypatch.setattr(processors, "_opencl", lambda: described)


def axes(x):
    return tuple(range(x.ndim - 1))


def reference(x, scale, bias):
    x = x.astype(np.float64)
    mean, var = x.mean(axes(x)), x.var(axes(x))
    return (x - mean) / np.sqrt(var + EPS) * scale + bias, mean, var


def vjp_reference(ct, x, scale, mean, var):
    ct, x, mean, var = (a.astype(np.float64) for a in (ct, x, mean, var))
    u = (x - mean) / np.sqrt(var + EPS)
    dscale, dbias = (ct * u).sum(axes(x)), ct.sum(axes(x))
    n = x.size // x.shape[-1]
    return scale / np.sqrt(var + EPS) * (ct - dbias / n - u * dscale / n), dscale, dbias


def assert_forward(got, x, scale, bias):
    y, mean, var = reference(x, scale, bias)
    assert (np.abs(got[1] - mean) <= 1e-6 * (np.abs(mean) + np.sqrt(var))).all()
    np.testing.assert_allclose(got[2], var, rtol=1e-4, atol=1e-9)
    # a mean that is right to a rounding may move every y by that rounding over the deviation
    per_channel = 4 * np.spacing(np.abs(mean).astype(np.float32)) / np.sqrt(var + EPS) * scale
    assert (np.abs(got[0] - y) <= 2e-5 + 1e-5 * np.abs(y) + per_channel).all()


def assert_vjp(got, ct, x, scale, mean, var):
    dx, dscale, dbias = vjp_reference(ct, x, scale, mean, var)
    n = x.size // x.shape[-1]
    np.testing.assert_allclose(got[2], dbias, rtol=1e-4, atol=1e-5 * np.sqrt(n))
    np.testing.assert_allclose(got[1], dscale, rtol=1e-4, atol=1e-5 * np.sqrt(n))
    np.testing.assert_allclose(got[0], dx, rtol=1e-4, atol=1e-5 * (scale / np.sqrt(var + EPS)).max())


@on_each_processor
@given(case=cases())
def test_batch_norm_matches_the_float64_reference(processor, case):
    got = testing.run_primitive(batch_norm_p, case.x, case.scale, case.bias, processor=processor, eps=EPS)
    assert_forward(got, case.x, case.scale, case.bias)


@on_each_processor
@given(case=cases())
def test_vjp_matches_the_float64_reference(processor, case):
    _, mean, var = (a.astype(np.float32) for a in reference(case.x, case.scale, case.bias))
    ins = case.ct, case.x, case.scale, mean, var
    assert_vjp(testing.run_primitive(batch_norm_vjp_p, *ins, processor=processor, eps=EPS), *ins)


@on_each_processor
@pytest.mark.parametrize("shape", [(2, 3), (65, 65), (16390, 3), (2, 9, 7, 130)])
def test_kernels_for_gpus_compute_the_same(as_gpu, processor, shape):
    rng = np.random.default_rng(0)
    x, ct = rng.standard_normal((2, *shape), np.float32)
    scale, bias = rng.uniform(0.5, 2, (2, shape[-1])).astype(np.float32)
    assert_forward(testing.run_primitive(batch_norm_p, x, scale, bias, processor=processor, eps=EPS), x, scale, bias)
    ins = ct, x, scale, *(a.astype(np.float32) for a in reference(x, scale, bias)[1:])
    assert_vjp(testing.run_primitive(batch_norm_vjp_p, *ins, processor=processor, eps=EPS), *ins)


@on_each_processor
@pytest.mark.parametrize(("mean", "first"), [(1000, 1000), (1e6, 1e6), (0, 1e5), (1000, -1e4)])
def test_moments_keep_their_digits_far_from_zero_and_where_the_first_row_is_an_outlier(processor, mean, first):
    x = np.random.default_rng(0).standard_normal((131072, 2), np.float32) + np.float32(mean)
    x[0] = first
    one, exact = np.ones(2, np.float32), x.astype(np.float64)
    _, got, var = testing.run_primitive(batch_norm_p, x, one, one, processor=processor, eps=EPS)
    np.testing.assert_allclose(var, exact.var(axis=0), rtol=1e-5)
    assert (np.abs(got - exact.mean(axis=0)) <= 1e-5 * exact.std(axis=0) + np.spacing(np.float32(mean))).all()


@on_each_processor
@pytest.mark.parametrize("value", [0.0, 1.0, -1e6, 0.1])
def test_a_constant_channel_has_no_variance_and_becomes_the_bias(processor, value):
    x, one = np.full((1000, 3), value, np.float32), np.ones(3, np.float32)
    y, mean, var = testing.run_primitive(batch_norm_p, x, one, 2 * one, processor=processor, eps=EPS)
    np.testing.assert_array_equal(mean, np.float32(value))
    np.testing.assert_array_equal(var, 0)
    np.testing.assert_array_equal(y, 2)


@on_each_processor
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_nan_or_infinity_spoils_its_channel_and_no_other(processor, bad):
    x, one = np.random.default_rng(0).standard_normal((130, 3), np.float32), np.ones(3, np.float32)
    ct, x[100, 1] = x.copy(), bad
    y, _, var = testing.run_primitive(batch_norm_p, x, one, one, processor=processor, eps=EPS)
    np.testing.assert_array_equal(np.isnan(y), np.broadcast_to((False, True, False), x.shape))
    np.testing.assert_array_equal(np.isnan(var), (False, True, False))
    dx, dscale, dbias = testing.run_primitive(batch_norm_vjp_p, ct, x, one, one, one, processor=processor, eps=EPS)
    assert not np.isfinite(dx[100, 1])
    assert not np.isfinite(dscale[1])
    assert np.isfinite(dx[:, (0, 2)]).all()
    assert np.isfinite(dscale[[0, 2]]).all()
    assert np.isfinite(dbias).all()


@on_each_processor
def test_no_channels_pass(processor):
    x, none = np.zeros((4, 0), np.float32), np.zeros(0, np.float32)
    y, mean, var = testing.run_primitive(batch_norm_p, x, none, none, processor=processor, eps=EPS)
    assert y.shape == (4, 0)
    assert mean.shape == var.shape == (0,)
    testing.run_primitive(batch_norm_vjp_p, x, x, none, none, none, processor=processor, eps=EPS)


@on_each_processor
def test_the_same_call_gives_the_same_bits(processor):
    x, one = np.random.default_rng(0).standard_normal((70000, 5), np.float32), np.ones(5, np.float32)
    runs = [testing.run_primitive(batch_norm_p, x, one, one, processor=processor, eps=EPS) for _ in range(3)]
    for other in runs[1:]:
        for a, b in zip(runs[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


some_cts = [row for row in itertools.product((True, False), repeat=3) if any(row)]


@pytest.mark.parametrize("present", some_cts)
@given(case=cases(shapes=((2, 3), (3, 2, 4), (70, 2))))
def test_vjp_is_the_derivative_whatever_results_have_cotangents(present, case):
    ins = tuple(a.astype(np.float64) for a in (case.x, case.scale, case.bias))
    rng = np.random.default_rng(0)
    outs = batch_norm_p.bind(*ins, eps=EPS)
    cts = [rng.standard_normal(a.shape) if here else None for a, here in zip(outs, present, strict=True)]
    grads = batch_norm_p.vjp(cts, ins, outs, (True,) * 3, eps=EPS)
    directions = [rng.standard_normal(a.shape) for a in ins]

    def objective(step):
        moved = batch_norm_p.bind(*(a + step * d for a, d in zip(ins, directions, strict=True)), eps=EPS)
        return sum((ct * out).sum() for ct, out in zip(cts, moved, strict=True) if ct is not None)

    got = sum((g * d).sum() for g, d in zip(grads, directions, strict=True) if g is not None)
    # large deviations make large derivatives and small curvature
    np.testing.assert_allclose(got, (objective(1e-4) - objective(-1e-4)) / 2e-4, rtol=1e-4, atol=1e-4)
    assert [g is not None for g in grads[1:]] == [present[0]] * 2


def test_vjp_gives_no_cotangent_that_is_not_needed():
    ins = np.ones((4, 2)), np.ones(2), np.ones(2)
    outs = batch_norm_p.bind(*ins, eps=EPS)
    assert batch_norm_p.vjp((None, outs[1], outs[2]), ins, outs, (False, True, True), eps=EPS) == (None, None, None)


@given(case=cases())
def test_numpy_rules_keep_float64(case):
    x, scale, bias, ct = (a.astype(np.float64) for a in (case.x, case.scale, case.bias, case.ct))
    y, mean, var = batch_norm(x, scale, bias)
    assert y.dtype == mean.dtype == var.dtype == np.float64
    for got, want in zip((y, mean, var), reference(x, scale, bias), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-8)
    grads = batch_norm_vjp_p.bind(ct, x, scale, mean, var, eps=EPS)
    for got, want in zip(grads, vjp_reference(ct, x, scale, mean, var), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-8 * np.sqrt(scale.max() / EPS))


@given(case=cases())
def test_inference_with_the_batchs_own_moments_is_batch_norm(case):
    y, mean, var = batch_norm(case.x, case.scale, case.bias)
    got = batch_norm_inference(case.x, case.scale, case.bias, mean, var)
    np.testing.assert_allclose(got, y, rtol=1e-5, atol=1e-5)


def test_parts_of_a_split_are_the_whole():
    rng = np.random.default_rng(0)
    x, ct = rng.standard_normal((2, 3, 50, 6), np.float32)
    scale, bias = rng.uniform(0.5, 2, (2, 6)).astype(np.float32)
    _, mean, var = batch_norm(x, scale, bias)
    for primitive, ins in ((batch_norm_p, (x, scale, bias)), (batch_norm_vjp_p, (ct, x, scale, mean, var))):
        whole = evaluate(primitive, ins, {"eps": EPS})
        (split,) = primitive.split(*map(aval_of, ins), eps=EPS)
        parts = zip(*(np.array_split(a, 2, axis=k) for a, k in zip(ins, split.ins, strict=True)), strict=True)
        results = zip(*(evaluate(primitive, part, {"eps": EPS}) for part in parts), strict=True)
        for joined, axis, want in zip(results, split.outs, whole, strict=True):
            np.testing.assert_allclose(np.concatenate(joined, axis), want, rtol=1e-5, atol=1e-6)


def host_arrays(primitive, *ins):
    """Results and scratch of the NumPy rule, not written yet."""
    avals = [aval_of(a) for a in ins]
    wanted = primitive.aval(*avals, eps=EPS), primitive.numpy.scratch(*avals, eps=EPS)
    return [[np.full(a.shape, np.nan, a.dtype) for a in some] for some in wanted]


def test_results_may_overwrite_what_the_alias_rules_allow():
    x, ct = np.random.default_rng(0).standard_normal((2, 1000, 5), np.float32)
    one = np.ones(5, np.float32)
    for primitive, ins in ((batch_norm_p, (x, one, one)), (batch_norm_vjp_p, (ct, x, one, one, one))):
        expected = evaluate(primitive, ins, {"eps": EPS})
        for row in primitive.alias(*map(aval_of, ins), eps=EPS):
            copies = [a.copy() for a in ins]
            outs, scratch = host_arrays(primitive, *ins)
            outs[row.out] = copies[row.inp]
            primitive.numpy.run(*outs, *copies, *scratch, eps=EPS)
            for got, want in zip(outs, expected, strict=True):
                np.testing.assert_array_equal(got, want)


def test_numpy_rules_allocate_nothing_of_size():
    x, one = np.ones((40, 50, 50, 16), np.float32), np.ones(16, np.float32)
    for primitive, ins in ((batch_norm_p, (x, one, one)), (batch_norm_vjp_p, (x, x, one, one, one))):
        outs, scratch = host_arrays(primitive, *ins)
        assert sum(a.nbytes for a in scratch) < x.nbytes / 20
        tracemalloc.start()
        primitive.numpy.run(*outs, *ins, *scratch, eps=EPS)
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 50
        tracemalloc.stop()


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "channels"),
    [
        (np.zeros(3, np.float32), np.zeros(3, np.float32)),
        (np.zeros((2, 3), np.int32), np.zeros(3, np.int32)),
        (np.zeros((2, 3), np.float32), np.zeros(2, np.float32)),
        (np.zeros((2, 3), np.float32), np.zeros(3, np.float64)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(x, channels):
    with pytest.raises(
        TypeError, match=r"batch_norm: x must be a float array \[..., C\] and the others \[C\] of its dtype, got"
    ):
        batch_norm(x, channels, channels)
    with pytest.raises(TypeError, match=r"batch_norm_inference: x must be a float array \[..., C\] and the others"):
        batch_norm_inference(x, channels, channels, channels, channels)
    with pytest.raises(TypeError, match=r"batch_norm_vjp: x must be a float array \[..., C\] and the others"):
        batch_norm_vjp_p.bind(x, x, channels, channels, channels, eps=EPS)


def test_an_empty_batch_is_refused():
    with pytest.raises(TypeError, match=r"batch_norm: every channel must have elements to average, got float32\[0,3\]"):
        batch_norm(np.zeros((0, 3), np.float32), np.zeros(3, np.float32), np.zeros(3, np.float32))


@pytest.mark.parametrize("eps", [0.0, -1.0, float("nan"), float("inf")])
def test_an_eps_that_is_not_positive_is_refused(eps):
    x, one = np.zeros((2, 3), np.float32), np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"batch_norm: eps must be a positive number, got"):
        batch_norm(x, one, one, eps=eps)


def test_a_cotangent_of_another_shape_is_refused():
    x, scale = ShapedArray((2, 3), "float32"), ShapedArray((3,), "float32")
    with pytest.raises(TypeError, match=r"batch_norm_vjp: ct must match x, got float32\[3\] and float32\[2,3\]"):
        batch_norm_vjp_p.aval(scale, x, scale, scale, scale, eps=EPS)
