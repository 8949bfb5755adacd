"""Every primitive with an ONNX form computes there what it computes here, in every order of axes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lwps
import lwps.numpy as lnp
from lwps.ops import (
    activation,
    attention,
    conv,
    dynamic,
    elementwise,
    group_norm,
    layer_norm,
    logsumexp,
    overwrite,
    pool,
    resize,
    scan,
    scatter,
    shape,
    softmax,
    sort,
)  # fmt: skip
from lwps.ops.concatenate import concatenate
from lwps.ops.matmul import matmul_p
from tests.export.agreement import agrees, exported, images, normals, operators, run

UNARY = [
    lnp.exp, lnp.sqrt, lnp.log, lnp.expm1, lnp.log1p, lnp.log2, elementwise.rsqrt, lnp.tanh, lnp.sin, lnp.cos, lnp.tan,
    elementwise.relu, elementwise.neg, lnp.abs, lnp.floor, lnp.ceil, lnp.rint, lnp.trunc, lnp.sign, activation.erf,
    activation.sigmoid, activation.silu, activation.softplus, activation.gelu, activation.leaky_relu, activation.elu,
]  # fmt: skip
BINARY = [
    lnp.add, lnp.subtract, lnp.multiply, lnp.divide, lnp.maximum, lnp.minimum, lnp.remainder, lnp.floor_divide,
    lnp.logaddexp, lnp.fmod, lnp.hypot,
]  # fmt: skip
COMPARISONS = [
    elementwise.equal,
    elementwise.not_equal,
    elementwise.less,
    elementwise.less_equal,
    elementwise.greater,
    elementwise.greater_equal,
]
few = settings(max_examples=15)  # each builds a model and a session
by_name = {"ids": lambda fn: fn.__name__}


@pytest.mark.parametrize("fn", UNARY, **by_name)
def test_functions_of_floats(fn):
    agrees(lambda x: fn(x), np.abs(images()) + 0.1)
    if fn not in (lnp.sqrt, lnp.log, lnp.log1p, lnp.log2, elementwise.rsqrt):
        agrees(lambda x: fn(x), 3 * images())


def test_functions_of_other_ranges():
    x = np.linspace(-1, 1, 8, dtype=np.float32)
    agrees(
        lambda x: (lnp.arcsin(x), lnp.arccos(x), lnp.arctan(x), lnp.arcsinh(x), activation.gelu(x, approximate=False)),
        x,
    )
    agrees(lambda x: (x**2, x**-3, lnp.clip(x, -0.5, 0.2), lnp.power(lnp.abs(x), 0.3)), x)
    agrees(lambda x: (lnp.arctanh(x * 0.9), lnp.arccosh(x + 2)), x)
    agrees(lambda x, y: lnp.clip(x, y, 2.0), images(), normals(4))


def test_integers():
    x, y = np.int32([7, -7, 8, -8, 0]), np.int32([3, 3, -3, -5, 2])
    agrees(lambda x, y: (x // y, x % y, lnp.fmod(x, y), x**2, lnp.abs(x), lnp.sign(x), x & y, x | y, x ^ y, ~x), x, y)
    agrees(lambda x, y: ((x > 0) ^ (y > 0), (x > 0) & (y > 0), ~(x > 0)), x, y)


@pytest.mark.parametrize("fn", BINARY, **by_name)
@pytest.mark.parametrize("y", [normals(4), normals(), normals(8, 1, 4), normals(3, 1, 1, 4)], ids=np.shape)
def test_functions_of_two_images_and_what_broadcasts(fn, y):
    agrees(lambda x, y: (fn(x, y), fn(y, x)), images(), y)
    weights = (normals(3, 3, 4, 4), y)
    agrees(lambda w, y, x: fn(conv.conv2d(x, w), y), images(), weights=weights, rtol=1e-3, atol=1e-4)
    # read in the order NCHW beside something that is not known before
    agrees(lambda w, x, y: fn(conv.conv2d(x, w), y), images(), y, weights=weights[:1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("fn", COMPARISONS, **by_name)
def test_comparisons_choose(fn):
    x, y = np.round(images()), np.round(normals(4))
    agrees(lambda x, y: lnp.where(fn(x, y), x, y * 2), x, y)


def test_logic():
    def fn(x, y):
        a, b = x > 0, y > 0
        return elementwise.logical_or(elementwise.logical_and(a, b), elementwise.logical_not(b))

    agrees(fn, images(), normals(4))


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool", "uint8"])
def test_dtypes(dtype):
    agrees(lambda x: elementwise.astype(x, dtype), np.abs(images()) * 3)
    agrees(
        lambda x: elementwise.astype(x, "float32") + 1, images().astype(dtype) if dtype != "uint8" else np.uint8([3])
    )


def test_values_from_nothing_and_repeated_ones():
    large = 5000  # too large to be kept in the model
    agrees(lambda x: x + elementwise.full((large,), 2.5), normals(large))
    agrees(lambda x: elementwise.broadcast_to(x, (7, 3, 4)), normals(3, 1))


def test_copies_and_inputs_as_outputs():
    agrees(lambda x: (x, x, elementwise.stop_gradient(x), elementwise.copy(x) + 0), images())


def test_constants_as_outputs():
    agrees(lambda w, x: (w, x + w, w), images(), weights=(normals(4),))


# --- arrays ---------------------------------------------------------------------------------------------


@few
@given(axes=st.permutations(range(4)), back=st.permutations(range(4)))
def test_transposes(axes, back):
    agrees(lambda x: lnp.exp(x.transpose(axes)).transpose(back) * normals(1, 1), images(2, 3, 4) / 3)


def test_transposes_that_cancel_are_none():
    model = agrees(lambda x: lnp.tanh(x.transpose((0, 3, 1, 2))).transpose((0, 2, 3, 1)), images())
    assert operators(model) == {"Tanh": 1}


def test_reshapes_and_slices():
    agrees(lambda x: x.reshape((3, 16, 16))[:, 2:9:3, 1:], images())
    agrees(lambda x: x[1:, ::2, 3, None], images())
    agrees(lambda x: x.reshape((0, 5, 0)), normals(0, 3))


@few
@given(data=st.data())
def test_slices_in_any_order_of_axes(data):
    rows = [data.draw(st.tuples(st.integers(0, 2), st.integers(3, n), st.integers(1, 3))) for n in (3, 8, 8, 4)]
    start, stop, strides = zip(*rows, strict=True)
    fn = lambda w, x: shape.slice(conv.conv2d(x, w), start, stop, strides)
    agrees(fn, images(), weights=(normals(1, 1, 4, 4),), rtol=1e-4, atol=1e-5)


@few
@given(low=st.tuples(*[st.integers(0, 2)] * 4), high=st.tuples(*[st.integers(0, 2)] * 4))
def test_pads_in_any_order_of_axes(low, high):
    fn = lambda w, x: shape.pad(conv.conv2d(x, w), low, high, 7)
    agrees(fn, images(), weights=(normals(1, 1, 4, 4),), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", range(4))
def test_concatenation(axis):
    fn = lambda w, x: concatenate([conv.conv2d(x, w), x, elementwise.full(x.shape, 2)], axis)
    agrees(fn, images(2, 4, 4), weights=(normals(1, 1, 4, 4),), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    "x", [normals(4, 5, 6), np.arange(120, dtype=np.int32).reshape(4, 5, 6)], ids=lambda x: x.dtype
)
def test_picks(axis, x):
    """An index of no row gives what the user said; where nothing was said it is the runtime's error."""
    inside, any_ = np.int32([[0, 3, -1], [1, -4, 2]]), np.int32([[0, 3, -1], [1, -9, 7]])
    agrees(lambda w, i: lnp.take(w, i, axis), inside, weights=(x,))
    agrees(lambda w, i: lnp.take(w, i, axis, fill_value=7), any_, weights=(x,))
    agrees(lambda x, i: lnp.take(x, i, axis, mode="clip"), x, any_)
    along = np.int32([[[0, 3, -1]]]).swapaxes(2, axis)
    agrees(lambda x, i: lnp.take_along_axis(x, i, axis), x, along)
    agrees(lambda x, i: lnp.take_along_axis(x, i - 3, axis, fill_value=7), x, along)
    with pytest.raises(Exception, match="out of data bounds"):
        run(exported(lambda w, i: lnp.take(w, i, axis), any_, weights=(x,)), any_)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sums_by_index(axis):
    """An index of no row is left out."""
    x = normals(4, 4, 4)
    agrees(lambda x, i: lwps.segment_sum(x, i, 3), x, np.int32([2, -1, 3, 0]))
    params = {"axis": axis, "size": 3}
    fn = lambda x, i: scatter.scatter_add_p.bind(x, i, **params)[0]
    agrees(fn, normals(2, 4, 4, 3).swapaxes(3, axis), np.int32([2, -1, 3]))
    along = lambda x, i: scatter.scatter_add_along_axis_p.bind(x, i, **params)[0]
    agrees(along, x, np.int32(np.arange(64).reshape(4, 4, 4) % 5 - 1))


@given(at=st.tuples(*[st.integers(-12, 12)] * 3))
@few
def test_boxes(at):
    starts = np.int32(at)
    agrees(lambda x, i: dynamic.dynamic_slice(x, i, (2, 3, 1)), normals(4, 5, 6), starts)
    agrees(lambda x, y, i: dynamic.dynamic_update_slice(x, y, i), normals(4, 5, 6), normals(2, 5, 3), starts)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rows_written_by_index(axis):
    """An index of no row is left out; of two rows for one place the last one stays."""
    places = np.int32([[2, -1, 9], [0, 2, -5]])
    fn = lambda x, y, i: overwrite.overwrite_p.bind(x, y, i, axis=axis)[0]
    y = np.moveaxis(normals(2, 3, 4, 4), (0, 1), (axis, axis + 1))
    agrees(fn, normals(4, 4, 4), np.ascontiguousarray(y), places)


def test_orders_of_elements():
    agrees(lambda x: (lnp.flip(x, 1), lnp.flip(x), lnp.roll(x, (2, -1), (1, 3)), lnp.roll(x, 5)), images())
    agrees(lambda x: lnp.roll(lnp.flip(pool.max_pool(x, 2), (0, 2)), 1, 2), images(), dynamic=True)


@pytest.mark.parametrize("axis", [0, -1])
def test_orders(axis):
    x = np.round(normals(4, 9))  # equal elements stay in order
    agrees(lambda x: (lnp.argsort(x, axis), sort.argsort(x, axis, descending=True), lnp.sort(x, axis)), x)
    agrees(lambda x: sort.top_k(x, 3, axis), x)
    agrees(lambda x: sort.top_k(pool.max_pool(x, 1), 2), images(), dynamic=True)


def test_one_hot():
    agrees(lambda i: lwps.one_hot(i, 4), np.int32([0, 3, -1, 4]))


@pytest.mark.parametrize("axes", [None, 0, 3, (1, 2), (0, 3), (1, 2, 3)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(axes, keepdims):
    def fn(x):
        found = [reduce(x, axes, keepdims=keepdims) for reduce in (lnp.sum, lnp.mean, lnp.max, lnp.min)]
        return *found, lnp.prod(1 + x / 100, axes, keepdims=keepdims)

    agrees(fn, images())
    agrees(lambda w, x: fn(conv.conv2d(x, w)), images(), weights=(normals(1, 1, 4, 4),), rtol=1e-4, atol=1e-4)


def test_counts_add_up_as_int32():
    agrees(lambda x: (lnp.sum(x > 0, -1), lnp.any(x > 1, 1), lnp.all(x > -2, (0, 2)), lnp.prod(x > 0)), images())


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_argmax_takes_the_first(axis):
    agrees(lambda x: lnp.argmax(x, axis), np.round(images()))
    agrees(lambda x: lnp.argmin(pool.max_pool(x, 2), axis), np.round(images()))


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_sums_along_an_axis(axis):
    agrees(lambda x: (lnp.cumsum(x, axis), scan.cumsum(x, axis, reverse=True)), images(), rtol=1e-4, atol=1e-5)
    agrees(lambda x: logsumexp.logsumexp(pool.max_pool(x, 2) * 40, axis), images())


# --- products -------------------------------------------------------------------------------------------


convolutions = given(
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.one_of(st.sampled_from(["SAME", "VALID"]), st.just(((2, 0), (1, 3)))),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    groups=st.integers(1, 2),
)


@few
@convolutions
def test_convolutions(window, strides, padding, dilation, groups):
    fn = lambda w, b, x: conv.conv2d(x, w, strides, padding, dilation, groups) + b
    weights = normals(*window, 4 // groups, 6), normals(6)
    model = agrees(fn, images(2, 7, 4), weights=weights, rtol=1e-4, atol=1e-4)
    assert operators(model) == {"Transpose": 2, "Conv": 1}


@few
@convolutions
def test_convolutions_turned_round(window, strides, padding, dilation, groups):
    x, w = images(2, 7, 4), normals(*window, 4 // groups, 6)
    params = lwps.trace(lambda: conv.conv2d(x, w, strides, padding, dilation, groups)).eqns[0].params
    ct = normals(*conv.conv2d_p.bind(x, w, **params)[0].shape)
    fn = lambda w, b, ct: conv.conv2d_input_vjp_p.bind(ct, w, input_hw=(7, 7), **params)[0] + b
    agrees(fn, ct, weights=(w, normals(4)), rtol=1e-4, atol=1e-4)


def test_a_convolution_with_weights_that_come_as_input():
    agrees(lambda x, w: conv.conv2d(x, w, 2), images(), normals(3, 3, 4, 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("transpose_x", [False, True])
@pytest.mark.parametrize("transpose_y", [False, True])
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_matrix_products(transpose_x, transpose_y, batch):
    x = normals(*batch, *((4, 5) if transpose_x else (5, 4)))
    y = normals(*batch, *((6, 4) if transpose_y else (4, 6)))
    b = normals(6)
    fn = lambda x, y: matmul_p.bind(x, y, transpose_x=transpose_x, transpose_y=transpose_y)[0]
    agrees(fn, x, y)
    agrees(lambda y, b, x: fn(x, y) + b, x, weights=(y, b))
    agrees(lambda y, x: fn(x, y), x, weights=(y.reshape(-1, *y.shape[-2:])[0],))


def test_a_matrix_product_with_a_shift_is_one_operator():
    fn = lambda w, b, x: x @ w + b
    assert operators(agrees(fn, normals(3, 4), weights=(normals(4, 5), normals(5)))) == {"Gemm": 1}


@few
@given(window=st.tuples(st.integers(1, 4), st.integers(1, 4)), strides=st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_pools(window, strides):
    agrees(lambda x: pool.max_pool(x, window, strides, "SAME"), images(2, 7, 3))


@few
@given(size=st.tuples(st.integers(1, 21), st.integers(1, 21)), method=st.sampled_from(["nearest", "bilinear"]))
def test_images_in_another_size(size, method):
    fn = lambda x: resize.resize(x, (x.shape[0], *size, 4), method)
    agrees(fn, images(2, 7), rtol=1e-4, atol=1e-4)
    agrees(fn, images(3, 7), dynamic=True, rtol=1e-4, atol=1e-4)


def test_images_in_twice_the_size_are_one_operator():
    fn = lambda w, x: conv.conv2d(resize.resize(conv.conv2d(x, w), (x.shape[0], 16, 16, 4), "nearest"), w)
    model = agrees(fn, images(), weights=(normals(1, 1, 4, 4),), dynamic=True, rtol=1e-3, atol=1e-4)
    assert operators(model) == {"Transpose": 2, "Conv": 2, "Resize": 1}


def test_the_mean_of_an_image_is_one_operator():
    assert operators(agrees(pool.global_avg_pool, images())) == {"ReduceMean": 1}


@pytest.mark.parametrize("fn", [softmax.softmax, softmax.log_softmax], **by_name)
@pytest.mark.parametrize("axis", [-1, 1])
def test_rows(fn, axis):
    agrees(lambda x: fn(x, axis), 50 * normals(3, 4, 5), atol=1e-5)
    agrees(lambda x: fn(pool.max_pool(x, 1), axis), images(), atol=1e-5)


@pytest.mark.parametrize("fn", [layer_norm.layer_norm, layer_norm.rms_norm], **by_name)
def test_norms(fn):
    agrees(lambda x: fn(x * 3 + 1), normals(3, 4, 5), rtol=1e-4, atol=1e-5)
    agrees(lambda s, x: fn(x, s, axis=(-2, -1), eps=1e-3), normals(3, 4, 5), weights=(normals(4, 5),), rtol=1e-4)
    agrees(lambda x: fn(pool.max_pool(x, 1)), images(), dynamic=True, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm(groups):
    s, b = normals(4), normals(4, 1)[:, 0]
    fn = lambda s, b, x: group_norm.group_norm(x, groups, s, b)
    agrees(fn, images(), weights=(s, b), dynamic=True, rtol=1e-4, atol=1e-5)
    agrees(lambda s, b, x: fn(s, b, pool.max_pool(x, 2)), images(), weights=(s, b), rtol=1e-4, atol=1e-5)
    agrees(lambda x, s: fn(s, s, x), normals(3, 7, 4), s, rtol=1e-4, atol=1e-5)
    agrees(lambda x: group_norm.group_norm(x * 3, groups), normals(3, 8), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("groups", [4, 2, 1])
@pytest.mark.parametrize("causal", [False, True])
def test_attention(groups, causal):
    q, k, v = normals(3, 5, 4, 6), normals(3, 7, groups, 6), normals(3, 7, groups, 6, seed=1)
    seen, added = normals(3, 1, 5, 7) > 0.5, normals(4, 5, 7)
    seen[1] = False  # these queries see no key
    close = {"rtol": 1e-4, "atol": 1e-5}
    agrees(lambda q, k, v: attention.attention(q, k, v, causal), q, k, v, dynamic=True, **close)
    agrees(lambda q, k, v, m: attention.attention(q, k, v, causal, m), q, k, v, seen, dynamic=True, **close)
    fn = lambda m, q, k, v: attention.attention(q, k, v, causal, m, scale=-0.3)
    agrees(fn, q, k, v, weights=(added,), dynamic=True, **close)
    agrees(lambda q, k, v: attention.attention(q, k, v, causal), q[0], k[0], v[0], **close)


def test_attention_between_products_turns_only_what_it_must():
    def fn(wq, wk, wv, wo, x):
        n, t, d = x.shape
        q, k, v = ((x @ w).reshape((n, t, 2, d // 2)) for w in (wq, wk, wv))
        return attention.attention(q, k, v, causal=True).reshape((n, t, d)) @ wo

    weights = tuple(normals(6, 6, seed=k) for k in range(4))
    model = agrees(fn, normals(3, 5, 6), weights=weights, dynamic=True, rtol=1e-3, atol=1e-4)
    assert operators(model)["Transpose"] == 4
