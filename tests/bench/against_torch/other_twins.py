"""Ops with a name of their own at the top of lwps, and `lwps.image`, beside PyTorch."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from against_torch.judge import Twin, each
from against_torch.samples import distinct, integers, normal

X = (6, 5)


def updated(x: torch.Tensor, update: torch.Tensor, row: int) -> torch.Tensor:
    return torch.cat([x[:row], update, x[row + len(update) :]])


TOP: dict[str, Callable[[Any], list[Twin]]] = {
    "one_hot": lambda f: [each(lambda i: f(i, 7), lambda i: F.one_hot(i.long(), 7).double(), integers(0, 7)((4, 5)))],
    "segment_sum": lambda f: [
        each(
            lambda x, i: f(x, i, 4),
            lambda x, i: torch.zeros(4, 5, dtype=x.dtype).index_add(0, i.long(), x),
            normal((40, 5)),
            integers(0, 4)((40,)),
        )
    ],
    "top_k": lambda f: [each(lambda x: list(f(x, 3)), lambda x: list(torch.topk(x, 3)), distinct(X))],
    "dynamic_slice": lambda f: [
        each(
            lambda x, n: f(x, (n, 1), (2, 3)),
            lambda x, n: x[int(n) : int(n) + 2, 1:4],
            normal(X),
            integers(0, 5)(()),
        )
    ],
    "dynamic_update_slice": lambda f: [
        each(
            lambda x, y, n: f(x, y, (n, 0)),
            lambda x, y, n: updated(x, y, int(n)),
            normal(X),
            normal((2, 5)),
            integers(0, 5)(()),
        )
    ],
    "stop_gradient": lambda f: [each(lambda x: f(x) * x, lambda x: x.detach() * x, normal(X))],
}

IMAGE: dict[str, Callable[[Any], list[Twin]]] = {
    "resize": lambda f: [
        each(
            lambda x, method=method: f(x, (2, 9, 4, 3), method),
            lambda x, mode=mode: F.interpolate(x.movedim(-1, 1), (9, 4), mode=mode).movedim(1, -1),
            normal((2, 6, 8, 3)),
        )
        for method, mode in (("nearest", "nearest-exact"), ("bilinear", "bilinear"))
    ],
}
