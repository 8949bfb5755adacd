"""grad, value_and_grad and vjp: a function is recorded, differentiated, and inlined into the trace around it."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lwps import core, tracing
from lwps.core import Program, aval_of, evaluate_program
from lwps.ops.elementwise import full
from lwps.tracing import Tracer
from lwps.transforms.vjp import vjp as vjp_program


def value_and_grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns `fn`'s value and its gradient with respect to argument `argnums`.

    `fn` must return a 0-d float, or with `has_aux` a pair of that and any pytree; then the result is
    ((value, aux), gradient). Gradients have the pytree of their argument. TypeError, listing all of
    them, where primitives on the way have no vjp rule.
    """

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        if tracing.current_trace() is None:
            return _at_once(differentiated, args, kwargs)
        return _value_and_grad(fn, argnums, has_aux, args, kwargs)

    return functools.update_wrapper(differentiated, fn)


def grad(fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `fn` (with `has_aux` a pair of it and the aux)."""
    both = value_and_grad(fn, argnums, has_aux)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return functools.update_wrapper(differentiated, fn)


def vjp(fn: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """`fn(*primals)` and a function from cotangents of its result to a tuple of those of `primals`."""
    if tracing.current_trace() is None:
        leaves, in_tree = tracing.flatten(primals)
        arrays = [core.narrow(x, "vjp") for x in leaves]
        program, _, out_tree = _record(lambda *xs: fn(*xs), in_tree, arrays)
        outs = tracing.unflatten(out_tree, evaluate_program(program, arrays))
        return outs, functools.partial(_pull_back_at_once, program, arrays, in_tree)
    leaves, in_tree = tracing.flatten(primals)
    program, captured, out_tree = _record(lambda *xs: fn(*xs), in_tree, leaves)
    outs = _current().inline(program, [*leaves, *captured])
    pulled = vjp_program(program, wrt=range(len(leaves)))

    def pull_back(cts: Any) -> tuple[Any, ...]:
        results = _current().inline(pulled, [*leaves, *captured, *tracing.flatten(cts)[0]])
        # the forward eqns come a second time and are merged with the first by `simplify`
        return tracing.unflatten(in_tree, results[len(program.outputs) :])  # type: ignore[no-any-return]

    return tracing.unflatten(out_tree, outs), pull_back


def _pull_back_at_once(program: Program, arrays: Sequence[np.ndarray], in_tree: Any, cts: Any) -> tuple[Any, ...]:
    seeds = [np.asarray(ct, v.aval.dtype) for ct, v in zip(tracing.flatten(cts)[0], program.outputs, strict=True)]
    results = evaluate_program(vjp_program(program), [*arrays, *seeds])
    return tracing.unflatten(in_tree, results[len(program.outputs) :])  # type: ignore[no-any-return]


def _value_and_grad(
    fn: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    leaves, in_tree = tracing.flatten([args[i] for i in chosen])
    for x in leaves:
        if aval_of(x).dtype.kind != "f":
            raise TypeError(
                f"grad: what is differentiated by must be floats, got {aval_of(x)} in argument {chosen}; use argnums"
            )

    def of_chosen(*xs: Any) -> Any:
        full = list(args)
        for i, x in zip(chosen, xs, strict=True):
            full[i] = x
        result = fn(*full, **kwargs)
        if has_aux and (not isinstance(result, tuple) or len(result) != 2):
            raise TypeError(f"grad: with has_aux the function must return (value, aux), got {type(result).__name__}")
        return result if has_aux else (result, ())

    program, captured, out_tree = _record(of_chosen, in_tree, leaves)
    loss = program.outputs[0].aval if program.outputs else None
    if loss is None or loss.shape != () or loss.dtype.kind != "f":
        raise TypeError(f"grad: the function must return a 0-d float, got {loss}; use .mean() or .sum(), or lwps.vjp")
    pulled = vjp_program(program, wrt=range(len(leaves)), outputs=[0])
    results = _current().inline(pulled, [*leaves, *captured, full((), 1, loss.dtype)])
    value, aux = tracing.unflatten(out_tree, results[: len(program.outputs)])
    gradients = tracing.unflatten(in_tree, results[len(program.outputs) :])
    gradient = gradients[0] if isinstance(argnums, int) else tuple(gradients)
    return ((value, aux) if has_aux else value), gradient


def _record(fn: Callable[..., Any], in_tree: Any, leaves: Sequence[Any]) -> tuple[Program, list[Tracer], Any]:
    """The program of `fn` over the leaves of its arguments, what it captured, and its result's pytree."""
    out_tree: Any = None

    def flat(*tracers: Tracer) -> list[Any]:
        nonlocal out_tree
        outputs, out_tree = tracing.flatten(fn(*tracing.unflatten(in_tree, tracers)))
        return outputs

    program, captured = tracing.record(flat, [aval_of(x) for x in leaves])
    return program, captured, out_tree


def _current() -> tracing.Trace:
    trace = tracing.current_trace()
    assert trace is not None
    return trace


def _at_once(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Outside a trace: record, then run every eqn's NumPy rule."""
    leaves, in_tree = tracing.flatten(args)
    arrays = [core.narrow(x, "grad") for x in leaves]
    program, _, out_tree = _record(lambda *xs: fn(*xs, **kwargs), in_tree, arrays)
    return tracing.unflatten(out_tree, evaluate_program(program, arrays))
