"""Models have the parameters, names and results of what they are named after."""

import functools

import numpy as np
import pytest

from lwps import models, optim, tracing, tree
from lwps.core import ShapedArray
from lwps.ops import random


def images(size, channels=3, batch=2):
    return ShapedArray((batch, size, size, channels), "float32")


@functools.cache
def initial(name):
    make, aval = {
        "resnet18": (models.resnet18, images(224)),
        "resnet34": (models.resnet34, images(224)),
        "lenet5": (models.lenet5, images(28, 1)),
        "mlp": (lambda: models.mlp((30, 20, 10)), images(8, 1)),
    }[name]
    return make().init(random.key(0), aval)


@pytest.mark.parametrize(
    ("name", "count", "classes"),
    [
        ("resnet18", 11_689_512, 1000),  # torchvision.models.resnet18
        ("resnet34", 21_797_672, 1000),  # torchvision.models.resnet34
        ("lenet5", 61_706, 10),
        ("mlp", 64 * 30 + 30 + 30 * 20 + 20 + 20 * 10 + 10, 10),
    ],
)
def test_parameter_counts(name, count, classes):
    params, _, logits = initial(name)
    assert sum(p.size for p in tree.leaves(params)) == count
    assert logits.shape == (2, classes)


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
    def logits(params, state, x):
        return model.apply(params, state, x, train=True)[0]

    params, state, _ = model.init(random.key(0), aval)
    program = tracing.trace(logits, params, state, aval)
    return {
        eqn.layer: eqn.outs[0].aval.shape[1:] for eqn in program.eqns if eqn.primitive.name in ("conv2d", "max_pool")
    }


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


@pytest.mark.parametrize("size", [28, 32])
def test_lenet5_takes_digits_in_a_frame_or_without(size):
    assert models.lenet5(image_size=size).init(random.key(0), images(size, 1))[2].shape == (2, 10)


@pytest.mark.parametrize("name", models.MODELS)
def test_every_model_by_name_gives_a_loss_and_its_next_state(name):
    size = 28 if name == "lenet5" else 8
    model = models.build(name, 10, size)
    params, state, _ = model.init(random.key(0), images(size, 1))
    x = np.random.default_rng(0).standard_normal((2, size, size, 1), np.float32)
    logits, new_state = model.apply(params, state, x, train=True)
    losses = optim.losses.softmax_cross_entropy_with_integer_labels(logits, np.int32([3, 7]))
    assert np.isfinite(losses).all()
    assert tree.structure(new_state) == tree.structure(state)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: models.build("resnet9", 10, 32),
            "build: the model must be one of mlp, lenet5, resnet18, resnet34, got 'resnet9'",
        ),
        (lambda: models.resnet18(stem="tiny"), "resnet: stem must be 'imagenet' or 'small', got 'tiny'"),
        (
            lambda: models.lenet5(image_size=8),
            r"lenet5: images must have at least 28 pixels a side, got 8; use data\.fit",
        ),
        (lambda: models.mlp(()), r"mlp: features must name at least one layer, got \(\)"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
