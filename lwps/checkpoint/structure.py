"""Pytrees as JSON: what nodes there are, and under which name each array lies."""

import functools
from collections import namedtuple
from collections.abc import Mapping
from typing import Any

import numpy as np
import optree

from lwps import tree

RESERVED = "__metadata__"  # safetensors keeps this name for itself
_PLAIN = (bool, int, float, str)  # leaves that are JSON themselves


def describe(node: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The structure of a pytree as JSON, and its arrays by the names they have there: `params/conv1/w`.

    TypeError names a leaf or a key that no file can hold.
    """
    arrays: dict[str, np.ndarray] = {}
    return _describe(node, (), arrays), arrays


def _describe(node: Any, path: tuple[str, ...], arrays: dict[str, np.ndarray]) -> Any:
    children = tree.children(node)
    if children is None:
        return _leaf(node, path, arrays)
    parts = [_describe(child, (*path, str(entry)), arrays) for entry, child in children]
    kind = type(node)
    if kind is dict:
        return {"dict": [[_key(k, path), part] for (k, _), part in zip(children, parts, strict=True)]}
    if kind in (list, tuple):
        return {kind.__name__: parts}
    fields = [str(entry) for entry, _ in children]
    what = "namedtuple" if optree.is_namedtuple(node) else "class"
    return {what: kind.__qualname__, "fields": fields, "items": parts}


def _leaf(x: Any, path: tuple[str, ...], arrays: dict[str, np.ndarray]) -> Any:
    if x is None or type(x) in _PLAIN:
        return {"value": x}
    name = name_of(path)
    array = np.asarray(x) if hasattr(x, "shape") and hasattr(x, "dtype") else None
    if array is None or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        got = type(x).__name__ if array is None else str(array.dtype)
        raise TypeError(f"save: leaves must be arrays of bool, integers or floats, or numbers, got {got} at {name!r}")
    if name in arrays or name == RESERVED:
        raise ValueError(f"save: every array must have a name of its own, not {RESERVED}, got {name!r}; rename a key")
    arrays[name] = array
    return name


def _key(key: Any, path: tuple[str, ...]) -> Any:
    if type(key) not in (str, int):
        raise TypeError(f"save: keys of dicts must be str or int, got {key!r} at {name_of(path)!r}")
    return key


def name_of(path: tuple[str, ...]) -> str:
    """Keys joined by `/`; a `/` within one is written `~1` and a `~` as `~0` (RFC 6901)."""
    return "/".join(part.replace("~", "~0").replace("/", "~1") for part in path)


def rebuild(node: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The pytree that `describe` took apart; TypeError for a class of the user's, which only `like` can give."""
    if isinstance(node, str):
        return arrays[node]
    if "value" in node:
        return node["value"]
    if "dict" in node:
        return {key: rebuild(child, arrays) for key, child in node["dict"]}
    if "list" in node:
        return [rebuild(child, arrays) for child in node["list"]]
    if "tuple" in node:
        return tuple(rebuild(child, arrays) for child in node["tuple"])
    if "namedtuple" in node:
        items = (rebuild(child, arrays) for child in node["items"])
        return _namedtuple(node["namedtuple"], tuple(node["fields"]))(*items)
    raise TypeError(f"must have been saved without classes, got a {node['class']}; give load one as like=")


@functools.cache
def _namedtuple(name: str, fields: tuple[str, ...]) -> Any:
    """One class for all of this name with these fields, so that what is loaded twice has one structure."""
    return namedtuple(name.rpartition(".")[2], fields)


def leaves_by_name(node: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """The leaves of a pytree, in order, under the names that `describe` gives them."""
    children = tree.children(node)
    if children is None:
        return {} if node is None else {name_of(path): node}
    found: dict[str, Any] = {}
    for entry, child in children:
        found.update(leaves_by_name(child, (*path, str(entry))))
    return found


def leaves(node: Any, arrays: Mapping[str, np.ndarray], path: tuple[str, ...] = ()) -> dict[str, Any]:
    """The leaves of a structure by name."""
    if isinstance(node, str):
        return {name_of(path): arrays[node]}
    if "value" in node:
        return {} if node["value"] is None else {name_of(path): node["value"]}
    found: dict[str, Any] = {}
    for key, child in _entries(node):
        found.update(leaves(child, arrays, (*path, str(key))))
    return found


def _entries(node: Mapping[str, Any]) -> Any:
    if "dict" in node:
        return node["dict"]
    if "items" in node:
        return zip(node["fields"], node["items"], strict=True)
    return enumerate(node["list"] if "list" in node else node["tuple"])
