"""RMSprop (Tieleman, Hinton, "Lecture 6.5", Coursera 2012; centered: Graves, arXiv 1308.0850, 2013)."""

from typing import Any

from lwps import tree
from lwps.ops.elementwise import add, div, maximum, sqrt, square, sub, zeros_like
from lwps.optim.average import towards
from lwps.optim.chain import chain
from lwps.optim.scale import scale_by_learning_rate
from lwps.optim.sgd import accumulate
from lwps.optim.update import Optimizer, check_at_least_0, check_rates, each_leaf


def rmsprop(
    learning_rate: Any,
    decay: float = 0.9,
    eps: float = 1e-8,
    centered: bool = False,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> Optimizer:
    """The optimizer update = -learning_rate g / (sqrt(v) + eps), with `momentum` accumulated before the learning rate.

    A `chain` of `scale_by_rms`, `accumulate` (with momentum) and `scale_by_learning_rate`. As PyTorch's RMSprop, whose
    `decay` is called alpha, and 0.99 by default. The learning rate is a number, a traced 0-d array or a schedule.
    """
    check_rates("rmsprop", momentum=momentum)
    if nesterov and not momentum:
        raise ValueError(f"rmsprop: nesterov must have a momentum above 0, got {momentum}")
    heavy = [accumulate(momentum, nesterov)] if momentum else []
    return chain(scale_by_rms(decay, eps, centered), *heavy, scale_by_learning_rate(learning_rate))


def scale_by_rms(decay: float = 0.9, eps: float = 1e-8, centered: bool = False) -> Optimizer:
    """The stage g -> g / (sqrt(v) + eps); v is the running mean of g^2, with `centered` less the square of that of g.

    The state is {"v": a pytree like the params}, with `centered` also "m", the mean of g.
    """
    check_rates("rmsprop", decay=decay)
    check_at_least_0("rmsprop", eps=eps)
    names = ("v", "m") if centered else ("v",)

    def one(p: Any, g: Any, v: Any, *means: Any) -> tuple[Any, ...]:
        v = spread = towards(v, square(g), decay)
        means = tuple(towards(m, g, decay) for m in means)
        for m in means:
            spread = maximum(sub(spread, square(m)), 0)  # rounding may bring the difference below 0
        return div(g, add(sqrt(spread), eps)), v, *means

    def init(params: Any) -> Any:
        return {name: tree.map(zeros_like, params) for name in names}

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        updates, *new = each_leaf(one, params, grads, *(state[name] for name in names))
        return updates, dict(zip(names, new, strict=True))

    return Optimizer(init, update)
