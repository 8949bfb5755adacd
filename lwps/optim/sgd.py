"""Stochastic gradient descent with momentum."""

from typing import Any

from lwps import tree
from lwps.ops.elementwise import add, mul, zeros_like
from lwps.optim.chain import chain
from lwps.optim.scale import add_decayed_weights, scale_by_learning_rate
from lwps.optim.update import Optimizer, check_at_least_0, check_rates, each_leaf


def sgd(learning_rate: Any, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False) -> Optimizer:
    """The optimizer g += weight_decay p; m = momentum m + g; update = -learning_rate m.

    With `nesterov` the update is -learning_rate (g + momentum m) (Sutskever et al., ICML 2013, in the form of
    PyTorch). As there, no dampening, and the learning rate is not in the momentum: a number, a traced 0-d array or a
    schedule. A `chain` of `add_decayed_weights`, `accumulate` and `scale_by_learning_rate`, without
    those whose setting is 0.
    """
    check_rates("sgd", momentum=momentum)
    check_at_least_0("sgd", weight_decay=weight_decay)
    if nesterov and not momentum:
        raise ValueError(f"sgd: nesterov must have a momentum above 0, got {momentum}")
    decay = [add_decayed_weights(weight_decay)] if weight_decay else []
    heavy = [accumulate(momentum, nesterov)] if momentum else []
    return chain(*decay, *heavy, scale_by_learning_rate(learning_rate))


def accumulate(momentum: float, nesterov: bool = False) -> Optimizer:
    """The stage m = momentum m + g, whose update is m, or with `nesterov` g + momentum m.

    The state is {"momentum": a pytree like the params}. optax has it as `trace`.
    """
    check_rates("accumulate", momentum=momentum)

    def one(p: Any, g: Any, m: Any) -> tuple[Any, ...]:
        m = add(mul(m, momentum), g)
        return (add(g, mul(m, momentum)) if nesterov else m), m

    def init(params: Any) -> Any:
        return {"momentum": tree.map(zeros_like, params)}

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        updates, m = each_leaf(one, params, grads, state["momentum"])
        return updates, {"momentum": m}

    return Optimizer(init, update)
