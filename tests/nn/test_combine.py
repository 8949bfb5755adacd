"""serial and residual: names, and what may go wrong between parts."""

import numpy as np
import pytest

from lwps import nn
from lwps.core import ShapedArray
from lwps.ops import random
from lwps.ops.elementwise import add, mul

from .layers import IMAGES, ROWS, normal, program_of, run


def test_parts_are_named_by_position_or_keyword():
    model = nn.serial(nn.linear(5), nn.relu(), head=nn.linear(2))
    params, state, out = model.init(random.key(0), ROWS)
    assert list(params) == list(state) == ["0", "1", "head"]
    assert out == ShapedArray((4, 2), "float32")


def test_a_serial_applies_its_parts_in_order():
    def plus(n):
        return nn.stateless(lambda x: add(x, n))

    x = np.ones(3, np.float32)
    assert (run(nn.serial(plus(1), plus(2), head=nn.stateless(lambda x: mul(x, 10))), x)[0] == 40).all()
    assert run(nn.serial(), x)[0] is x


def test_eqns_belong_to_the_layer_whose_path_leads_to_its_params():
    model = nn.serial(
        conv1=nn.conv2d(4, 3),
        layer1=nn.serial(
            nn.residual(nn.serial(conv1=nn.conv2d(8, 3), bn1=nn.batch_norm()), nn.serial(nn.conv2d(8, 1)))
        ),
        fc=nn.serial(nn.global_avg_pool(), nn.linear(2)),
    )
    program = program_of(model, IMAGES)
    where = {(eqn.primitive.name, eqn.layer) for eqn in program.eqns}
    assert where >= {
        ("conv2d", "conv1"),
        ("conv2d", "layer1/0/conv1"),
        ("batch_norm", "layer1/0/bn1"),
        ("conv2d", "layer1/0/downsample/0"),
        ("relu", "layer1/0"),
        ("matmul", "fc/1"),
    }
    assert {eqn.phase for eqn in program.eqns} == {"forward"}


def test_a_residual_adds_what_came_in():
    body = nn.serial(nn.stateless(lambda x: mul(x, -3)))
    x = np.float32([[1, -1]])
    np.testing.assert_array_equal(run(nn.residual(body), x)[0], [[0, 2]])
    np.testing.assert_array_equal(run(nn.residual(body, after=lambda x: x), x)[0], [[-2, 2]])
    shortcut = nn.stateless(lambda x: mul(x, 10))
    np.testing.assert_array_equal(run(nn.residual(body, shortcut), x)[0], [[7, 0]])


def test_the_state_of_body_and_shortcut_goes_on():
    layer = nn.residual(nn.serial(bn=nn.batch_norm()), nn.serial(nn.batch_norm()))
    _, state = run(layer, normal(ROWS) + 5, train=True)
    assert set(state) == {"bn", "downsample"}
    assert (state["bn"]["mean"] > 0.1).all()
    assert (state["downsample"]["0"]["mean"] > 0.1).all()


def test_branches_that_differ_are_refused():
    with pytest.raises(
        TypeError, match=r"residual: body and shortcut must give one aval, got float32\[4,3\] and float32\[4,7\]; give"
    ):
        nn.residual(nn.serial(nn.linear(3))).init(random.key(0), ROWS)


def test_a_body_with_the_shortcuts_name_is_refused():
    layer = nn.residual(nn.serial(downsample=nn.relu()), nn.relu())
    with pytest.raises(
        ValueError, match=r"residual: the body must not have a layer named 'downsample', got \['downsample'\]"
    ):
        layer.init(random.key(0), ROWS)


def test_an_error_says_in_which_layer():
    model = nn.serial(first=nn.relu(), second=nn.serial(nn.conv2d(3, 3)))
    with pytest.raises(TypeError, match="conv2d: x must be images") as caught:
        model.init(random.key(0), ROWS)
    assert caught.value.__notes__ == ["in layer 0", "in layer second"]


def test_params_of_another_model_are_refused():
    with pytest.raises(
        ValueError, match=r"serial: params must be a dict with the keys \['0', '1'\], got \['0'\]; use what init gave"
    ):
        nn.serial(nn.relu(), nn.relu()).apply({"0": {}}, {"0": {}}, normal(ROWS), train=False)


def test_skip_puts_the_body_behind_what_goes_in():
    layer = nn.skip(nn.conv2d(2, 3))
    params, state, out = layer.init(random.key(0), IMAGES)
    x = normal(IMAGES)
    y, _ = layer.apply(params, state, x, train=True)
    assert out.shape == y.shape == (*IMAGES.shape[:3], IMAGES.shape[3] + 2)
    np.testing.assert_array_equal(y[..., :-2], x)
    np.testing.assert_array_equal(y[..., -2:], nn.conv2d(2, 3).apply(params, state, x, train=True)[0])


def test_skip_refuses_a_body_that_changes_the_size():
    with pytest.raises(TypeError, match=r"skip: the body must keep all axes but the last, got float32\[2,3,3,2\] from"):
        nn.skip(nn.conv2d(2, 3, 2)).init(random.key(0), IMAGES)
