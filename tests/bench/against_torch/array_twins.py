"""What is left of `lwps.numpy` beside PyTorch: reductions, shapes, matrices, indexing, sorting."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from against_torch.judge import Twin, each
from against_torch.samples import Draw, between, integers, normal, some_nan, truths, with_ties

X = (2, 3, 4)


def reduced(ours: Any, theirs: Any, draw: Callable[..., Draw] = normal) -> list[Twin]:
    """Along all, one, and two axes, of few and of many elements."""
    rows: list[tuple[Sequence[int], Any]] = [
        ((7,), None),
        ((5, 130), 1),
        ((300, 9), 0),
        (X, -2),
        ((2, 30, 40), (0, 2)),
    ]
    return [each(lambda x, a=axis: ours(x, a), lambda x, a=axis: theirs(x, a), draw(shape)) for shape, axis in rows]


def along(ours: Any, theirs: Any, draw: Callable[..., Draw] = normal) -> list[Twin]:
    """Along one axis at a time, or in all of the array."""
    rows: list[tuple[Sequence[int], Any]] = [((7,), 0), ((5, 130), 1), ((300, 9), 0), (X, -2), (X, None)]
    return [each(lambda x, a=axis: ours(x, a), lambda x, a=axis: theirs(x, a), draw(shape)) for shape, axis in rows]


def axes_of(x: torch.Tensor, axis: Any) -> tuple[int, ...]:
    return tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)


def by_axis(theirs: Any) -> Any:
    """A reduction of PyTorch's that takes one axis, over several."""

    def over(x: torch.Tensor, axis: Any) -> torch.Tensor:
        for a in sorted((a % x.ndim for a in axes_of(x, axis)), reverse=True):
            x = theirs(x, a)
        return x

    return over


def flat(theirs: Any) -> Any:
    """A function of PyTorch's along one axis; of all elements in a row where it is None."""
    return lambda x, axis: theirs(x.reshape(-1), 0) if axis is None else theirs(x, axis)


def both(ours: Any, theirs: Any, *draws: Draw) -> list[Twin]:
    return [each(ours, theirs, *draws)]


def same(name: str) -> Callable[[Any], list[Twin]]:
    """Of an array made from nothing: compared to what NumPy gives."""
    calls: dict[str, tuple[Any, ...]] = {
        "zeros": ((2, 3),),
        "ones": ((2, 3),),
        "full": ((2, 3), 1.5),
        "arange": (7,),
        "eye": (3,),
        "linspace": (0, 1, 7),
        "tri": (4,),
        "identity": (3,),
        "empty": ((0,),),
    }
    args = calls[name]
    return lambda f: [
        Twin(
            lambda: f(*args),
            lambda: torch.tensor(getattr(np, name)(*args).astype(np.asarray(f(*args)).dtype)),
            list_of_none,
        )
    ]


def list_of_none(rng: np.random.Generator) -> list[np.ndarray]:
    return []


def products(ours: Any, theirs: Any) -> list[Twin]:
    shapes = (
        ((4, 5), (5, 6)),
        ((70, 130), (130, 33)),
        ((5,), (5,)),
        ((2, 3, 4, 5), (3, 5, 2)),
        ((5,), (2, 5, 3)),
        ((2, 3, 5), (5,)),
    )
    return [each(ours, theirs, normal(a), normal(b)) for a, b in shapes]


def taken(x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
    return x.index_select(1, i.reshape(-1).long()).reshape(x.shape[0], *i.shape, *x.shape[2:])


TWINS: dict[str, Callable[[Any], list[Twin]]] = {
    # reductions
    "sum": lambda f: reduced(f, torch.sum) + reduced(f, torch.sum, integers(-9, 9)),
    "mean": lambda f: reduced(f, torch.mean),
    "prod": lambda f: reduced(f, by_axis(torch.prod), between(0.8, 1.25)),
    "max": lambda f: reduced(f, torch.amax),
    "min": lambda f: reduced(f, torch.amin),
    "amax": lambda f: reduced(f, torch.amax),
    "amin": lambda f: reduced(f, torch.amin),
    "ptp": lambda f: reduced(f, lambda x, a: torch.amax(x, a) - torch.amin(x, a)),
    "var": lambda f: [
        *reduced(f, lambda x, a: torch.var(x, axes_of(x, a), correction=0)),
        each(lambda x: f(x, 1, ddof=1), lambda x: torch.var(x, 1), normal((5, 130), 1, 100)),
    ],
    "std": lambda f: reduced(f, lambda x, a: torch.std(x, axes_of(x, a), correction=0)),
    "logsumexp": lambda f: reduced(f, lambda x, a: torch.logsumexp(x, axes_of(x, a)), between(-100, 100)),
    "nansum": lambda f: reduced(f, torch.nansum, some_nan),
    "nanmean": lambda f: reduced(f, torch.nanmean, some_nan),
    "nanmax": lambda f: reduced(f, lambda x, a: torch.amax(torch.nan_to_num(x, -torch.inf), a), some_nan),
    "nanmin": lambda f: reduced(f, lambda x, a: torch.amin(torch.nan_to_num(x, torch.inf), a), some_nan),
    "any": lambda f: reduced(f, by_axis(lambda x, a: torch.any(x, a)), truths),
    "all": lambda f: reduced(f, by_axis(lambda x, a: torch.all(x, a)), truths),
    "count_nonzero": lambda f: reduced(f, torch.count_nonzero, with_ties),
    "argmax": lambda f: along(f, torch.argmax),
    "argmin": lambda f: along(f, torch.argmin),
    "cumsum": lambda f: along(f, flat(torch.cumsum)),
    "cumprod": lambda f: along(f, flat(torch.cumprod), between(0.8, 1.25)),
    "average": lambda f: reduced(f, torch.mean),
    "median": lambda f: along(f, flat(lambda x, a: torch.quantile(x, 0.5, a))),
    "quantile": lambda f: along(lambda x, a: f(x, 0.3, a), flat(lambda x, a: torch.quantile(x, 0.3, a))),
    "percentile": lambda f: along(lambda x, a: f(x, 30, a), flat(lambda x, a: torch.quantile(x, 0.3, a))),
    "sort": lambda f: along(f, flat(lambda x, a: torch.sort(x, a)[0])),
    "argsort": lambda f: along(f, flat(lambda x, a: torch.argsort(x, dim=a, stable=True)), with_ties),
    # matrices
    "matmul": lambda f: products(f, torch.matmul),
    "dot": lambda f: [
        each(f, torch.matmul, normal(a), normal(b)) for a, b in (((5,), (5,)), ((4, 5), (5, 6)), ((4, 5), (5,)))
    ],
    "vdot": lambda f: both(f, torch.dot, normal((7,)), normal((7,))),
    "inner": lambda f: both(f, torch.inner, normal((4, 5)), normal((3, 5))),
    "outer": lambda f: both(f, torch.outer, normal((4,)), normal((5,))),
    "tensordot": lambda f: both(
        lambda x, y: f(x, y, 1), lambda x, y: torch.tensordot(x, y, 1), normal(X), normal((4, 5))
    ),
    "einsum": lambda f: both(
        lambda x, y: f("bij,bkj->bik", x, y),
        lambda x, y: torch.einsum("bij,bkj->bik", x, y),
        normal(X),
        normal((2, 5, 4)),
    ),
    "trace": lambda f: both(f, torch.trace, normal((4, 5))),
    "tril": lambda f: both(f, torch.tril, normal((4, 5))),
    "triu": lambda f: both(f, torch.triu, normal((4, 5))),
    "diag": lambda f: both(f, torch.diag, normal((4,))),
    "diagonal": lambda f: both(f, torch.diagonal, normal((4, 5))),
    # shapes
    "array": lambda f: both(f, lambda x: x, normal(X)),
    "asarray": lambda f: both(f, lambda x: x, normal(X)),
    "copy": lambda f: both(f, lambda x: x, normal(X)),
    "reshape": lambda f: both(lambda x: f(x, (4, 6)), lambda x: x.reshape(4, 6), normal(X)),
    "ravel": lambda f: both(f, torch.ravel, normal(X)),
    "transpose": lambda f: (
        both(f, lambda x: x.permute(2, 1, 0), normal(X))
        + both(lambda x: f(x, (1, 2, 0)), lambda x: x.permute(1, 2, 0), normal((33, 65, 3)))
    ),
    "permute_dims": lambda f: both(lambda x: f(x, (1, 2, 0)), lambda x: x.permute(1, 2, 0), normal(X)),
    "swapaxes": lambda f: both(lambda x: f(x, 0, -1), lambda x: x.swapaxes(0, -1), normal(X)),
    "moveaxis": lambda f: both(lambda x: f(x, 0, -1), lambda x: x.moveaxis(0, -1), normal(X)),
    "rollaxis": lambda f: both(lambda x: f(x, 2), lambda x: x.moveaxis(2, 0), normal(X)),
    "expand_dims": lambda f: both(lambda x: f(x, 1), lambda x: x.unsqueeze(1), normal(X)),
    "squeeze": lambda f: both(lambda x: f(x, 1), lambda x: x.squeeze(1), normal((3, 1, 4))),
    "atleast_1d": lambda f: both(f, torch.atleast_1d, normal(())),
    "atleast_2d": lambda f: both(f, torch.atleast_2d, normal((3,))),
    "atleast_3d": lambda f: both(f, torch.atleast_3d, normal((3, 2))),
    "broadcast_to": lambda f: both(lambda x: f(x, (5, 2, 3)), lambda x: x.broadcast_to((5, 2, 3)), normal((2, 1))),
    "broadcast_arrays": lambda f: both(
        lambda x, y: list(f(x, y)), lambda x, y: list(torch.broadcast_tensors(x, y)), normal((2, 1)), normal((3,))
    ),
    "meshgrid": lambda f: both(
        lambda x, y: list(f(x, y)),
        lambda x, y: list(torch.meshgrid(x, y, indexing="xy")),
        normal((3,)),
        normal((4,)),
    ),
    "concatenate": lambda f: [
        each(lambda *xs, a=a: f(xs, a), lambda *xs, a=a: torch.cat(xs, a), normal(s), normal(t))
        for a, s, t in ((0, (2, 3), (4, 3)), (-1, X, (2, 3, 1)))
    ],
    "concat": lambda f: both(lambda *xs: f(xs, 1), lambda *xs: torch.cat(xs, 1), normal((2, 3)), normal((2, 1))),
    "stack": lambda f: both(lambda *xs: f(xs, 1), lambda *xs: torch.stack(xs, 1), normal((2, 3)), normal((2, 3))),
    "hstack": lambda f: both(lambda *xs: f(xs), torch_of(torch.hstack), normal((2, 3)), normal((2, 1))),
    "vstack": lambda f: both(lambda *xs: f(xs), torch_of(torch.vstack), normal((2, 3)), normal((1, 3))),
    "dstack": lambda f: both(lambda *xs: f(xs), torch_of(torch.dstack), normal((2, 3)), normal((2, 3))),
    "column_stack": lambda f: both(lambda *xs: f(xs), torch_of(torch.column_stack), normal((3,)), normal((3, 2))),
    "split": lambda f: both(lambda x: f(x, 2, -1), lambda x: list(torch.tensor_split(x, 2, -1)), normal(X)),
    "array_split": lambda f: both(lambda x: f(x, 3, -1), lambda x: list(torch.tensor_split(x, 3, -1)), normal(X)),
    "hsplit": lambda f: both(lambda x: list(f(x, 3)), lambda x: list(torch.hsplit(x, 3)), normal(X)),
    "vsplit": lambda f: both(lambda x: list(f(x, 2)), lambda x: list(torch.vsplit(x, 2)), normal(X)),
    "pad": lambda f: both(
        lambda x: f(x, ((0, 0), (1, 2), (0, 3))), lambda x: torch.nn.functional.pad(x, (0, 3, 1, 2)), normal(X)
    ),
    "flip": lambda f: both(lambda x: f(x, (0, 2)), lambda x: torch.flip(x, (0, 2)), normal(X)),
    "fliplr": lambda f: both(f, torch.fliplr, normal(X)),
    "flipud": lambda f: both(f, torch.flipud, normal(X)),
    "rot90": lambda f: both(f, torch.rot90, normal((3, 4))),
    "roll": lambda f: both(lambda x: f(x, 2, 1), lambda x: torch.roll(x, 2, 1), normal(X)),
    "tile": lambda f: both(lambda x: f(x, (2, 1, 3)), lambda x: torch.tile(x, (2, 1, 3)), normal(X)),
    "repeat": lambda f: both(lambda x: f(x, 3, 1), lambda x: torch.repeat_interleave(x, 3, 1), normal(X)),
    "diff": lambda f: (
        both(f, torch.diff, normal((3, 5))) + both(lambda x: f(x, 2, 0), lambda x: torch.diff(x, 2, 0), normal((5, 3)))
    ),
    # like others
    "zeros_like": lambda f: both(f, torch.zeros_like, normal(X)),
    "ones_like": lambda f: both(f, torch.ones_like, normal(X)),
    "full_like": lambda f: both(lambda x: f(x, 2.5), lambda x: torch.full_like(x, 2.5), normal(X)),
    "empty_like": lambda f: both(lambda x: f(x) * 0, torch.zeros_like, normal(X)),
    # picks
    "take": lambda f: (
        both(lambda x, i: f(x, i, 1), taken, normal((3, 5, 2)), integers(0, 5)((4, 2)))
        + both(lambda x, i: f(x, i, 0), lambda x, i: x[i.long()], normal((50, 40)), integers(0, 50)((70,)))
    ),
    "take_along_axis": lambda f: both(
        lambda x, i: f(x, i, 1),
        lambda x, i: torch.take_along_dim(x, i.long(), 1),
        normal((3, 5)),
        integers(0, 5)((3, 7)),
    ),
    "searchsorted": lambda f: both(f, torch.searchsorted, lambda rng: np.sort(normal((9,))(rng)), normal((5,))),
    "unravel_index": lambda f: both(
        lambda i: list(f(i, (3, 4))), lambda i: list(torch.unravel_index(i.long(), (3, 4))), integers(0, 12)((5,))
    ),
    # from nothing
    "zeros": same("zeros"),
    "ones": same("ones"),
    "full": same("full"),
    "arange": same("arange"),
    "eye": same("eye"),
    "linspace": same("linspace"),
    "identity": same("identity"),
    "tri": same("tri"),
    "empty": same("empty"),
}


def torch_of(theirs: Any) -> Any:
    return lambda *xs: theirs(xs)


REASONS = {
    **dict.fromkeys(("bool_", "uint8", "int32", "uint32", "float32", "float64"), "a dtype"),
    **dict.fromkeys(("e", "pi", "inf", "nan", "newaxis", "euler_gamma"), "a constant"),
}
