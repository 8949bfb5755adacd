"""The loop: batches through a placed step, then accuracy through a placed evaluation."""

import math
import time
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from lwps import optim, random
from lwps.api import Jitted, jit
from lwps.autodiff import value_and_grad
from lwps.autoplace import Receipt
from lwps.core import ShapedArray
from lwps.data import Dataset, eval_batches
from lwps.nn import Layer
from lwps.plan import Plan
from lwps.runtime.machine import Machine


@attrs.frozen
class Settings:
    """How to train. `steps` ends training early where it is given; `lr` is the peak of a cosine.

    A plan as `placement` is one of the training step; evaluation is then placed by "auto".
    """

    batch: int = 32
    epochs: int = 10
    steps: int | None = None
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0
    placement: str | Plan = "auto"


@attrs.frozen
class Progress:
    """One step done: losses and accuracies are means over the steps since the last report."""

    step: int
    steps: int
    epoch: int
    loss: float
    accuracy: float
    images_per_s: float


@attrs.frozen
class Result:
    """What training came to."""

    losses: tuple[float, ...]
    test_accuracy: float
    images_per_s: float
    train_s: float
    receipt: Receipt | None
    step: Jitted
    params: Any
    state: Any


def train_step_of(model: Layer, optimizer: Any) -> Callable[..., Any]:
    """The whole training step of a classifier as a pure function.

    (params, state, opt_state, images[N, H, W, C], labels int32[N], lr) -> (params, state, opt_state, loss,
    number of right answers).
    """

    def train_step(params: Any, state: Any, opt_state: Any, images: Any, labels: Any, lr: Any) -> Any:
        def loss_fn(params: Any) -> Any:
            logits, new_state = model.apply(params, state, images, train=True)
            losses = optim.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), (new_state, (logits.argmax(-1) == labels).sum())

        (loss, (new_state, right)), grads = value_and_grad(loss_fn, has_aux=True)(params)
        updates, new_opt_state = optimizer(lr).update(grads, opt_state, params)
        return optim.apply_updates(params, updates), new_state, new_opt_state, loss, right

    return train_step


def evaluate_step_of(model: Layer) -> Callable[..., Any]:
    """(params, state, images, labels, mask bool[N]) -> number of right answers among those of the mask."""

    def evaluate_step(params: Any, state: Any, images: Any, labels: Any, mask: Any) -> Any:
        logits, _ = model.apply(params, state, images, train=False)
        return ((logits.argmax(-1) == labels) & mask).sum()

    return evaluate_step


def cosine(step: int, steps: int, peak: float) -> float:
    """A learning rate that rises over the first twentieth and falls to 0 along half a cosine."""
    warm = max(1, steps // 20)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def train(
    model: Layer,
    dataset: Dataset,
    settings: Settings,
    machine: Machine | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """Train `model` on `dataset` and measure its accuracy on the test images.

    `report` is called after every step. SGD with momentum and weight decay; deterministic for one seed,
    machine and placement.
    """
    aval = ShapedArray((settings.batch, *dataset.train_images.shape[1:]), "float32")
    params, state, _ = model.init(random.key(settings.seed), aval)

    def optimizer(lr: Any) -> Any:
        return optim.sgd(lr, settings.momentum, settings.weight_decay)

    step = jit(train_step_of(model, optimizer), placement=settings.placement, donate_argnums=(0, 1, 2), machine=machine)
    opt_state = optimizer(settings.lr).init(params)
    per_epoch = len(dataset.train_images) // settings.batch
    if per_epoch == 0:
        raise ValueError(
            f"train: the batch must be at most the {len(dataset.train_images)} training images, got {settings.batch}"
        )
    steps = settings.steps or settings.epochs * per_epoch
    losses: list[float] = []
    begin = time.perf_counter()
    for n in range(steps):
        images, labels = dataset.batch(n, settings.batch, settings.seed)
        lr = np.float32(cosine(n, steps, settings.lr))
        params, state, opt_state, loss, right = step(params, state, opt_state, images, labels, lr)
        losses.append(float(loss))
        if n == 0:
            begin = time.perf_counter()  # what came before was measuring and compiling
        rate = n * settings.batch / max(time.perf_counter() - begin, 1e-9)
        report(Progress(n + 1, steps, n // per_epoch, losses[-1], int(right) / settings.batch, rate))
    train_s = time.perf_counter() - begin
    accuracy = evaluate(model, params, state, dataset, settings, machine)
    rate = (steps - 1) * settings.batch / max(train_s, 1e-9)
    return Result(tuple(losses), accuracy, rate, train_s, step.receipt, step, params, state)


def evaluate(
    model: Layer, params: Any, state: Any, dataset: Dataset, settings: Settings, machine: Machine | None = None
) -> float:
    """The share of test images that `model` names rightly."""
    placement = "auto" if isinstance(settings.placement, Plan) else settings.placement
    step = jit(evaluate_step_of(model), placement=placement, machine=machine)
    right = sum(int(step(params, state, *batch)) for batch in eval_batches(dataset, settings.batch))
    return right / len(dataset.test_images)
