"""`lwps.optim` beside PyTorch: three steps of each optimizer, stages, schedules; and its losses, by optax's names."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from against_torch.judge import Twin, each
from against_torch.samples import Draw, integers, normal, rows_of_shares, wide
from lwps import optim

SHAPES = ((5, 30), (7,))
STEPS = 3
Tensors = list[torch.Tensor]


def steps(optimizer: Any, theirs: Callable[[Tensors, list[Tensors]], Any]) -> list[Twin]:
    """Parameters after three steps with gradients of many magnitudes: `theirs(params, gradients of each step)`."""
    count = len(SHAPES)

    def rows(xs: Any) -> list[list[Any]]:
        return [list(xs[k * count : (k + 1) * count]) for k in range(STEPS + 1)]

    def ours(*xs: Any) -> Any:
        params, *grads = ({"a": {"w": w}, "b": b} for w, b in rows(xs))
        state = optimizer.init(params)
        for g in grads:
            updates, state = optimizer.update(g, state, params)
            params = optim.apply_updates(params, updates)
        return params

    def of_torch(*xs: torch.Tensor) -> Any:
        params, *grads = rows(xs)
        return theirs([p.clone() for p in params], grads)

    draws = [*map(normal, SHAPES), *[wide(shape) for _ in range(STEPS) for shape in SHAPES]]
    return [each(ours, of_torch, *draws, gradient=False)]


def by(make: Callable[[Tensors], torch.optim.Optimizer], before: Any = lambda params, grads: grads) -> Any:
    """Steps of an optimizer of PyTorch's; `before(params, gradients)` gives what it is handed."""

    def run(params: Tensors, grads: list[Tensors]) -> Tensors:
        optimizer = make(params)
        for row in grads:
            for p, g in zip(params, before(params, row), strict=True):
                p.grad = g.clone()
            optimizer.step()
        return params

    return run


def sgd(before: Any = lambda params, grads: grads) -> Any:
    return by(lambda ps: torch.optim.SGD(ps, lr=1.0), before)


def to_norm(params: Tensors, grads: Tensors) -> Tensors:
    total = torch.sqrt(sum((g * g).sum() for g in grads))
    return [g * torch.clamp(2.0 / total, max=1.0) for g in grads]


def scheduled(params: Tensors, grads: list[Tensors]) -> Tensors:
    for n, row in enumerate(grads):
        params = [p - 0.5 / (n + 1) * g for p, g in zip(params, row, strict=True)]
    return params


def parts(params: Tensors, grads: list[Tensors]) -> Tensors:
    return [*by(lambda ps: torch.optim.Adam(ps, lr=0.1))(params[:1], [g[:1] for g in grads]), params[1]]


def nadam(params: Tensors, grads: list[Tensors]) -> Tensors:
    """Dozat's rule with constant decays; PyTorch's NAdam lets them change."""
    done = []
    for k, p in enumerate(params):
        m, v = torch.zeros_like(p), torch.zeros_like(p)
        for t, row in enumerate(grads, 1):
            g = row[k]
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            ahead = 0.9 * m / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
            p = p - 0.1 * ahead / (torch.sqrt(v / (1 - 0.999**t)) + 1e-8)
        done.append(p)
    return done


def stage(made: Any, theirs: Callable[[torch.Tensor, torch.Tensor], Any]) -> list[Twin]:
    """A stage without state: of one gradient beside its parameter."""
    return [each(lambda p, g: made.update(g, made.init(p), p)[0], theirs, normal((5, 30)), wide((5, 30)))]


def schedule(made: Any, formula: Callable[[int], float]) -> list[Twin]:
    """A schedule at counts from 0 to 40."""

    def theirs(n: torch.Tensor) -> torch.Tensor:
        return torch.tensor(formula(int(n)), dtype=torch.float64)

    return [each(made, theirs, integers(0, 41)(()))]


def cosine(n: float, steps: float) -> float:
    return (1 + math.cos(math.pi * min(max(n / steps, 0), 1))) / 2


def averaged() -> list[Twin]:
    def ours(*params: Any) -> Any:
        average = optim.ema(0.9)
        state = average.init(params[0])
        for p in params:
            means, state = average.update(p, state)
        return means

    def theirs(*params: torch.Tensor) -> Any:
        weights = [0.9 ** (len(params) - 1 - k) for k in range(len(params))]
        return sum(w * p for w, p in zip(weights, params, strict=True)) / sum(weights)

    return [each(ours, theirs, *[normal((5, 30))] * 4)]


def norms() -> list[Twin]:
    return [
        each(
            lambda *xs: optim.global_norm(xs),
            lambda *xs: torch.sqrt(sum((x * x).sum() for x in xs)),
            *map(wide, SHAPES),
        )
    ]


TWINS: dict[str, Callable[[Any], list[Twin]]] = {
    "sgd": lambda f: [
        *steps(f(0.1), by(lambda ps: torch.optim.SGD(ps, lr=0.1))),
        *steps(f(0.1, 0.9, 0.01), by(lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.01))),
        *steps(f(0.1, 0.9, 0.0, True), by(lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True))),
    ],
    "adam": lambda f: [
        *steps(f(0.1), by(lambda ps: torch.optim.Adam(ps, lr=0.1))),
        *steps(f(0.1, nesterov=True), nadam),
    ],
    "adamw": lambda f: steps(f(0.1, weight_decay=0.1), by(lambda ps: torch.optim.AdamW(ps, lr=0.1, weight_decay=0.1))),
    "rmsprop": lambda f: [
        *steps(f(0.1, 0.99), by(lambda ps: torch.optim.RMSprop(ps, lr=0.1))),
        *steps(f(0.1, 0.9, momentum=0.9), by(lambda ps: torch.optim.RMSprop(ps, lr=0.1, alpha=0.9, momentum=0.9))),
        *steps(
            f(0.1, 0.9, 1e-3, True), by(lambda ps: torch.optim.RMSprop(ps, lr=0.1, alpha=0.9, eps=1e-3, centered=True))
        ),
    ],
    "scale_by_adam": lambda f: steps(optim.chain(f(), optim.scale(-0.1)), by(lambda ps: torch.optim.Adam(ps, lr=0.1))),
    "scale_by_rms": lambda f: steps(
        optim.chain(f(0.99), optim.scale(-0.1)), by(lambda ps: torch.optim.RMSprop(ps, lr=0.1))
    ),
    "accumulate": lambda f: steps(
        optim.chain(f(0.9), optim.scale(-0.1)), by(lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9))
    ),
    "scale": lambda f: stage(f(2.5), lambda p, g: 2.5 * g),
    "scale_by_learning_rate": lambda f: stage(f(0.1), lambda p, g: -0.1 * g),
    "scale_by_schedule": lambda f: steps(f(lambda n: -0.5 / (n + 1)), scheduled),
    "add_decayed_weights": lambda f: stage(f(0.1), lambda p, g: g + 0.1 * p),
    "clip": lambda f: stage(f(0.5), lambda p, g: torch.clamp(g, -0.5, 0.5)),
    "clip_by_global_norm": lambda f: steps(optim.chain(f(2.0), optim.scale(-1.0)), sgd(to_norm)),
    "global_norm": lambda f: norms(),
    "chain": lambda f: steps(
        f(optim.clip(0.5), optim.sgd(1.0)), sgd(lambda ps, gs: [torch.clamp(g, -0.5, 0.5) for g in gs])
    ),
    "masked": lambda f: steps(
        optim.chain(f(optim.scale(3.0), "a/*"), optim.sgd(1.0)), sgd(lambda ps, gs: [3 * gs[0], gs[1]])
    ),
    "partition": lambda f: steps(f({"a/*": optim.adam(0.1), "*": optim.set_to_zero()}), parts),
    "set_to_zero": lambda f: steps(f(), lambda params, grads: params),
    "apply_updates": lambda f: [
        each(lambda p, u: f({"a": p}, {"a": u}), lambda p, u: p + u, normal((5,)), normal((5,)))
    ],
    "ema": lambda f: averaged(),
    "constant_schedule": lambda f: schedule(f(0.3), lambda n: 0.3),
    "linear_schedule": lambda f: schedule(f(0.1, 1.1, 20, 5), lambda n: 0.1 + min(max((n - 5) / 20, 0), 1)),
    "cosine_decay_schedule": lambda f: schedule(f(0.5, 30, 0.1), lambda n: 0.5 * (0.9 * cosine(n, 30) + 0.1)),
    "warmup_cosine_decay_schedule": lambda f: schedule(
        f(0.1, 1.0, 10, 30), lambda n: 0.1 + 0.9 * n / 10 if n < 10 else cosine(n - 10, 20)
    ),
    "exponential_decay": lambda f: schedule(f(0.5, 10, 0.8), lambda n: 0.5 * 0.8 ** (n / 10)),
    "piecewise_constant_schedule": lambda f: schedule(
        f(1.0, {10: 0.5, 30: 0.1}), lambda n: (0.5 if n >= 10 else 1) * (0.1 if n >= 30 else 1)
    ),
    "join_schedules": lambda f: schedule(
        f([optim.constant_schedule(0.5), optim.linear_schedule(0.5, 0.1, 10)], [20]),
        lambda n: 0.5 - 0.4 * min(max((n - 20) / 10, 0), 1),
    ),
}

REASONS = {
    "Average": "a type",
    "Optimizer": "a type",
    "Schedule": "a type",
    "losses": "judged one by one",
}


def pairs(ours: Any, theirs: Any, first: Callable[..., Draw] = normal, second: Any = None) -> list[Twin]:
    return [each(ours, theirs, first(shape), (second or first)(shape)) for shape in ((7,), (5, 30))]


def truths_as_floats(shape: Any) -> Draw:
    return lambda rng: np.asarray(rng.integers(0, 2, shape), np.float32)


def signs(shape: Any) -> Draw:
    return lambda rng: np.asarray(rng.choice((-1, 1), shape), np.float32)


def cross_entropy(ours: Any, smoothing: float) -> Twin:
    return each(
        lambda x, n: ours(x, n, smoothing) if smoothing else ours(x, n),
        lambda x, n: F.cross_entropy(x, n.long(), reduction="none", label_smoothing=smoothing),
        normal((40, 9), 10),
        integers(0, 9)((40,)),
    )


LOSSES: dict[str, Callable[[Any], list[Twin]]] = {
    "softmax_cross_entropy_with_integer_labels": lambda f: [cross_entropy(f, 0.0), cross_entropy(f, 0.1)],
    "softmax_cross_entropy": lambda f: [
        each(f, lambda x, w: F.cross_entropy(x, w, reduction="none"), normal((40, 9), 10), rows_of_shares((40, 9)))
    ],
    "smooth_labels": lambda f: [each(lambda w: f(w, 0.1), lambda w: 0.9 * w + 0.1 / 9, rows_of_shares((40, 9)))],
    "next_token_loss": lambda f: [
        each(
            f,
            lambda x, n: F.cross_entropy(x[:, :-1].reshape(-1, 9), n[:, 1:].reshape(-1).long()),
            normal((4, 7, 9)),
            integers(0, 9)((4, 7)),
        )
    ],
    "mean_squared_error": lambda f: pairs(f, F.mse_loss),
    "squared_error": lambda f: pairs(f, lambda x, y: F.mse_loss(x, y, reduction="none")),
    "l2_loss": lambda f: pairs(f, lambda x, y: 0.5 * F.mse_loss(x, y, reduction="none")),
    "l1_loss": lambda f: pairs(f, lambda x, y: F.l1_loss(x, y, reduction="none")),
    "huber_loss": lambda f: pairs(lambda x, y: f(x, y, 1.5), lambda x, y: F.huber_loss(x, y, "none", 1.5), wide),
    "sigmoid_binary_cross_entropy": lambda f: pairs(
        f,
        lambda x, y: -y * F.logsigmoid(x) - (1 - y) * F.logsigmoid(-x),  # PyTorch's own has no digits left at -40
        lambda shape: normal(shape, 10),
        truths_as_floats,
    ),
    "hinge_loss": lambda f: pairs(f, lambda x, y: torch.relu(1 - x * y), normal, signs),
    "kl_divergence": lambda f: [
        each(
            lambda x, w: f(x, w),
            lambda x, w: F.kl_div(x, w, reduction="none").sum(-1),
            normal((40, 9), 3),
            rows_of_shares((40, 9), least=0.01),
        )
    ],
    "cosine_similarity": lambda f: [
        each(f, lambda x, y: F.cosine_similarity(x, y, -1), wide((20, 30)), wide((20, 30)))
    ],
    "cosine_distance": lambda f: [
        each(f, lambda x, y: 1 - F.cosine_similarity(x, y, -1), wide((20, 30)), wide((20, 30)))
    ],
}
