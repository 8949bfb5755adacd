"""What an optimizer is, and how its work is recorded: leaf by leaf, each in the layer that the leaf belongs to."""

from collections.abc import Callable
from typing import Any

import attrs

from lwps import tracing, tree
from lwps.core import aval_of
from lwps.ops.elementwise import add, astype, neg


@attrs.frozen(eq=False)
class Optimizer:
    """How gradients become changes of parameters.

    - `init(params) -> state`
    - `update(grads, state, params) -> updates, state`: what `apply_updates` adds to the params
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


def apply_updates(params: Any, updates: Any) -> Any:
    """The pytree of `params + updates`, leaf by leaf."""
    return each_leaf("apply_updates", lambda p, u: (add(p, u),), 1, params, updates)[0]


def each_leaf(op: str, fn: Callable[..., tuple[Any, ...]], count: int, params: Any, *others: Any) -> tuple[Any, ...]:
    """The pytrees of the `count` results of `fn(p, *leaves of others)`, one for each result.

    Recorded in phase `update` and in the layer that a leaf's path names: `conv1` for `conv1/w`. ValueError
    where pytrees differ, TypeError where avals do.
    """
    leaves, spec = tree.flatten(params)
    rows = zip(leaves, *(tree.leaves_as(spec, other, op) for other in others), strict=True)
    results = []
    for path, row in zip(tree.paths(params), rows, strict=True):
        _check_avals(op, path, row)
        with tracing.scope(phase="update", layer="/".join(path[:-1])):
            results.append(fn(*row))
    return tuple(tree.unflatten(spec, [row[k] for row in results]) for k in range(count))


def _check_avals(op: str, path: tuple[str, ...], row: tuple[Any, ...]) -> None:
    avals = [aval_of(x) for x in row]
    if avals[0].dtype.kind != "f" or any(a != avals[0] for a in avals):
        got = ", ".join(map(str, avals))
        raise TypeError(
            f"{op}: what belongs to one parameter must share one float aval, got {got} for {'/'.join(path)}"
        )


def minus(learning_rate: Any, p: Any) -> Any:
    """-learning_rate in the dtype of `p`, so that an array of another dtype does not change the parameter's."""
    if isinstance(learning_rate, int | float):
        return -learning_rate
    return neg(astype(learning_rate, aval_of(p).dtype))


def check_rates(op: str, **rates: float) -> None:
    """Refuse decay rates of averages outside [0, 1)."""
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ValueError(f"{op}: {name} must be from 0 to below 1, got {rate}")
