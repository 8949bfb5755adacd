import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lwps.core import ShapedArray, aval_of
from lwps.ops import windows
from lwps.ops.conv import conv2d, conv2d_input_vjp_p, conv2d_p, conv2d_weight_vjp_p
from lwps.ops.windows import Windows, canonical_padding
from tests.ops.as_gpu import RUNNERS, on_each_runner, run, run_described

EPS = np.finfo(np.float32).eps


@st.composite
def convolutions(draw, side=9, channels=(0, 1, 2, 3, 7, 8, 9, 16, 17, 33), images=(0, 1, 2, 3)):
    """Sizes of x and w, and params: windows larger than the image, strides larger than the window, padding of more
    than a window, strides and dilations with and without common factors, channels of a group around the widths of a
    CPU's and a GPU's tile, images of one pixel, and nothing at all.
    """
    n, c, k = draw(st.sampled_from(images)), draw(st.sampled_from(channels)), draw(st.sampled_from(channels))
    h, w, r, s = (draw(st.integers(1, most)) for most in (side, side, 5, 5))
    strides = draw(st.tuples(st.integers(1, 4), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 4), st.integers(1, 3)) | st.just((1, 1)))
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    ints = st.integers(0, 6)
    padding = draw(
        st.one_of(st.sampled_from(("SAME", "VALID")), st.tuples(st.tuples(ints, ints), st.tuples(ints, ints)))
    )
    span = Windows((r, s), strides, ((0, 0), (0, 0)), dilation).span
    padding = canonical_padding(padding, (h, w), span, strides)
    assume(h + sum(padding[0]) >= span[0] and w + sum(padding[1]) >= span[1])
    return (n, h, w, c * groups), (r, s, c, k * groups), params_of(strides, padding, dilation, groups)


def params_of(strides=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    return {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}


seeds = st.integers(0, 2**32 - 1)
ONES = ((1, 1), (1, 1))
RESNET_STEM = ((1, 23, 23, 3), (7, 7, 3, 64), params_of((2, 2), ((3, 3), (3, 3))))
POINTWISE = ((2, 5, 5, 8), (1, 1, 8, 40), params_of())
POINTWISE_STRIDED = ((2, 5, 6, 8), (1, 1, 8, 3), params_of((2, 2)))
POINTWISE_GROUPED = ((2, 5, 6, 8), (1, 1, 4, 6), params_of(groups=2))
MANY_PIXELS = ((3, 30, 30, 3), (3, 3, 3, 18), params_of(padding=ONES))  # several chunks
LONG_LINES = ((1, 1, 700, 4), (1, 3, 4, 18), params_of((1, 2), ((0, 0), (2, 2)), (1, 2)))  # lines of several pieces
MANY_TERMS = ((1, 3, 3, 300), (2, 2, 300, 2), params_of())  # runs of more floats than one sum takes


def arrays_of(case, seed, dtype=np.float32):
    """x, w and a cotangent of the result."""
    x_shape, w_shape, params = case
    rng = np.random.default_rng(seed)
    geometry = {name: params[name] for name in ("strides", "padding", "dilation")}
    hw = Windows(w_shape[:2], **geometry).counts(x_shape[1:3])
    shapes = x_shape, w_shape, (x_shape[0], *hw, w_shape[3])
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)


def references(x, w, ct, strides, padding, dilation, groups):
    """y, dx and dw in float64, one tap of the window after the other."""
    x, w, ct = (a.astype(np.float64) for a in (x, w, ct))
    framed = np.pad(x, ((0, 0), *padding, (0, 0)))
    y, dx, dw = np.zeros(ct.shape), np.zeros(framed.shape), np.zeros(w.shape)
    (sh, sw), (dh, dv), (oh, ow) = strides, dilation, ct.shape[1:3]
    for r, s, g in np.ndindex(*w.shape[:2], groups):
        c, k = (slice(g * n // groups, (g + 1) * n // groups) for n in (x.shape[3], ct.shape[3]))
        at = np.s_[:, r * dh : r * dh + sh * (oh - 1) + 1 : sh, s * dv : s * dv + sw * (ow - 1) + 1 : sw, c]
        y[..., k] += framed[at] @ w[r, s, :, k]
        dx[at] += ct[..., k] @ w[r, s, :, k].T
        dw[r, s, :, k] = np.tensordot(framed[at], ct[..., k], ((0, 1, 2), (0, 1, 2)))
    (top, _), (left, _) = padding
    return y, dx[:, top : top + x.shape[1], left : left + x.shape[2]], dw


def three(runner, x, w, ct, params):
    """y, dx, dw from the three primitives."""
    (y,) = run(runner, conv2d_p, x, w, **params)
    (dx,) = run(runner, conv2d_input_vjp_p, ct, w, input_hw=x.shape[1:3], **params)
    (dw,) = run(runner, conv2d_weight_vjp_p, x, ct, window=w.shape[:2], **params)
    return y, dx, dw


def assert_close(results, x, w, ct, params, eps=EPS):
    """Within what rounding each of the terms of a sum can do."""
    scales = references(abs(x), abs(w), abs(ct), **params)
    terms = w[..., 0].size, w[:, :, 0].size // params["groups"], ct[..., 0].size
    expected = references(x, w, ct, **params)
    for got, want, scale, count in zip(results, expected, scales, terms, strict=True):
        assert got.shape == want.shape
        assert np.all(np.abs(got - want) <= eps * (count + 2) * scale)


@on_each_runner
@settings(max_examples=60)  # many sizes, and each takes milliseconds
@given(case=convolutions(), seed=seeds)
@example(case=RESNET_STEM, seed=0)
@example(case=POINTWISE, seed=0)
@example(case=POINTWISE_STRIDED, seed=0)
@example(case=POINTWISE_GROUPED, seed=0)
@example(case=MANY_PIXELS, seed=0)
@example(case=LONG_LINES, seed=0)
@example(case=MANY_TERMS, seed=0)
def test_all_three_match_the_float64_reference(runner, case, seed):
    x, w, ct = arrays_of(case, seed)
    assume(w.shape[3] > 0 and w.shape[2] > 0)
    assert_close(three(runner, x, w, ct, case[2]), x, w, ct, case[2])


@on_each_runner
@pytest.mark.parametrize(("images", "c", "k"), [(0, 2, 3), (1, 0, 3), (1, 2, 0), (0, 0, 0)])
def test_sizes_of_zero_give_empty_results_or_zeros(runner, images, c, k):
    params = params_of((2, 1), ((1, 1), (0, 2)))
    x, w, ct = arrays_of(((images, 4, 5, c), (2, 3, c, k), params), 0)
    for got, want in zip(three(runner, x, w, ct, params), references(x, w, ct, **params), strict=True):
        np.testing.assert_array_equal(got, want)


@given(case=convolutions(channels=(1, 2, 3)), seed=seeds)
def test_float64_keeps_its_precision_on_the_host(case, seed):
    x, w, ct = arrays_of(case, seed, np.float64)
    results = three("cpu", x, w, ct, case[2])
    assert all(a.dtype == np.float64 for a in results)
    assert_close(results, x, w, ct, case[2], np.finfo(np.float64).eps)


@given(case=convolutions(), seed=seeds, block=st.sampled_from((1, 300, 5000)))
def test_blocks_of_windows_do_not_change_the_result(case, seed, block):
    x, w, ct = arrays_of(case, seed)
    assume(w.shape[3] > 0 and w.shape[2] > 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "BLOCK_BYTES", block)
        assert_close(three("cpu", x, w, ct, case[2]), x, w, ct, case[2])


@pytest.mark.skipif("cl-cpu" not in RUNNERS, reason="needs an OpenCL CPU device")
def test_the_bits_do_not_depend_on_how_many_workers_there_are():
    x, w, ct = arrays_of(MANY_PIXELS, 0)
    params = {**MANY_PIXELS[2], "window": w.shape[:2]}
    (one,), (many,) = (run_described(conv2d_weight_vjp_p, x, ct, compute_units=n, **params) for n in (1, 64))
    np.testing.assert_array_equal(one, many)


@on_each_runner
def test_nan_reaches_the_windows_that_hold_it_and_no_others(runner):
    params = params_of(padding=ONES)
    x, w, ct = arrays_of(((1, 5, 5, 3), (3, 3, 3, 9), params), 0)
    x[0, 4, 4, 2] = np.nan  # the last pixel: the one that tails of tiles repeat
    (y,) = run(runner, conv2d_p, x, w, **params)
    expected = np.zeros(y.shape, bool)
    expected[0, 3:, 3:] = True
    np.testing.assert_array_equal(np.isnan(y), expected)
    (dw,) = run(runner, conv2d_weight_vjp_p, x, ct, window=(3, 3), **params)
    expected = np.zeros(dw.shape, bool)
    expected[1:, 1:, 2] = True  # tap 0 meets the last pixel only in the halo
    np.testing.assert_array_equal(np.isnan(dw), expected)


tiny = convolutions(side=4, channels=(1, 2), images=(1, 2))


@given(case=tiny, seed=seeds)
def test_vjps_match_central_differences(check_vjp, case, seed):
    x, w, ct = arrays_of(case, seed, np.float64)
    check_vjp(conv2d_p, x, w, seed=seed, **case[2])
    check_vjp(conv2d_input_vjp_p, ct, w, seed=seed, input_hw=x.shape[1:3], **case[2])
    check_vjp(conv2d_weight_vjp_p, x, ct, seed=seed, window=w.shape[:2], **case[2])


@pytest.mark.parametrize("primitive", [conv2d_p, conv2d_input_vjp_p, conv2d_weight_vjp_p])
def test_a_vjp_computes_only_what_is_needed(primitive):
    params = params_of()
    x, w, ct = arrays_of(((1, 3, 3, 1), (2, 2, 1, 1), params), 0)
    extra = {conv2d_p: {}, conv2d_input_vjp_p: {"input_hw": (3, 3)}, conv2d_weight_vjp_p: {"window": (2, 2)}}[primitive]
    ins = {conv2d_p: (x, w), conv2d_input_vjp_p: (ct, w), conv2d_weight_vjp_p: (x, ct)}[primitive]
    outs = primitive.bind(*ins, **params, **extra)
    for needed in ((True, False), (False, True)):
        cts = primitive.vjp(outs, ins, outs, needed, **params, **extra)
        assert tuple(a is not None for a in cts) == needed


@given(case=tiny, seed=seeds)
def test_parts_that_split_names_give_parts_of_the_result(case, seed):
    x, w, ct = arrays_of(case, seed, np.float64)
    for primitive, ins, extra in (
        (conv2d_p, (x, w), {}),
        (conv2d_input_vjp_p, (ct, w), {"input_hw": x.shape[1:3]}),
        (conv2d_weight_vjp_p, (x, ct), {"window": w.shape[:2]}),
    ):
        (whole,) = primitive.bind(*ins, **case[2], **extra)
        for split in primitive.split(*map(aval_of, ins), **case[2], **extra):
            (axis,) = split.outs
            some = [a if along is None else a.take([0], along) for a, along in zip(ins, split.ins, strict=True)]
            (part,) = primitive.bind(*some, **case[2], **extra)
            np.testing.assert_allclose(part, whole.take([0], axis), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 4])
def test_numpy_rules_allocate_nothing_of_size(groups):
    case = (8, 32, 32, 64), (3, 3, 64 // groups, 64), params_of(padding=ONES, groups=groups)
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


@given(case=convolutions())
def test_gradients_cost_as_many_multiply_adds_as_the_convolution(case):
    x, w, ct = (aval_of(a) for a in arrays_of(case, 0))
    y_cost = conv2d_p.cost(x, w, **case[2])
    assert y_cost.flops == 2 * ct.size * w.shape[0] * w.shape[1] * w.shape[2]
    assert conv2d_input_vjp_p.cost(ct, w, input_hw=x.shape[1:3], **case[2]) == y_cost
    assert conv2d_weight_vjp_p.cost(x, ct, window=w.shape[:2], **case[2]) == y_cost


@pytest.mark.parametrize(
    ("size", "window", "stride", "sides"),
    [
        (5, 3, 1, (1, 1)),
        (5, 3, 2, (1, 1)),
        (4, 3, 2, (0, 1)),
        (224, 7, 2, (2, 3)),
        (7, 1, 2, (0, 0)),
        (4, 4, 1, (1, 2)),
    ],
)
def test_same_padding_puts_the_odd_zero_below_and_right(size, window, stride, sides):
    assert canonical_padding("SAME", (size, size), (window, window), (stride, stride)) == (sides, sides)
    windows = Windows((window, window), (stride, stride), (sides, sides))
    assert windows.counts((size, size))[0] == -(-size // stride)


def test_the_op_takes_one_stride_for_both_axes_and_names_for_padding():
    x, w = np.ones((1, 6, 6, 2), np.float32), np.ones((3, 3, 2, 4), np.float32)
    assert conv2d(x, w).shape == (1, 6, 6, 4)
    assert conv2d(x, w, 2, "VALID").shape == (1, 2, 2, 4)
    assert conv2d(x, w, strides=(1, 2), padding=((0, 1), (2, 3))).shape == (1, 5, 5, 4)
    assert conv2d(x, w, dilation=2).shape == (1, 6, 6, 4)  # "SAME" counts the positions between the taps
    assert conv2d(x, w, 1, "VALID", dilation=(2, 1)).shape == (1, 2, 4, 4)
    assert conv2d(x, w[:, :, :1], groups=2).shape == (1, 6, 6, 4)


def aval(*shape, dtype="float32"):
    return ShapedArray(shape, dtype)


X, W, CT = aval(1, 5, 5, 2), aval(3, 3, 2, 4), aval(1, 3, 3, 4)
VALID = params_of()


@pytest.mark.parametrize(
    ("x", "w", "params", "error", "message"),
    [
        (aval(5, 5, 2), W, VALID, TypeError, r"conv2d: inputs must be \[N, H, W, C\] and .* got float32\[5,5,2\]"),
        (X, aval(3, 3, 2, 4, dtype="float64"), VALID, TypeError, r"conv2d: .* one dtype .* use astype"),
        (X, aval(3, 3, 3, 4), VALID, TypeError, r"conv2d: .* channels that w sums over \(3\), got float32\[1,5,5,2\]"),
        (
            X,
            aval(6, 3, 2, 4),
            VALID,
            TypeError,
            r"conv2d: the window must .* fit into the padded input, got .*\(6, 3\)",
        ),
        (X, aval(0, 3, 2, 4), VALID, TypeError, r"conv2d: the window must have taps"),
        (X, W, {**VALID, "strides": (0, 1)}, ValueError, r"conv2d: strides must be at least 1, got \(0, 1\)"),
        (X, W, {**VALID, "dilation": (1, 0)}, ValueError, r"conv2d: dilation must be at least 1, got \(1, 0\)"),
        (X, W, {**VALID, "dilation": (3, 1)}, TypeError, r"conv2d: the window .* \(3, 3\) with dilation \(3, 1\) on"),
        (X, W, {**VALID, "groups": 0}, ValueError, r"conv2d: groups must be at least 1, got 0"),
        (X, W, {**VALID, "groups": 2}, TypeError, r"conv2d: x must have groups \(2\) times the channels .* \(2\)"),
        (
            aval(1, 5, 5, 6),
            W,
            {**VALID, "groups": 3},
            TypeError,
            r"conv2d: w must have a multiple of groups \(3\) channels, got float32\[1,5,5,6\] and float32\[3,3,2,4\]",
        ),
        (X, W, {**VALID, "padding": ((0, -1), (0, 0))}, ValueError, r"conv2d: padding must be at least 0, .*use slice"),
    ],
)
def test_refusals_name_what_must_hold(x, w, params, error, message):
    with pytest.raises(error, match=message):
        conv2d_p.aval(x, w, **params)


def test_vjp_primitives_refuse_cotangents_of_another_convolution():
    with pytest.raises(TypeError, match=r"conv2d_input_vjp: ct must have shape \[N, 4, 4, 4\], got float32\[1,3,3,4\]"):
        conv2d_input_vjp_p.aval(CT, W, input_hw=(6, 6), **VALID)
    with pytest.raises(TypeError, match=r"conv2d_input_vjp: the window must"):
        conv2d_input_vjp_p.aval(CT, W, input_hw=(2, 2), **VALID)
    with pytest.raises(TypeError, match=r"conv2d_input_vjp: inputs must be \[N, OH, OW, K\]"):
        conv2d_input_vjp_p.aval(aval(3, 3, 4), W, input_hw=(5, 5), **VALID)
    with pytest.raises(
        TypeError, match=r"conv2d_weight_vjp: ct must have shape \[1, 4, 4, K\], got float32\[1,3,3,4\]"
    ):
        conv2d_weight_vjp_p.aval(X, CT, window=(2, 2), **VALID)
    with pytest.raises(TypeError, match=r"conv2d_weight_vjp: inputs must be .* \[N, OH, OW, K\]"):
        conv2d_weight_vjp_p.aval(X, aval(3, 3, 4), window=(2, 2), **VALID)
    with pytest.raises(TypeError, match=r"conv2d_input_vjp: w must have a multiple of groups \(3\) channels"):
        conv2d_input_vjp_p.aval(CT, W, input_hw=(5, 5), **{**VALID, "groups": 3})
    with pytest.raises(TypeError, match=r"conv2d_weight_vjp: x must have a multiple of groups \(4\) channels"):
        conv2d_weight_vjp_p.aval(X, CT, window=(3, 3), **{**VALID, "groups": 4})
    with pytest.raises(TypeError, match=r"conv2d_weight_vjp: ct must have a multiple of groups \(2\) channels"):
        conv2d_weight_vjp_p.aval(X, aval(1, 3, 3, 3), window=(3, 3), **{**VALID, "groups": 2})
    with pytest.raises(ValueError, match=r"conv2d_weight_vjp: strides must be at least 1"):
        conv2d_weight_vjp_p.aval(X, CT, window=(3, 3), **{**VALID, "strides": (0, 1)})


@pytest.mark.parametrize(
    ("strides", "padding", "message"),
    [
        (0, "SAME", r"conv2d: strides must be one or two ints of at least 1, got 0"),
        ((1, 2, 3), "SAME", r"conv2d: strides must be one or two ints of at least 1, got \(1, 2, 3\)"),
        (1, "FULL", r"conv2d: padding must be \"SAME\", \"VALID\" or .* got 'FULL'"),
        (1, ((1, 1), (1, -1)), r"conv2d: padding must be .* of ints >= 0, got \(\(1, 1\), \(1, -1\)\)"),
        (1, 3, r"conv2d: padding must be .* got 3"),
    ],
)
def test_the_op_refuses_strides_and_padding_that_mean_nothing(strides, padding, message):
    with pytest.raises(ValueError, match=message):
        conv2d(np.ones((1, 5, 5, 2), np.float32), np.ones((3, 3, 2, 4), np.float32), strides, padding)


def test_the_op_refuses_arrays_without_four_axes():
    with pytest.raises(TypeError, match=r"conv2d: x must be \[N, H, W, C\] .* use reshape"):
        conv2d(np.ones((5, 5, 2), np.float32), np.ones((3, 3, 2, 4), np.float32))
