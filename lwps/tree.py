"""Pytrees: nested containers of arrays, taken apart into a list of leaves and a structure, and put together again.

Dicts (in the order of their sorted keys), tuples, lists, namedtuples, dataclasses and attrs classes are
nodes; None is an empty tree; everything else is a leaf. A dataclass or attrs class becomes a node when it
is first met, unless it has `shape` and `dtype`: then it stands for an array and is a leaf.
"""

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import optree

NAMESPACE = "lwps"

_leaf_types: set[type] = set()  # types that have been looked at and are not nodes
_node_types: set[type] = set()  # dataclasses and attrs classes that have been made nodes
_looking = threading.Lock()


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """The leaves of a pytree in order, and its structure."""
    found, spec = optree.tree_flatten(tree, namespace=NAMESPACE)
    while new := {type(x) for x in found} - _leaf_types:
        for kind in new:
            _look_at(kind)
        found, spec = optree.tree_flatten(tree, namespace=NAMESPACE)
    return found, spec


def unflatten(structure: Any, leaves: Sequence[Any]) -> Any:
    """The pytree of this structure with these leaves; dataclasses are made without calling `__init__`."""
    return optree.tree_unflatten(structure, leaves)


def leaves(tree: Any) -> list[Any]:
    """The leaves of a pytree in order."""
    return flatten(tree)[0]


def structure(tree: Any) -> Any:
    """What a pytree is without its leaves; equal for trees that differ in leaves only."""
    return flatten(tree)[1]


def paths(tree: Any) -> list[tuple[str, ...]]:
    """For each leaf the keys, positions and field names that lead to it: `("layer1", "0", "conv1", "w")`."""
    return [tuple(str(entry) for entry in path) for path in structure(tree).paths()]


def children(node: Any) -> list[tuple[Any, Any]] | None:
    """(key, position or field name, child) of each child of a node in order; None for a leaf, and for None."""
    while node is not None:
        try:
            found = optree.tree_flatten_one_level(node, namespace=NAMESPACE)
        except ValueError:  # a leaf, or a class that has not been met before
            if type(node) in _leaf_types:
                return None
            _look_at(type(node))
        else:
            entries = node._fields if optree.is_namedtuple(node) else found[2]
            return list(zip(entries, found[0], strict=True))
    return None


def map(fn: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """The pytree of `fn(leaf, *leaves of others)`; ValueError unless all have the structure of `tree`."""
    found, spec = flatten(tree)
    rows = zip(found, *(leaves_as(spec, other, "tree.map") for other in others), strict=True)
    return unflatten(spec, [fn(*row) for row in rows])


def leaves_as(spec: Any, tree: Any, op: str) -> list[Any]:
    """The leaves of `tree`; ValueError in the name of `op` unless its structure is `spec`."""
    found, own = flatten(tree)
    if own != spec:
        raise ValueError(f"{op}: pytrees must have the same structure, got {spec} and {own}")
    return found


def leaves_up_to(spec: Any, tree: Any, op: str) -> list[Any]:
    """As `leaves_as`, but `tree` may have None in the place of a leaf, and then so has the list."""
    own = structure(tree)  # looks at the types, too
    try:
        found = spec.flatten_up_to(tree)
    except ValueError:
        found = [tree]
    if len(found) != spec.num_leaves or any(x is not None and not structure(x).is_leaf() for x in found):
        raise ValueError(f"{op}: pytrees must have the same structure, got {spec} and {own}")
    return found


def _look_at(kind: type) -> None:
    """Make `kind` a node if it is a dataclass or an attrs class, else remember that it is a leaf."""
    names = _field_names(kind)
    with _looking:
        if names is None:
            _leaf_types.add(kind)
        elif kind not in _node_types:
            _register(kind, names)
            _node_types.add(kind)


def _field_names(kind: type) -> tuple[str, ...] | None:
    if attrs.has(kind):
        names = tuple(f.name for f in attrs.fields(kind))
    elif dataclasses.is_dataclass(kind):
        names = tuple(f.name for f in dataclasses.fields(kind))
    else:
        return None
    stands_for_an_array = all(name in names or hasattr(kind, name) for name in ("shape", "dtype"))
    return None if stands_for_an_array else names


def _register(kind: type, names: tuple[str, ...]) -> None:
    def take_apart(node: Any) -> tuple[list[Any], None, tuple[str, ...]]:
        return [getattr(node, name) for name in names], None, names

    def put_together(_: None, children: Sequence[Any]) -> Any:
        node: Any = object.__new__(kind)  # not __init__: validators and converters know arrays, not tracers
        for name, child in zip(names, children, strict=True):
            object.__setattr__(node, name, child)
        return node

    optree.register_pytree_node(kind, take_apart, put_together, namespace=NAMESPACE)
