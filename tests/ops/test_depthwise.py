"""Convolutions with a window of its own for every channel: what test_conv.py asks of all convolutions, of these."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lwps.core import aval_of
from lwps.ops import depthwise
from lwps.ops.conv import conv2d, conv2d_input_vjp_p, conv2d_p, conv2d_weight_vjp_p
from lwps.ops.windows import Windows, canonical_padding
from tests.ops.as_gpu import RUNNERS, on_each_runner, run_described
from tests.ops.test_conv import ONES, arrays_of, assert_close, params_of, references, seeds, three

EPS64 = np.finfo(np.float64).eps


@st.composite
def depthwise_convolutions(draw, side=11, channels=(2, 3, 16, 17, 33), images=(0, 1, 2, 3)):
    """Channels around the widths of vectors; windows of more taps than are summed side by side, wider than images.

    Few of each: every width of a vector and every number of taps has a kernel of its own.
    """
    n, c, s = (draw(st.sampled_from(some)) for some in (images, channels, (1, 3, 5)))
    h, w, r = (draw(st.integers(1, most)) for most in (side, side, 5))
    strides, dilation = (draw(st.tuples(st.integers(1, 3), st.integers(1, 4))) for _ in range(2))
    ints = st.integers(0, 6)
    sides = st.tuples(st.tuples(ints, ints), st.tuples(ints, ints))
    span = Windows((r, s), strides, ((0, 0), (0, 0)), dilation).span
    padding = canonical_padding(draw(st.sampled_from(("SAME", "VALID")) | sides), (h, w), span, strides)
    assume(h + sum(padding[0]) >= span[0] and w + sum(padding[1]) >= span[1])
    return (n, h, w, c), (r, s, 1, c), params_of(strides, padding, dilation, c)


MOBILENET = ((2, 12, 12, 40), (3, 3, 1, 40), params_of((2, 2), ONES, groups=40))
MANY_PIXELS = ((3, 30, 30, 18), (3, 3, 1, 18), params_of(padding=ONES, groups=18))  # several chunks
LONG_LINES = ((2, 1, 600, 18), (1, 7, 1, 18), params_of((1, 2), ((0, 0), (3, 3)), groups=18))  # lines of several pieces


@on_each_runner
@settings(max_examples=60)
@given(case=depthwise_convolutions(), seed=seeds)
@example(case=MOBILENET, seed=0)
@example(case=MANY_PIXELS, seed=0)
@example(case=LONG_LINES, seed=0)
def test_all_three_match_the_float64_reference(runner, case, seed):
    x, w, ct = arrays_of(case, seed)
    assert_close(three(runner, x, w, ct, case[2]), x, w, ct, case[2])


@given(case=depthwise_convolutions(), seed=seeds)
def test_float64_keeps_its_precision_on_the_host(case, seed):
    x, w, ct = arrays_of(case, seed, np.float64)
    results = three("cpu", x, w, ct, case[2])
    assert all(a.dtype == np.float64 for a in results)
    assert_close(results, x, w, ct, case[2], EPS64)


@given(case=depthwise_convolutions(), seed=seeds, block=st.sampled_from((1, 300, 5000)))
def test_blocks_of_pixels_do_not_change_the_result(case, seed, block):
    x, w, ct = arrays_of(case, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depthwise, "BLOCK_BYTES", block)
        assert_close(three("cpu", x, w, ct, case[2]), x, w, ct, case[2])


@pytest.mark.skipif("cl-cpu" not in RUNNERS, reason="needs an OpenCL CPU device")
def test_the_bits_do_not_depend_on_how_many_workers_there_are():
    x, w, ct = arrays_of(MANY_PIXELS, 0)
    params = {**MANY_PIXELS[2], "window": w.shape[:2]}
    (one,), (many,) = (run_described(conv2d_weight_vjp_p, x, ct, compute_units=n, **params) for n in (1, 64))
    np.testing.assert_array_equal(one, many)


@on_each_runner
@pytest.mark.parametrize("place", [(0, 0), (4, 4), (2, 3)])
def test_nan_reaches_its_channel_of_the_windows_that_hold_it(runner, place):
    x, w, ct = arrays_of(((1, 5, 5, 18), (3, 3, 1, 18), params_of(padding=ONES, groups=18)), 0)
    x[0, *place, 17] = np.nan
    y, _, dw = three(runner, x, w, ct, params_of(padding=ONES, groups=18))
    expected_y, _, expected_dw = references(x, w, ct, **params_of(padding=ONES, groups=18))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected_y))
    np.testing.assert_array_equal(np.isnan(dw)[..., 17], np.isnan(expected_dw)[..., 17])
    assert not np.isnan(dw[..., :17]).any()


@on_each_runner
def test_weights_of_infinity_meet_no_padding(runner):
    params = params_of(padding=ONES, groups=3)
    x, w, ct = arrays_of(((1, 4, 4, 3), (3, 3, 1, 3), params), 0)
    w[0, 0, 0, 1] = np.inf  # times a zero of the padding it would be NaN
    y, dx, _ = three(runner, x, w, ct, params)
    assert not np.isnan(y).any()
    assert not np.isnan(dx).any()


@given(case=depthwise_convolutions(side=4, channels=(2, 3), images=(1, 2)), seed=seeds)
def test_vjps_match_central_differences(check_vjp, case, seed):
    x, w, ct = arrays_of(case, seed, np.float64)
    check_vjp(conv2d_p, x, w, seed=seed, **case[2])
    check_vjp(conv2d_input_vjp_p, ct, w, seed=seed, input_hw=x.shape[1:3], **case[2])
    check_vjp(conv2d_weight_vjp_p, x, ct, seed=seed, window=w.shape[:2], **case[2])


def test_numpy_rules_allocate_nothing_of_size():
    case = (8, 32, 32, 64), (3, 3, 1, 64), params_of(padding=ONES, groups=64)
    x, w, ct = arrays_of(case, 0)
    for primitive, ins, extra in (
        (conv2d_p, (x, w), {}),
        (conv2d_input_vjp_p, (ct, w), {"input_hw": x.shape[1:3]}),
        (conv2d_weight_vjp_p, (x, ct), {"window": w.shape[:2]}),
    ):
        params = {**case[2], **extra}
        avals = tuple(map(aval_of, ins))
        outs, scratch = primitive.aval(*avals, **params), primitive.numpy.scratch(*avals, **params)
        arrays = [np.empty(a.shape, a.dtype) for a in (*outs, *scratch)]
        tracemalloc.start()
        primitive.numpy.run(arrays[0], *ins, *arrays[1:], **params)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000, primitive


@given(case=depthwise_convolutions(images=(2,)), seed=seeds)
def test_only_images_can_be_computed_apart(case, seed):
    x, w, ct = map(aval_of, arrays_of(case, seed))
    assert [s.outs for s in conv2d_p.split(x, w, **case[2])] == [(0,)]
    assert [s.outs for s in conv2d_input_vjp_p.split(ct, w, input_hw=x.shape[1:3], **case[2])] == [(0,)]
    assert conv2d_weight_vjp_p.split(x, ct, window=w.shape[:2], **case[2]) == ()


@pytest.mark.parametrize("multiplier", [1, 2, 8, 9])
def test_the_op_takes_several_results_a_channel(multiplier):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 6, 5, 3), np.float32), rng.standard_normal((3, 3, 1, 3 * multiplier), np.float32)
    expected = references(x, w, np.zeros((2, 6, 5, 3 * multiplier)), **params_of(padding=ONES, groups=3))[0]
    np.testing.assert_allclose(conv2d(x, w, groups=3), expected, rtol=1e-4, atol=1e-5)


def test_results_that_are_no_multiple_of_the_channels_are_refused():
    x, w = np.ones((1, 4, 4, 3), np.float32), np.ones((3, 3, 1, 7), np.float32)
    with pytest.raises(
        TypeError, match=r"conv2d: w must have a multiple of groups \(3\) channels, got float32\[1,4,4,3"
    ):
        conv2d(x, w, groups=3)
