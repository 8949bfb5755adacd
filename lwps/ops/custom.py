"""Functions with a vjp rule of the user's own."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from lwps import tracing
from lwps.core import Cost, Primitive, Program, ShapedArray, evaluate_program


@attrs.define(eq=False)
class custom_vjp:
    """`fn` with its own vjp: `f = custom_vjp(fn); f.defvjp(fwd, bwd)`, as in JAX.

    `fwd(*args)` returns (result, residuals); `bwd(residuals, ct)` returns a tuple with a cotangent (or
    None) for each argument. What `fwd` computes again is merged with what the step has computed.
    """

    fn: Callable[..., Any]
    fwd: Callable[..., Any] | None = None
    bwd: Callable[..., Any] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the rule."""
        self.fwd, self.bwd = fwd, bwd

    def __call__(self, *args: Any) -> Any:
        """`fn(*args)`; positional pytrees of arrays only."""
        trace = tracing.current_trace()
        if trace is None:
            return self.fn(*args)
        if self.fwd is None or self.bwd is None:
            raise TypeError(
                f"custom_vjp: {self.fn.__name__} must have a rule before it is traced, got none; call defvjp(fwd, bwd)"
            )
        leaves, in_tree = tracing.flatten(args)
        out_tree: Any = None

        def flat(*tracers: Any) -> list[Any]:
            nonlocal out_tree
            outputs, out_tree = tracing.flatten(self.fn(*tracing.unflatten(in_tree, tracers)))
            return outputs

        body, captured = tracing.record(flat, [trace.lift(x, "custom_vjp").aval for x in leaves])
        rule = _Rule(self.fwd, self.bwd, in_tree, out_tree, len(leaves), self.fn.__name__)
        return tracing.unflatten(out_tree, custom_vjp_call_p.bind(*leaves, *captured, body=body, rule=rule))


@attrs.frozen(eq=False)
class _Rule:
    """The user's rule with the pytrees that it was given for."""

    fwd: Callable[..., Any]
    bwd: Callable[..., Any]
    in_tree: Any
    out_tree: Any
    n_args: int
    name: str


def _aval(*ins: ShapedArray, body: Program, rule: _Rule) -> tuple[ShapedArray, ...]:
    return tuple(v.aval for v in body.outputs)


def _vjp(cts: Any, ins: Any, outs: Any, needed: Any, *, body: Program, rule: _Rule) -> Sequence[Any]:
    if any(needed[rule.n_args :]):
        raise TypeError(
            f"custom_vjp: {rule.name} must get what it is differentiated by as arguments, got it from its closure"
        )
    _, residuals = rule.fwd(*tracing.unflatten(rule.in_tree, ins[: rule.n_args]))
    filled = [_zeros(out) if ct is None else ct for ct, out in zip(cts, outs, strict=True)]
    in_cts = rule.bwd(residuals, tracing.unflatten(rule.out_tree, filled))
    args = tracing.unflatten(rule.in_tree, ins[: rule.n_args])
    if not isinstance(in_cts, tuple) or len(in_cts) != len(args):
        raise TypeError(f"custom_vjp: bwd of {rule.name} must return a tuple of {len(args)} cotangents, got {in_cts!r}")
    leaves: list[Any] = []
    for ct, arg in zip(in_cts, args, strict=True):
        n = len(tracing.flatten(arg)[0])
        leaves += [None] * n if ct is None else tracing.flatten(ct)[0]
    if len(leaves) != rule.n_args:
        raise TypeError(
            f"custom_vjp: bwd of {rule.name} must return cotangents shaped as its arguments, got {len(leaves)} leaves"
        )
    return [*leaves, *[None] * (len(ins) - rule.n_args)]


def _zeros(x: Any) -> Any:
    from lwps.ops.elementwise import zeros_like

    return zeros_like(x)


def _cost(*ins: ShapedArray, body: Program, rule: _Rule) -> Cost:
    costs = [e.primitive.cost(*e.in_avals, **e.params) for e in body.eqns]
    return Cost(sum(c.flops for c in costs), sum(c.nbytes for c in costs))


def _numpy(*arrays: np.ndarray, body: Program, rule: _Rule) -> None:
    outs, ins = arrays[: len(body.outputs)], arrays[len(body.outputs) :]
    for out, value in zip(outs, evaluate_program(body, ins), strict=True):
        out[...] = value


custom_vjp_call_p = Primitive(
    "custom_vjp_call",
    aval=_aval,
    vjp=_vjp,
    cost=_cost,
    numpy=_numpy,
    opencl=(),  # simplify puts the body's eqns in its place
    alias=None,
    split=None,
)
