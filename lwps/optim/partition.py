"""Different treatment of different parameters, picked by the paths that lead to them.

The stages inside see pytrees of their own parameters only: the others are None there, and have no state.
"""

import fnmatch
from collections.abc import Callable, Mapping
from typing import Any

from lwps import tree
from lwps.core import ShapedArray, aval_of
from lwps.optim.update import Optimizer

Which = str | Callable[[str, ShapedArray], bool]


def masked(inner: Optimizer, mask: Which) -> Optimizer:
    """`inner` for the parameters that `mask` picks; the gradients of the others pass as they are.

    `mask`: a pattern for paths such as `layer1/0/conv1/w`, in which `*` stands for anything, slashes included (`*/b`,
    `layer1/*`), or a function (path, aval) -> bool. One that picks nothing is refused, as it is a slip of the pen.
    Only a stage of a chain should be masked: a masked optimizer lets gradients through where updates
    are meant; `partition` is for those.
    """

    def init(params: Any) -> Any:
        return inner.init(_only(_picked(mask, params), params, params))

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        flags = _picked(mask, params)
        own, state = inner.update(_only(flags, params, grads), state, _only(flags, params, params))
        rows = zip(flags, _leaves(params, own), _leaves(params, grads), strict=True)
        return tree.unflatten(tree.structure(params), [u if flag else g for flag, u, g in rows]), state

    return Optimizer(init, update)


def partition(optimizers: Mapping[str, Optimizer]) -> Optimizer:
    """The optimizer that treats each parameter by the first pattern that fits its path.

    `{"head/*": adam(1e-3), "*": set_to_zero()}` trains the head and leaves the rest as it is. In a pattern
    `*` stands for anything, slashes included. The state is a tuple of their states, in order. ValueError where a
    parameter fits no pattern, or no parameter is left for one.
    """
    patterns = tuple(optimizers)

    def init(params: Any) -> Any:
        rows = _first_fits(patterns, params)
        return tuple(optimizers[pattern].init(_only(flags, params, params)) for pattern, flags in rows.items())

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        updates: list[Any] = [None] * tree.structure(params).num_leaves
        new = []
        for (pattern, flags), own in zip(_first_fits(patterns, params).items(), state, strict=True):
            part, own = optimizers[pattern].update(_only(flags, params, grads), own, _only(flags, params, params))
            new.append(own)
            updates = [u if flag else old for flag, u, old in zip(flags, _leaves(params, part), updates, strict=True)]
        return tree.unflatten(tree.structure(params), updates), tuple(new)

    return Optimizer(init, update)


def set_to_zero() -> Optimizer:
    """The optimizer that changes nothing, and costs nothing: its updates are None. For parts that are frozen."""

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        return tree.map(lambda p: None, params), state

    return Optimizer(lambda params: {}, update)


def _paths(params: Any) -> list[str]:
    return ["/".join(path) for path in tree.paths(params)]


def _picked(mask: Which, params: Any) -> list[bool]:
    """Whether each parameter is picked."""
    paths, leaves = _paths(params), tree.leaves(params)
    if isinstance(mask, str):
        flags = [fnmatch.fnmatchcase(path, mask) for path in paths]
    else:
        flags = [bool(mask(path, aval_of(p))) for path, p in zip(paths, leaves, strict=True)]
    if paths and not any(flags):
        raise ValueError(f"masked: {mask!r} must fit a parameter, got {', '.join(paths)}")
    return flags


def _first_fits(patterns: tuple[str, ...], params: Any) -> dict[str, list[bool]]:
    """For each pattern the parameters that it is the first to fit."""
    paths = _paths(params)
    first = [next((p for p in patterns if fnmatch.fnmatchcase(path, p)), None) for path in paths]
    unfit = [path for path, pattern in zip(paths, first, strict=True) if pattern is None]
    if unfit:
        raise ValueError(
            f'partition: every parameter must fit a pattern of {list(patterns)}, got {", ".join(unfit)}; add "*"'
        )
    unused = [pattern for pattern in patterns if pattern not in first]
    if unused and paths:
        raise ValueError(f"partition: {unused[0]!r} must be the first to fit a parameter, got {', '.join(paths)}")
    return {pattern: [pattern == found for found in first] for pattern in patterns}


def _leaves(params: Any, values: Any) -> list[Any]:
    """One for each parameter; None where `values` has None."""
    return tree.leaves_up_to(tree.structure(params), values, "update")


def _only(flags: list[bool], params: Any, values: Any) -> Any:
    """`values`, a pytree like the params, with None in the place of those that are not picked."""
    picked = [x if flag else None for flag, x in zip(flags, _leaves(params, values), strict=True)]
    return tree.unflatten(tree.structure(params), picked)
