"""Layers made of layers: params and state are dicts by the parts' names, which name the layers of programs too."""

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

from lwps import tracing
from lwps.core import ShapedArray, aval_of
from lwps.nn.layer import Layer, result_aval
from lwps.ops import random
from lwps.ops.concatenate import concatenate
from lwps.ops.elementwise import add, full, promote, relu

SHORTCUT = "downsample"  # torchvision's name for it


def serial(*layers: Layer, **named: Layer) -> Layer:
    """One layer after the other: first `layers`, named "0", "1", ..., then `named`.

    Params and state are dicts {name: that layer's}. The key of layer number i is `fold_in(key, i)`.
    """
    parts = {str(i): layer for i, layer in enumerate(layers)} | named

    def init(key: Any, aval: ShapedArray) -> tuple[Any, Any, ShapedArray]:
        params, state = {}, {}
        for i, (name, part) in enumerate(parts.items()):
            with _part(name):
                params[name], state[name], aval = part.init(random.fold_in(key, i), aval)
        return params, state, aval

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        _check_names("serial", params, parts)
        new_state = {}
        for i, (name, part) in enumerate(parts.items()):
            with _part(name):
                own_key = None if key is None else random.fold_in(key, i)
                x, new_state[name] = part.apply(params[name], state[name], x, train=train, key=own_key)
        return x, new_state

    return Layer(init, apply)


def residual(body: Layer, shortcut: Layer | None = None, after: Callable[[Any], Any] = relu) -> Layer:
    """`after(body(x) + x)`, or with a `shortcut` layer `after(body(x) + shortcut(x))` (He et al. 2016).

    `body` is a `serial`. Params and state are those of the body, and the shortcut's under "downsample".
    `after` is a function of ops. The results of both branches must have one aval.
    """

    def init(key: Any, aval: ShapedArray) -> tuple[Any, Any, ShapedArray]:
        params, state, out = body.init(random.fold_in(key, 0), aval)
        if shortcut is None:
            _check_branches(out, aval)
            return params, state, result_aval(after, out)
        if SHORTCUT in params:
            raise ValueError(
                f"residual: the body must not have a layer named {SHORTCUT!r}, got {list(params)}; rename it"
            )
        with _part(SHORTCUT):
            short_params, short_state, short_out = shortcut.init(random.fold_in(key, 1), aval)
        _check_branches(out, short_out)
        return params | {SHORTCUT: short_params}, state | {SHORTCUT: short_state}, result_aval(after, out)

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        keys = (None, None) if key is None else (random.fold_in(key, 0), random.fold_in(key, 1))
        y, new_state = body.apply(_without(params), _without(state), x, train=train, key=keys[0])
        if shortcut is not None:
            with _part(SHORTCUT):
                x, short_state = shortcut.apply(params[SHORTCUT], state[SHORTCUT], x, train=train, key=keys[1])
            new_state = new_state | {SHORTCUT: short_state}
        return after(add(y, x)), new_state

    return Layer(init, apply)


def skip(body: Layer) -> Layer:
    """x[..., C] -> [..., C + K]: `x` and, behind its channels, the K that `body` makes of it.

    A skip connection as U-Net and DenseNet have it. Params and state are those of the body.
    """

    def beside(x: Any, y: Any) -> Any:
        if aval_of(x).shape[:-1] != aval_of(y).shape[:-1]:
            got = f"{aval_of(y)} from {aval_of(x)}"
            raise TypeError(f"skip: the body must keep all axes but the last, got {got}; use images of even sides")
        return concatenate(promote("skip", x, y), -1)

    def init(key: Any, aval: ShapedArray) -> tuple[Any, Any, ShapedArray]:
        params, state, out = body.init(key, aval)
        return params, state, result_aval(lambda x: beside(x, full(out.shape, 0, out.dtype)), aval)

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        y, new_state = body.apply(params, state, x, train=train, key=key)
        return beside(x, y), new_state

    return Layer(init, apply)


@contextlib.contextmanager
def _part(name: str) -> Iterator[None]:
    """Eqns recorded inside belong to layer `name`, and errors say so."""
    try:
        with tracing.layer(name):
            yield
    except (TypeError, ValueError) as error:
        error.add_note(f"in layer {name}")
        raise


def _without(tree: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if name != SHORTCUT}


def _check_names(op: str, params: Any, parts: Collection[str]) -> None:
    if not isinstance(params, dict) or set(params) != set(parts):
        got = sorted(params) if isinstance(params, dict) else type(params).__name__
        raise ValueError(f"{op}: params must be a dict with the keys {sorted(parts)}, got {got}; use what init gave")


def _check_branches(body: ShapedArray, shortcut: ShapedArray) -> None:
    if body != shortcut:
        raise TypeError(
            f"residual: body and shortcut must give one aval, got {body} and {shortcut}; give a shortcut layer"
        )
