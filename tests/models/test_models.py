"""Models have the parameters, names and results of what they are named after."""

import functools

import numpy as np
import pytest

from lwps import models, optim, tracing, tree
from lwps.core import ShapedArray, check_program
from lwps.ops import random


def images(size, channels=3, batch=2):
    return ShapedArray((batch, size, size, channels), "float32")


@functools.cache
def initial(name):
    make, aval = {
        "resnet18": (models.resnet18, images(224)),
        "mobilenet_v2": (models.mobilenet_v2, images(224)),
    }[name]
    return make().init(random.key(0), aval)


def avals_of(model, aval):
    """Avals of params, state and result of a model, without computing them."""
    out = None

    def init(key):
        nonlocal out
        params, state, out = model.init(key, aval)
        return params, state

    program = tracing.trace(init, random.key(0))
    return *tree.unflatten(program.out_tree, [v.aval for v in program.outputs]), out


@pytest.mark.parametrize(
    ("model", "aval", "count", "result"),
    [
        # those of torchvision's models of the same name
        (models.resnet18(), images(224), 11_689_512, (2, 1000)),
        (models.resnet34(), images(224), 21_797_672, (2, 1000)),
        (models.resnet50(), images(224), 25_557_032, (2, 1000)),
        (models.resnet101(), images(224), 44_549_160, (2, 1000)),
        (models.resnet152(), images(224), 60_192_808, (2, 1000)),
        (models.resnext50(), images(224), 25_028_904, (2, 1000)),
        (models.mobilenet_v2(), images(224), 3_504_872, (2, 1000)),
        (models.mobilenet_v2(width=0.75), images(224), 2_636_424, (2, 1000)),
        (models.lenet5(), images(28, 1), 61_706, (2, 10)),
        (models.mlp((30, 20, 10)), images(8, 1), 64 * 30 + 30 + 30 * 20 + 20 + 20 * 10 + 10, (2, 10)),
        (models.unet(2), images(64), 482_754, (2, 64, 64, 2)),
        (models.conv_autoencoder(), images(28, 1), 14_409, (2, 28, 28, 1)),
    ],
)
def test_parameter_counts(model, aval, count, result):
    params, _, out = avals_of(model, aval)
    assert sum(p.size for p in tree.leaves(params)) == count
    assert out.shape == result


def unet_parameters(widths, channels, classes):
    """Counted level by level: two 3x3 convolutions with normalisation, twice but at the bottom; 2x2 ones up."""
    count, before = 0, channels
    for k, width in enumerate(widths):
        count += 9 * before * width + 9 * width * width + 4 * width
        if k < len(widths) - 1:
            count += 4 * widths[k + 1] * width + width  # up
            count += 9 * 2 * width * width + 9 * width * width + 4 * width  # merge
        before = width
    return count + widths[0] * classes + classes


@pytest.mark.parametrize("widths", [(8,), (4, 8), (16, 32, 64, 128)])
def test_unet_has_the_levels_that_its_widths_say(widths):
    params, _, _ = avals_of(models.unet(3, widths), images(16))
    assert sum(p.size for p in tree.leaves(params)) == unet_parameters(widths, 3, 3)


def test_resnet_parameters_have_torchvisions_names_and_shapes():
    params, state, _ = initial("resnet18")
    shapes = {"/".join(path): p.shape for path, p in zip(tree.paths(params), tree.leaves(params), strict=True)}
    assert len(shapes) == 62  # as torchvision's named_parameters()
    assert shapes["conv1/w"] == (7, 7, 3, 64)
    assert shapes["layer1/0/conv1/w"] == (3, 3, 64, 64)
    assert shapes["layer2/0/conv1/w"] == (3, 3, 64, 128)
    assert shapes["layer2/0/downsample/0/w"] == (1, 1, 64, 128)
    assert shapes["layer2/0/downsample/1/scale"] == (128,)
    assert shapes["layer4/1/bn2/bias"] == (512,)
    assert shapes["fc/w"] == (512, 1000)
    assert not any("layer1/0/downsample" in path for path in shapes)
    assert len(tree.leaves(state)) == 40  # mean and variance of 20 normalisations


def test_resnet_weights_begin_by_fan_out():
    params, _, _ = initial("resnet18")
    for w in (params["conv1"]["w"], params["layer3"]["0"]["conv1"]["w"]):
        assert np.std(w) == pytest.approx(np.sqrt(2 / (w.shape[0] * w.shape[1] * w.shape[3])), rel=0.03)


def conv_avals(model, aval):
    """Results of convolutions and pools, by layer."""
    params, state, _ = avals_of(model, aval)
    fn = lambda params, state, x, key: model.apply(params, state, x, train=True, key=key)[0]
    program = tracing.trace(fn, params, state, aval, random.key(0))
    kinds = ("conv2d", "conv2d_input_vjp", "max_pool")
    return {eqn.layer: eqn.outs[0].aval.shape[1:] for eqn in program.eqns if eqn.primitive.name in kinds}


def test_resnet_halves_images_where_torchvision_does():
    found = conv_avals(models.resnet18(10), images(224))
    assert found["conv1"] == (112, 112, 64)
    assert found["maxpool"] == (56, 56, 64)
    assert found["layer2/0/conv1"] == found["layer2/0/downsample/0"] == (28, 28, 128)
    assert found["layer4/1/conv2"] == (7, 7, 512)


def test_the_small_stem_keeps_small_images():
    found = conv_avals(models.resnet18(10, stem="small"), images(32))
    assert "maxpool" not in found
    assert found["conv1"] == (32, 32, 64)
    assert found["layer4/1/conv2"] == (4, 4, 512)


def test_bottlenecks_have_their_strides_in_the_middle():
    found = conv_avals(models.resnet50(10), images(224))
    assert found["layer1/0/conv3"] == found["layer1/0/downsample/0"] == (56, 56, 256)
    assert found["layer2/0/conv1"] == (56, 56, 128)
    assert found["layer2/0/conv2"] == (28, 28, 128)
    assert found["layer2/0/conv3"] == found["layer2/0/downsample/0"] == (28, 28, 512)
    assert found["layer4/2/conv3"] == (7, 7, 2048)
    assert not any("downsample" in layer and "/0/" not in layer for layer in found)


def test_resnet50_parameters_have_torchvisions_names_and_shapes():
    params, state, _ = avals_of(models.resnet50(), images(224))
    shapes = {"/".join(path): p.shape for path, p in zip(tree.paths(params), tree.leaves(params), strict=True)}
    assert len(shapes) == 161  # as torchvision's named_parameters()
    assert shapes["layer3/5/conv2/w"] == (3, 3, 256, 256)
    assert shapes["layer3/5/bn3/scale"] == (1024,)
    assert len(tree.leaves(state)) == 106


def test_resnext_convolves_in_groups():
    params, _, _ = avals_of(models.resnext50(), images(224))
    assert params["layer1"]["0"]["conv2"]["w"].shape == (3, 3, 4, 128)
    assert params["layer4"]["2"]["conv3"]["w"].shape == (1, 1, 1024, 2048)


def test_mobilenet_parameters_have_torchvisions_names_and_shapes():
    params, state, _ = avals_of(models.mobilenet_v2(), images(224))
    shapes = {"/".join(path): p.shape for path, p in zip(tree.paths(params), tree.leaves(params), strict=True)}
    assert len(shapes) == 158  # as torchvision's named_parameters()
    assert shapes["features/0/0/w"] == (3, 3, 3, 32)
    assert shapes["features/1/conv/0/0/w"] == (3, 3, 1, 32)
    assert shapes["features/1/conv/1/w"] == (1, 1, 32, 16)
    assert shapes["features/2/conv/1/0/w"] == (3, 3, 1, 96)
    assert shapes["features/17/conv/2/w"] == (1, 1, 960, 320)
    assert shapes["features/18/0/w"] == (1, 1, 320, 1280)
    assert shapes["classifier/1/w"] == (1280, 1000)
    assert len(tree.leaves(state)) == 104


@pytest.mark.parametrize(
    ("stem", "size", "sides"),
    [
        ("imagenet", 224, {"0/0": 112, "2/conv/1/0": 56, "18/0": 7}),
        ("small", 32, {"0/0": 32, "2/conv/1/0": 32, "18/0": 4}),
    ],
)
def test_mobilenet_halves_images_where_torchvision_does(stem, size, sides):
    found = conv_avals(models.mobilenet_v2(10, stem), images(size))
    assert {layer: found[f"features/{layer}"][0] for layer in sides} == sides


def test_mobilenet_adds_what_went_in_where_it_has_the_size_of_what_comes_out():
    model, aval = models.mobilenet_v2(), images(224)
    params, state, _ = avals_of(model, aval)
    program = tracing.trace(lambda p, s, x: model.apply(p, s, x, train=False)[0], params, state, aval)
    added = [eqn.layer for eqn in program.eqns if eqn.primitive.name == "add" and eqn.layer.count("/") == 1]
    assert added[:-1] == [f"features/{k}" for k in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)]
    assert added[-1] == "classifier/1"  # the bias


def test_mobilenet_weights_begin_by_fan_out():
    params, _, _ = initial("mobilenet_v2")
    depthwise = params["features"]["17"]["conv"]["1"]["0"]["w"]
    assert np.std(depthwise) == pytest.approx(np.sqrt(2 / (9 * 960)), rel=0.03)


def test_unet_puts_what_came_down_beside_what_comes_up():
    found = conv_avals(models.unet(2), images(64))
    assert found["levels/down/conv2"] == found["levels/inner/up"] == (64, 64, 16)
    assert found["levels/inner/below/inner/below/inner/below/conv2"] == (8, 8, 128)
    assert found["levels/merge/conv1"] == (64, 64, 16)
    assert avals_of(models.unet(2), images(64))[0]["levels"]["merge"]["conv1"]["w"].shape == (3, 3, 32, 16)


def test_an_autoencoder_squeezes_images_to_its_code():
    found = conv_avals(models.conv_autoencoder(3, (8, 16, 32), code=2), images(32))
    assert found["encoder/9"] == (4, 4, 2)
    assert found["decoder/9"] == (32, 32, 3)


@pytest.mark.parametrize("size", [28, 32])
def test_lenet5_takes_digits_in_a_frame_or_without(size):
    assert models.lenet5(image_size=size).init(random.key(0), images(size, 1))[2].shape == (2, 10)


@pytest.mark.parametrize("name", models.MODELS)
def test_every_model_by_name_gives_a_loss_and_its_next_state(name):
    size = 28 if name == "lenet5" else 8
    model = models.build(name, 10, size)
    params, state, _ = avals_of(model, images(size, 1))

    def loss(params, state, x, labels, key):
        logits, new_state = model.apply(params, state, x, train=True, key=key)
        assert tree.structure(new_state) == tree.structure(state)
        return optim.losses.softmax_cross_entropy_with_integer_labels(logits, labels)

    program = tracing.trace(loss, params, state, images(size, 1), ShapedArray((2,), "int32"), random.key(0))
    check_program(program)
    assert program.outputs[0].aval == ShapedArray((2,), "float32")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: models.build_text("gpt5", 10, 32),
            "build_text: the model must be one of gpt, got 'gpt5'",
        ),
        (
            lambda: models.build("resnet9", 10, 32),
            "build: the model must be one of mlp, lenet5, resnet18, .*, mobilenet_v2, got 'resnet9'",
        ),
        (lambda: models.resnet18(stem="tiny"), "resnet: stem must be 'imagenet' or 'small', got 'tiny'"),
        (
            lambda: models.lenet5(image_size=8),
            r"lenet5: images must have at least 28 pixels a side, got 8; use data\.fit",
        ),
        (lambda: models.mlp(()), r"mlp: features must name at least one layer, got \(\)"),
        (lambda: models.mobilenet_v2(stem="tiny"), "mobilenet_v2: stem must be 'imagenet' or 'small', got 'tiny'"),
        (lambda: models.mobilenet_v2(width=0), "mobilenet_v2: width must be above 0, got 0"),
        (lambda: models.unet(2, ()), r"unet: widths must name at least one level, got \(\)"),
        (lambda: models.conv_autoencoder(1, ()), r"conv_autoencoder: widths must name at least one layer, got \(\)"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(TypeError, match=r"skip: the body must keep all axes but the last, .* use images of even sides"):
        avals_of(models.unet(2, (4, 8)), images(7))
    model = models.conv_autoencoder()
    with pytest.raises(
        TypeError, match=r"conv_autoencoder: sides of images must be multiples of 4, got \(2, 30, 30, 1\)"
    ):
        avals_of(model, images(30, 1))
    params, state, _ = model.init(random.key(0), images(8, 1))
    with pytest.raises(
        TypeError, match=r"conv_autoencoder: sides of images must be multiples of 4, got \(2, 6, 6, 1\)"
    ):
        model.apply(params, state, np.zeros((2, 6, 6, 1), np.float32), train=False)
