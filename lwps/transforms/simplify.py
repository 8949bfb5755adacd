"""Programs made smaller without changing what they compute: calls inlined, constants, common and dead eqns."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Eqn, Program, Var, evaluate, storage_roots
from lwps.core import donation_pairs as pairs_of
from lwps.ops.custom import custom_vjp_call_p
from lwps.ops.elementwise import astype_p, broadcast_to_p, copy_p, div_p, full_p, mul_p, stop_gradient_p, sub_p
from lwps.ops.shape import reshape_p

FOLD_SIZE = 4096  # elements: larger results of constants are computed in the step, not kept


def simplify(program: Program) -> Program:
    """`program` with calls inlined, constants folded, equal eqns merged and unused eqns dropped."""
    return drop_dead(merge_common(fold_constants(inline_calls(program))))


class _Renaming:
    """Vars that stand for others from here on."""

    def __init__(self) -> None:
        self._to: dict[Var, Var] = {}

    def __call__(self, var: Var) -> Var:
        return self._to.get(var, var)

    def all(self, variables: Sequence[Var]) -> tuple[Var, ...]:
        return tuple(self._to.get(v, v) for v in variables)

    def let(self, var: Var, be: Var) -> None:
        self._to[var] = self(be)


def inline_calls(program: Program) -> Program:
    """The eqns of custom_vjp functions in the place of their calls."""
    rename = _Renaming()
    eqns: list[Eqn] = []
    consts = list(program.consts)
    for eqn in program.eqns:
        ins = rename.all(eqn.ins)
        if eqn.primitive is not custom_vjp_call_p:
            eqns.append(attrs.evolve(eqn, ins=ins))
            continue
        body = inline_calls(eqn.params["body"])
        inner = _Renaming()
        for var, outer in zip(body.inputs, ins, strict=True):
            inner.let(var, outer)
        consts += [(_fresh(v, inner), value) for v, value in body.consts]
        for e in body.eqns:
            outs = tuple(Var(v.aval) for v in e.outs)
            eqns.append(attrs.evolve(e, ins=inner.all(e.ins), outs=outs, layer=e.layer, phase=eqn.phase))
            for old, new in zip(e.outs, outs, strict=True):
                inner.let(old, new)
        for var, out in zip(eqn.outs, body.outputs, strict=True):
            rename.let(var, inner(out))
    return attrs.evolve(program, eqns=tuple(eqns), outputs=rename.all(program.outputs), consts=tuple(consts))


def _fresh(var: Var, rename: _Renaming) -> Var:
    new = Var(var.aval)
    rename.let(var, new)
    return new


def fold_constants(program: Program) -> Program:
    """Eqns of known inputs become constants; x + 0, x * 1 and plain copies become x."""
    rename = _Renaming()
    known: dict[Var, np.ndarray] = {v: value for v, value in program.consts if value.size <= FOLD_SIZE}
    filled: dict[Var, float] = {}  # values all of whose elements are one known number
    eqns: list[Eqn] = []
    consts = list(program.consts)
    for eqn in program.eqns:
        eqn = _refill(attrs.evolve(eqn, ins=rename.all(eqn.ins)), filled)
        same = _same_as(eqn, filled)
        if same is not None:
            rename.let(eqn.outs[0], same)
        elif eqn.ins and all(v in known for v in eqn.ins) and sum(v.aval.size for v in eqn.outs) <= FOLD_SIZE:
            for var, value in zip(
                eqn.outs, evaluate(eqn.primitive, [known[v] for v in eqn.ins], eqn.params), strict=True
            ):
                known[var] = value
                if value.ndim == 0:  # as `full`, so that chains make it in a register
                    eqns.append(_full(eqn, var, value.item()))
                    filled[var] = value.item()
                else:
                    consts.append((var, value))
        else:
            if eqn.primitive is full_p:
                filled[eqn.outs[0]] = eqn.params["value"]
                if eqn.outs[0].aval.size <= FOLD_SIZE:
                    known[eqn.outs[0]] = evaluate(full_p, (), eqn.params)[0]
            eqns.append(eqn)
    return attrs.evolve(program, eqns=tuple(eqns), outputs=rename.all(program.outputs), consts=tuple(consts))


def _refill(eqn: Eqn, filled: Mapping[Var, float]) -> Eqn:
    """Of a filled array only moved, repeated or converted: filled anew."""
    if eqn.primitive not in (broadcast_to_p, reshape_p, astype_p) or eqn.ins[0] not in filled:
        return eqn
    (out,) = eqn.outs
    number = np.full((), filled[eqn.ins[0]], eqn.ins[0].aval.dtype)
    if eqn.primitive is astype_p:  # by its rule: a number that does not fit wraps around there
        with np.errstate(all="ignore"):
            (number,) = evaluate(astype_p, (number,), eqn.params)
    return _full(eqn, out, number.item())


def _full(eqn: Eqn, var: Var, value: float) -> Eqn:
    params = {"shape": var.aval.shape, "value": value, "dtype": var.aval.dtype.name}
    return attrs.evolve(eqn, primitive=full_p, ins=(), outs=(var,), params=params)


def _same_as(eqn: Eqn, filled: Mapping[Var, float]) -> Var | None:
    """The input that the one result equals, if that is plain to see."""
    if eqn.primitive in (copy_p, stop_gradient_p):
        return eqn.ins[0]
    if len(eqn.ins) != 2:
        return None
    x, y = eqn.ins
    out = eqn.outs[0].aval
    if eqn.primitive in (mul_p, div_p) and filled.get(y) == 1 and x.aval == out:
        return x
    if eqn.primitive is mul_p and filled.get(x) == 1 and y.aval == out:
        return y
    if eqn.primitive is sub_p and filled.get(y) == 0 and not np.signbit(filled[y]) and x.aval == out:
        return x  # x + 0 and x - -0.0 are not x where x is -0.0; x - 0.0 is
    return None


def merge_common(program: Program) -> Program:
    """Of eqns with the same primitive, inputs and params the first one stays."""
    rename = _Renaming()
    seen: dict[Any, Eqn] = {}
    eqns = []
    for eqn in program.eqns:
        ins = rename.all(eqn.ins)
        # repr: 0.0 and -0.0 are equal and are not the same constant
        key = (
            eqn.primitive,
            ins,
            tuple(sorted((k, repr(v), v if callable(v) else None) for k, v in eqn.params.items())),
        )
        if key in seen:
            for var, first in zip(eqn.outs, seen[key].outs, strict=True):
                rename.let(var, first)
        else:
            seen[key] = attrs.evolve(eqn, ins=ins)
            eqns.append(seen[key])
    return attrs.evolve(program, eqns=tuple(eqns), outputs=rename.all(program.outputs))


def drop_dead(program: Program) -> Program:
    """Only the eqns and constants that outputs depend on."""
    live = set(program.outputs)
    eqns = []
    for eqn in reversed(program.eqns):
        if not live.isdisjoint(eqn.outs):
            eqns.append(eqn)
            live.update(eqn.ins)
    consts = tuple((v, value) for v, value in program.consts if v in live)
    return attrs.evolve(program, eqns=tuple(reversed(eqns)), consts=consts)


def separate_outputs(program: Program) -> Program:
    """Every output has bytes of its own: copies where one is an input, a constant, or given twice.

    A donated input that comes out in its own place stays as it is.
    """
    pairs = pairs_of(program)
    roots = storage_roots(program)
    taken = set(program.inputs) | {v for v, _ in program.consts}
    outputs, eqns = [], list(program.eqns)
    for o, var in enumerate(program.outputs):
        in_place = o in pairs and program.inputs[pairs[o]] is var
        if roots[var] in taken and not in_place:
            new = Var(var.aval)
            eqns.append(Eqn(copy_p, (var,), (new,), {}, phase="forward"))
            var = new
        taken.add(roots.get(var, var))
        outputs.append(var)
    return attrs.evolve(program, eqns=tuple(eqns), outputs=tuple(outputs))
