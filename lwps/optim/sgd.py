"""Stochastic gradient descent with momentum."""

from typing import Any

from lwps import tree
from lwps.ops.elementwise import add, mul, zeros_like
from lwps.optim.update import Optimizer, check_rates, each_leaf, minus


def sgd(learning_rate: Any, momentum: float = 0.0, weight_decay: float = 0.0) -> Optimizer:
    """The optimizer g += weight_decay p; m = momentum m + g; update = -learning_rate m.

    As PyTorch's SGD (no dampening): the learning rate, a number or a traced 0-d array, is not in the momentum. The
    state is {"momentum": a pytree like the params}, or {} without momentum.
    """
    check_rates("sgd", momentum=momentum)
    if weight_decay < 0:
        raise ValueError(f"sgd: weight_decay must be at least 0, got {weight_decay}")

    def decayed(p: Any, g: Any) -> Any:
        return add(g, mul(p, weight_decay)) if weight_decay else g

    def step(p: Any, m: Any) -> Any:
        return mul(m, minus(learning_rate, p))

    def plain(p: Any, g: Any) -> tuple[Any, ...]:
        return (step(p, decayed(p, g)),)

    def with_momentum(p: Any, g: Any, m: Any) -> tuple[Any, ...]:
        m = add(mul(m, momentum), decayed(p, g))
        return step(p, m), m

    def init(params: Any) -> Any:
        return {"momentum": tree.map(zeros_like, params)} if momentum else {}

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        if not momentum:
            return each_leaf("sgd", plain, 1, params, grads)[0], state
        updates, new = each_leaf("sgd", with_momentum, 2, params, grads, state["momentum"])
        return updates, {"momentum": new}

    return Optimizer(init, update)
