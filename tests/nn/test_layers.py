"""What holds for every layer."""

import attrs
import numpy as np
import pytest

from lwps import nn, tracing, tree
from lwps.core import ShapedArray, aval_of, check_program
from lwps.ops import random

from .layers import IMAGES, LAYERS, ROWS, normal, program_of, run

of_each_layer = pytest.mark.parametrize(("layer", "aval"), LAYERS.values(), ids=LAYERS)


@of_each_layer
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_init_gives_the_aval_of_what_apply_gives(layer, aval, train, dtype):
    aval = attrs.evolve(aval, dtype=dtype)
    params, state, out = layer.init(random.key(0), aval)
    y, new_state = layer.apply(params, state, normal(aval), train=train, key=random.key(1))
    assert aval_of(y) == out
    assert tree.map(aval_of, new_state) == tree.map(aval_of, state)
    assert {x.dtype.name for x in tree.leaves((params, state))} <= {dtype}
    assert np.isfinite(y).all()


@of_each_layer
def test_init_outside_a_trace_gives_numpy_arrays_equal_for_equal_keys(layer, aval):
    first, again, other = (tree.leaves(layer.init(random.key(k), aval)[:2]) for k in (3, 3, 4))
    assert all(type(x) is np.ndarray for x in first)
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    assert [x.shape for x in first] == [x.shape for x in other]


@of_each_layer
def test_evaluation_leaves_the_state_as_it_is(layer, aval):
    params, state, _ = layer.init(random.key(0), aval)
    _, new_state = layer.apply(params, state, normal(aval), train=False)
    assert all(x is y for x, y in zip(tree.leaves(state), tree.leaves(new_state), strict=True))


@of_each_layer
def test_apply_can_be_traced(layer, aval):
    check_program(program_of(layer, aval, train=False))


def test_init_can_be_traced():
    layer, aval = LAYERS["serial"]
    program = tracing.trace(lambda key: layer.init(key, aval)[:2], random.key(0))
    check_program(program)
    assert {eqn.layer for eqn in program.eqns if eqn.primitive.name == "random_bits"} == {"0"}


@pytest.mark.parametrize(
    ("layer", "x", "message"),
    [
        (nn.linear(2), ShapedArray((), "float32"), r"linear: x must have at least one axis, got float32\[\]"),
        (
            nn.linear(2),
            ShapedArray((2, 3), "uint8"),
            r"linear: x must be float32 or float64, got uint8\[2,3\]; use astype",
        ),
        (nn.conv2d(2, 3), ROWS, r"conv2d: x must be images \[N, H, W, C\], got float32\[4,7\]"),
        (
            nn.conv2d(2, 3),
            ShapedArray((1, 4, 4, 1), "uint8"),
            r"conv2d: x must be float32 or float64, got uint8\[1,4,4,1\]",
        ),
        (nn.batch_norm(), ShapedArray((), "float32"), r"batch_norm: x must have at least one axis, got float32\[\]"),
        (nn.batch_norm(), ShapedArray((2, 3), "int32"), r"batch_norm: x must be float32 or float64, got int32\[2,3\]"),
        (nn.layer_norm(), ShapedArray((), "float32"), r"layer_norm: x must have at least one axis, got float32\[\]"),
        (nn.layer_norm(), ShapedArray((2, 3), "int32"), r"layer_norm: x must be float32 or float64, got int32\[2,3\]"),
        (nn.group_norm(2), ShapedArray((4,), "float32"), r"group_norm: x must have a batch axis .* got float32\[4\]"),
        (
            nn.instance_norm(),
            ShapedArray((2, 3), "int32"),
            r"instance_norm: x must be float32 or float64, got int32\[2,3\]",
        ),
        (nn.rms_norm(), ShapedArray((2, 3), "uint8"), r"rms_norm: x must be float32 or float64, got uint8\[2,3\]"),
        (
            nn.multi_head_attention(2),
            ROWS,
            r"multi_head_attention: x must be sequences \[N, T, C\], got float32\[4,7\]",
        ),
        (
            nn.transformer_block(2),
            ShapedArray((), "float32"),
            r"transformer_block: x must be sequences \[N, T, C\], got float32\[\]",
        ),
        (
            nn.position_embedding(3),
            ShapedArray((2, 4, 5), "float32"),
            r"position_embedding: x must have at most 3 positions, got float32\[2,4,5\]; raise length",
        ),
        (
            nn.position_embedding(9),
            ShapedArray((2, 4, 5), "int32"),
            r"position_embedding: x must be float32 or float64, got int32\[2,4,5\]",
        ),
        (nn.flatten(), ShapedArray((), "float32"), r"flatten: x must have a batch axis, got float32\[\]"),
        (nn.conv2d(4, 3, groups=2), IMAGES, r"conv2d: x must have a multiple of groups \(2\) channels, got 3"),
        (nn.depthwise_conv2d(3), ROWS, r"depthwise_conv2d: x must be images \[N, H, W, C\], got float32\[4,7\]"),
        (nn.conv2d_transpose(4, 3), ROWS, r"conv2d_transpose: x must be images \[N, H, W, C\], got float32\[4,7\]"),
        (nn.conv1d(4, 3), IMAGES, r"conv1d: x must be sequences \[N, T, C\], got float32\[2,6,5,3\]; reshape it"),
        (nn.conv1d_transpose(4, 3), ROWS, r"conv1d_transpose: x must be sequences \[N, T, C\], got float32\[4,7\]"),
        (nn.max_pool(2), ROWS, r"max_pool: .* got float32\[4,7\]"),
        (nn.avg_pool(2), ROWS, r"avg_pool: .* got float32\[4,7\]"),
        (nn.max_pool1d(2), ROWS, r"max_pool1d: x must be \[N, T, C\], got float32\[4,7\]"),
        (nn.avg_pool1d(2), ROWS, r"avg_pool1d: x must be \[N, T, C\], got float32\[4,7\]"),
        (nn.global_max_pool(), ROWS, r"global_max_pool: .* got float32\[4,7\]"),
        (nn.global_avg_pool(), ROWS, r"global_avg_pool: .* got float32\[4,7\]"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_at_init(layer, x, message):
    with pytest.raises(TypeError, match=message):
        layer.init(random.key(0), x)


@pytest.mark.parametrize(
    ("layer", "aval", "x", "message"),
    [
        (nn.linear(2), ROWS, np.zeros((), np.float32), r"linear: x must have at least one axis, got float32\[\]"),
        (nn.linear(2), ROWS, np.zeros((4, 6), np.float32), r"matmul: .* got .*float32\[4,6\]"),
        (nn.conv2d(2, 3), IMAGES, np.zeros((1, 4, 4, 3), np.uint8), r"conv2d: x must be float32 or float64, got uint8"),
        (nn.conv2d(2, 3), IMAGES, np.zeros((1, 4, 4, 2), np.float32), r"conv2d: .* got .*float32\[1,4,4,2\]"),
        (
            nn.batch_norm(),
            ROWS,
            np.zeros((1, 7), np.float32),
            r"batch_norm: training must have at least two .* got float32\[1,7\]",
        ),
    ],
)
def test_an_input_that_does_not_fit_is_refused_at_apply(layer, aval, x, message):
    params, state, _ = layer.init(random.key(0), aval)
    with pytest.raises(TypeError, match=message):
        layer.apply(params, state, x, train=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.linear(0), "linear: features must be at least 1, got 0"),
        (lambda: nn.position_embedding(0), "position_embedding: length must be at least 1, got 0"),
        (
            lambda: nn.multi_head_attention(4, key_heads=3),
            "multi_head_attention: heads must be at least 1 and a multiple of key_heads, got 4 and 3",
        ),
        (
            lambda: nn.multi_head_attention(3).init(random.key(0), ShapedArray((1, 2, 4), "float32")),
            "multi_head_attention: heads must divide the 4 features of x, got 3",
        ),
        (lambda: nn.conv2d(0, 3), "conv2d: features must be at least 1, got 0"),
        (
            lambda: nn.conv2d(1, (3, 0)),
            r"conv2d: kernel_size must be a number of at least 1 or two of them, got \(3, 0\)",
        ),
        (lambda: nn.conv2d(1, 3, strides=(1, 2, 3)), r"conv2d: strides must be .* got \(1, 2, 3\)"),
        (lambda: nn.conv2d(4, 3, dilation=0), "conv2d: dilation must be a number of at least 1 or two of them, got 0"),
        (lambda: nn.conv2d(4, 3, groups=3), "conv2d: features must be a multiple of groups, got 4 and 3"),
        (lambda: nn.conv2d(4, 3, groups=0), "conv2d: features must be a multiple of groups, got 4 and 0"),
        (lambda: nn.depthwise_conv2d(3, multiplier=0), "depthwise_conv2d: multiplier must be at least 1, got 0"),
        (lambda: nn.depthwise_conv2d(0), "depthwise_conv2d: kernel_size must be a number of at least 1 .* got 0"),
        (lambda: nn.conv2d_transpose(0, 3), "conv2d_transpose: features must be at least 1, got 0"),
        (lambda: nn.conv1d(4, 0), "conv1d: kernel_size must be a number of at least 1, got 0"),
        (lambda: nn.conv1d_transpose(4, (3,)), r"conv1d_transpose: kernel_size must be a number .* got \(3,\)"),
        (lambda: nn.max_pool(0), "max_pool: window must be .* got 0"),
        (lambda: nn.avg_pool(2, strides=-1), "avg_pool: strides must be .* got -1"),
        (lambda: nn.max_pool(2, strides=-1), "max_pool: strides must be .* got -1"),
        (lambda: nn.batch_norm(decay=1.5), r"batch_norm: decay must be from 0 to 1, got 1\.5"),
        (lambda: nn.dropout(1.0), r"dropout: rate must be from 0 to below 1, got 1\.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_flatten_keeps_the_order_of_elements():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(run(nn.flatten(), x)[0], x.reshape(2, 12))
    assert run(nn.flatten(), np.zeros((0, 3, 4), np.float32))[0].shape == (0, 12)
