"""Models learn: a few steps of each on every processor, tiny, and the whole step of the large ones as a program."""

import numpy as np
import pytest

import lwps
from lwps import models, optim, tree
from lwps.core import ShapedArray, check_program
from lwps.ops import random
from lwps.testing import PROCESSORS
from tests.models.test_models import avals_of


def cross_entropy(logits, labels):
    return optim.losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def step_of(model, loss_of, learning_rate):
    opt = optim.sgd(learning_rate)

    def step(params, state, x, target, key):
        def loss_fn(params):
            y, new_state = model.apply(params, state, x, train=True, key=key)
            return loss_of(y, target), new_state

        (loss, new_state), grads = lwps.value_and_grad(loss_fn, has_aux=True)(params)
        updates, _ = opt.update(grads, opt.init(params), params)
        return optim.apply_updates(params, updates), new_state, loss

    return step


IMAGES, PIXELS = (8, 16, 16, 3), (2, 16, 16)
LABELS = np.random.default_rng(0).integers(0, 3, 8).astype(np.int32)
MAPS = np.random.default_rng(0).integers(0, 3, PIXELS).astype(np.int32)
X = np.random.default_rng(0).standard_normal(IMAGES, np.float32)
# as deep as they are, but thin: batches this small drive deep nets apart within a few steps, so processors do not agree
TINY = {
    "resnet50": (models.resnet50(4, "small", width=4), X, LABELS, cross_entropy, 0.01),
    "mobilenet_v2": (models.mobilenet_v2(4, "small", width=0.25), X, LABELS, cross_entropy, 0.01),
    "unet": (models.unet(3, (4, 8)), X[:2], MAPS, cross_entropy, 0.1),
    "conv_autoencoder": (models.conv_autoencoder(3, (4, 8), 2), X, X, optim.losses.mean_squared_error, 0.1),
}


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("name", TINY)
def test_the_loss_falls_and_gradients_are_finite(name, processor):
    model, x, target, loss_of, learning_rate = TINY[name]
    params, state, _ = model.init(random.key(0), ShapedArray(x.shape, "float32"))
    step = lwps.jit(step_of(model, loss_of, learning_rate), placement=processor, donate_argnums=(0, 1))
    losses = []
    for k in range(5):
        params, state, loss = step(params, state, x, target, random.fold_in(random.key(1), k))
        losses.append(float(loss))
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.95 * losses[0]
    assert all(np.isfinite(np.asarray(w)).all() for w in tree.leaves((params, state)))


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2"])
def test_the_whole_step_is_one_program_that_fuses(name):
    model, aval = getattr(models, name)(), ShapedArray((2, 224, 224, 3), "float32")
    params, state, _ = avals_of(model, aval)
    labels = ShapedArray((2,), "int32")
    program = lwps.trace(step_of(model, cross_entropy, 0.1), params, state, aval, labels, random.key(0))
    check_program(program)
    fused = lwps.optimize(program)
    check_program(fused)
    assert sum(eqn.runs for eqn in fused.eqns) < sum(eqn.runs for eqn in program.eqns) / 2
