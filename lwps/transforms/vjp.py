"""Reverse mode as a transform of programs: the eqns forward, then their vjp rules in reverse order.

There are no residuals: what a rule reads is a value of the same program and lives until its last use.
"""

from collections.abc import Sequence
from typing import Any

from lwps import tracing
from lwps.core import Eqn, Program, Var
from lwps.ops.elementwise import add, zeros_like
from lwps.tracing import Trace, Tracer


class MissingVjpError(TypeError):
    """Primitives on the way from inputs to outputs have no vjp rule; the message lists all of them."""


def vjp(program: Program, wrt: Sequence[int] | None = None, outputs: Sequence[int] | None = None) -> Program:
    """The program that also computes cotangents.

    Its inputs are those of `program`, then a cotangent for each of `outputs` (positions; default all).
    Its outputs are those of `program`, then a cotangent for each input in `wrt` (default all). Eqns
    that these do not depend on get no vjp eqn.
    """
    wrt = range(len(program.inputs)) if wrt is None else wrt
    outputs = range(len(program.outputs)) if outputs is None else outputs
    active = active_vars(program, wrt)
    _check_rules(program, active, outputs)
    with tracing.new_trace() as trace:
        ins = [trace.new_input(v.aval) for v in program.inputs]
        seeds = [trace.new_input(program.outputs[o].aval) for o in outputs]
        env = _forward(trace, program, ins)
        cts: dict[Var, Tracer] = {}
        for o, seed in zip(outputs, seeds, strict=True):
            _accumulate(cts, program.outputs[o], seed, active)
        _backward(program, env, cts, active)
        gradients = [cts.get(program.inputs[i]) for i in wrt]
        with tracing.scope(phase="backward"):
            gradients = [zeros_like(ins[i]) if g is None else g for i, g in zip(wrt, gradients, strict=True)]
        return trace.program([*(env[v] for v in program.outputs), *gradients])


def active_vars(program: Program, wrt: Sequence[int]) -> set[Var]:
    """Float values that depend on the inputs `wrt`."""
    active = {program.inputs[i] for i in wrt if program.inputs[i].aval.dtype.kind == "f"}
    for eqn in program.eqns:
        if not active.isdisjoint(eqn.ins):
            active.update(v for v in eqn.outs if v.aval.dtype.kind == "f")
    return active


def _check_rules(program: Program, active: set[Var], outputs: Sequence[int]) -> None:
    wanted = {program.outputs[o] for o in outputs} & active
    missing = []
    for eqn in reversed(program.eqns):
        if wanted.isdisjoint(eqn.outs):
            continue
        if eqn.primitive.vjp is None:
            missing.append(f"{eqn} at {eqn.source}")
        wanted.update(active.intersection(eqn.ins))
    if missing:
        rows = "\n  ".join(reversed(missing))
        raise MissingVjpError(
            f"vjp: every primitive between inputs and outputs must have a vjp rule, got none for\n  {rows}\n"
            "use stop_gradient before them, or give the function a rule with lwps.custom_vjp"
        )


def _forward(trace: Trace, program: Program, ins: Sequence[Tracer]) -> dict[Var, Tracer]:
    env = dict(zip(program.inputs, ins, strict=True))
    everything = [*(v for eqn in program.eqns for v in eqn.outs), *(v for v, _ in program.consts)]
    whole = Program(program.inputs, program.eqns, tuple(everything), program.consts)
    env.update(zip(everything, trace.inline(whole, ins), strict=True))
    return env


def _backward(program: Program, env: dict[Var, Tracer], cts: dict[Var, Tracer], active: set[Var]) -> None:
    for eqn in reversed(program.eqns):
        out_cts = [cts.pop(v, None) for v in eqn.outs]
        needed = tuple(v in active for v in eqn.ins)
        if all(ct is None for ct in out_cts) or not any(needed):
            continue
        with tracing.scope(phase="backward", layer=eqn.layer):
            for var, ct, need in zip(eqn.ins, _apply_rule(eqn, env, out_cts, needed), needed, strict=True):
                if ct is not None and need:
                    _accumulate(cts, var, ct, active)


def _apply_rule(eqn: Eqn, env: dict[Var, Tracer], out_cts: list[Any], needed: tuple[bool, ...]) -> Sequence[Any]:
    ins, outs = [env[v] for v in eqn.ins], [env[v] for v in eqn.outs]
    assert eqn.primitive.vjp is not None  # _check_rules has refused those
    in_cts = eqn.primitive.vjp(out_cts, ins, outs, needed, **eqn.params)
    for x, ct in zip(ins, in_cts, strict=True):
        if ct is not None and ct.aval != x.aval:
            raise TypeError(
                f"vjp of {eqn.primitive.name}: a cotangent must have its input's aval {x.aval}, got {ct.aval}"
            )
    return in_cts


def _accumulate(cts: dict[Var, Tracer], var: Var, ct: Tracer, active: set[Var]) -> None:
    if var in active:
        cts[var] = add(cts[var], ct) if var in cts else ct
