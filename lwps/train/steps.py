"""The programs of training: a step, and an evaluation."""

from collections.abc import Callable
from typing import Any

from lwps import optim, tracing
from lwps.autodiff import value_and_grad
from lwps.core import ShapedArray
from lwps.nn import Layer
from lwps.ops.elementwise import where


def train_step_of(model: Layer, optimizer: Callable[[Any], Any]) -> Callable[..., Any]:
    """The whole training step of a classifier as a pure function.

    (params, state, opt_state, inputs[N, ...], labels int32[N, ...], lr) -> (params, state, opt_state, loss, number of
    right answers), where the model gives a logit for each class of each label. A seventh argument is the key of
    layers that draw random numbers. `optimizer` makes one of a learning rate.
    """

    def train_step(params: Any, state: Any, opt_state: Any, inputs: Any, labels: Any, lr: Any, key: Any = None) -> Any:
        def loss_fn(params: Any) -> Any:
            logits, new_state = model.apply(params, state, inputs, train=True, key=key)
            losses = optim.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), (new_state, (logits.argmax(-1) == labels).sum())

        (loss, (new_state, right)), grads = value_and_grad(loss_fn, has_aux=True)(params)
        updates, new_opt_state = optimizer(lr).update(grads, opt_state, params)
        return optim.apply_updates(params, updates), new_state, new_opt_state, loss, right

    return train_step


def evaluate_step_of(model: Layer) -> Callable[..., Any]:
    """(params, state, inputs, labels, mask like labels) -> sum of losses, number of right answers, of the mask's."""

    def evaluate_step(params: Any, state: Any, inputs: Any, labels: Any, mask: Any) -> Any:
        logits, _ = model.apply(params, state, inputs, train=False)
        losses = optim.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
        return where(mask, losses, 0.0).sum(), ((logits.argmax(-1) == labels) & mask).sum()

    return evaluate_step


def draws(model: Layer, params: Any, state: Any, aval: ShapedArray) -> bool:
    """Whether `model` draws random numbers when training: whether it cannot be applied without a key."""
    try:
        tracing.record(lambda x: [model.apply(params, state, x, train=True)[0]], [aval])
    except (TypeError, ValueError):
        return True  # if it is for another reason, applying it with a key says which
    return False
