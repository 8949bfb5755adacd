"""What an optimizer is, and how its work is recorded: leaf by leaf, each in the layer that the leaf belongs to."""

from collections.abc import Callable
from typing import Any

import attrs

from lwps import tracing, tree
from lwps.core import aval_of
from lwps.ops.elementwise import add, astype

Schedule = Callable[[Any], Any]  # from a count of steps, int32 0-d, to a float 0-d


@attrs.frozen(eq=False)
class Optimizer:
    """How gradients become changes of parameters; also one stage of that, for `chain`.

    - `init(params) -> state`
    - `update(grads, state, params) -> updates, state`: what `apply_updates` adds to the params

    A gradient None means that its parameter is not to change: its update is None, its state stays.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


def apply_updates(params: Any, updates: Any) -> Any:
    """The pytree of `params + updates`, leaf by leaf; a parameter whose update is None stays as it is."""

    def one(p: Any, u: Any) -> tuple[Any]:
        return (p if u is None else add(p, u),)

    return _recorded("apply_updates", one, params, updates)[0]


def stateless(fn: Callable[[Any, Any], Any]) -> Optimizer:
    """The stage without state whose updates are `fn(p, g)`, leaf by leaf."""

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        return each_leaf(lambda p, g: (fn(p, g),), params, grads)[0], state

    return Optimizer(lambda params: {}, update)


def each_leaf(fn: Callable[..., tuple[Any, ...]], params: Any, grads: Any, *states: Any) -> tuple[Any, ...]:
    """The pytrees of updates and new states from `fn(p, g, *states) -> u, *states`, called for every leaf.

    Recorded in phase `update` and in the layer that a leaf's path names: `conv1` for `conv1/w`. ValueError
    where pytrees differ, TypeError where avals do.
    """

    def one(p: Any, g: Any, *rest: Any) -> tuple[Any, ...]:
        return (None, *rest) if g is None else fn(p, g, *rest)

    return _recorded("update", one, params, grads, *states)


def _recorded(op: str, fn: Callable[..., tuple[Any, ...]], params: Any, *others: Any) -> tuple[Any, ...]:
    leaves, spec = tree.flatten(params)
    rows = zip(leaves, *(tree.leaves_up_to(spec, other, op) for other in others), strict=True)
    results = []
    for path, row in zip(tree.paths(params), rows, strict=True):
        _check_avals(op, path, row)
        with tracing.scope(phase="update", layer="/".join(path[:-1])):
            results.append(fn(*row))
    return tuple(tree.unflatten(spec, [row[k] for row in results]) for k in range(len(others)))


def _check_avals(op: str, path: tuple[str, ...], row: tuple[Any, ...]) -> None:
    avals = [aval_of(x) for x in row if x is not None]
    if avals[0].dtype.kind != "f" or any(a != avals[0] for a in avals):
        got = ", ".join(map(str, avals))
        raise TypeError(
            f"{op}: what belongs to one parameter must share one float aval, got {got} for {'/'.join(path)}"
        )


def like(p: Any, factor: Any) -> Any:
    """A number as it is, an array in the dtype of `p`: one of another dtype must not change the parameter's."""
    return factor if isinstance(factor, int | float) else astype(factor, aval_of(p).dtype)


def check_rates(op: str, **rates: float) -> None:
    """Refuse decay rates of averages outside [0, 1)."""
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ValueError(f"{op}: {name} must be from 0 to below 1, got {rate}")


def check_at_least_0(op: str, **numbers: float) -> None:
    """Refuse negative numbers, and NaN."""
    for name, number in numbers.items():
        if not number >= 0:
            raise ValueError(f"{op}: {name} must be at least 0, got {number}")
