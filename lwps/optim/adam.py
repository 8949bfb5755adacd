"""Adam (Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015) and its kin."""

from typing import Any

from lwps import tracing, tree
from lwps.ops.elementwise import add, astype, div, full, mul, rsqrt, sqrt, square, zeros_like
from lwps.optim.average import one_minus_power, towards, widest
from lwps.optim.chain import chain
from lwps.optim.partition import Which
from lwps.optim.scale import add_decayed_weights, scale_by_learning_rate
from lwps.optim.update import Optimizer, check_at_least_0, check_rates, each_leaf, like


def adam(
    learning_rate: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, nesterov: bool = False
) -> Optimizer:
    """The optimizer update = -learning_rate m' / (sqrt(v') + eps): a `chain` of `scale_by_adam` and the learning rate.

    The learning rate is a number, a traced 0-d array or a schedule.
    """
    return chain(scale_by_adam(b1, b2, eps, nesterov), scale_by_learning_rate(learning_rate))


def adamw(
    learning_rate: Any,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-4,
    mask: Which | None = None,
    nesterov: bool = False,
) -> Optimizer:
    """Adam with decoupled weight decay: update = -learning_rate (m' / (sqrt(v') + eps) + weight_decay p).

    `mask` picks the parameters that decay, as in `masked`; by default all do. `lambda path, p: p.ndim > 1` leaves out
    biases and the scales of normalisations (Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019).
    """
    return chain(
        scale_by_adam(b1, b2, eps, nesterov),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


def scale_by_adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, nesterov: bool = False) -> Optimizer:
    """The stage g -> m' / (sqrt(v') + eps).

    m and v are running means of g and g^2 with decays `b1` and `b2`; m' = m / (1 - b1^t) and v' = v / (1 - b2^t) at
    step t = 1, 2, ... With `nesterov` m' = b1 m / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t) (Dozat, "Incorporating
    Nesterov momentum into Adam", 2016). The state is {"count": int32 steps so far, "m": a pytree like the params,
    "v": another}.
    """
    check_rates("adam", b1=b1, b2=b2)
    check_at_least_0("adam", eps=eps)

    def init(params: Any) -> Any:
        return {"count": full((), 0, "int32"), "m": tree.map(zeros_like, params), "v": tree.map(zeros_like, params)}

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        with tracing.scope(phase="update", layer=""):
            count = add(state["count"], 1)
            t = astype(count, widest(params))
            of_m = div(b1, one_minus_power(b1, add(t, 1))) if nesterov else div(1, one_minus_power(b1, t))
            of_g = div(1 - b1, one_minus_power(b1, t))  # for nesterov only
            of_v = rsqrt(one_minus_power(b2, t))

        def one(p: Any, g: Any, m: Any, v: Any) -> tuple[Any, ...]:
            m, v = towards(m, g, b1), towards(v, square(g), b2)
            ahead = mul(m, like(p, of_m))
            if nesterov:
                ahead = add(ahead, mul(g, like(p, of_g)))
            return div(ahead, add(mul(sqrt(v), like(p, of_v)), eps)), m, v

        updates, m, v = each_leaf(one, params, grads, state["m"], state["v"])
        return updates, {"count": count, "m": m, "v": v}

    return Optimizer(init, update)
