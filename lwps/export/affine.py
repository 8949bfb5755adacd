"""Numbers that scale and shift the channels behind a convolution or a matrix product, folded into its weights.

A batch normalisation with known moments is such a chain: ((y - mean) * gain) + bias. With y = x * w it is
x * (w s) + t: one product, and a shift that models have an input for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Eqn, Program, ShapedArray, Var
from lwps.export.inference import Inference
from lwps.ops.conv import conv2d_input_vjp_p, conv2d_p
from lwps.ops.elementwise import add_p, div_p, mul_p, neg_p, sub_p
from lwps.ops.matmul import matmul_p


def fold_affine(inference: Inference) -> Inference:
    """Chains of known numbers a channel behind products of known weights, folded into weights and one addition."""
    program = inference.program
    readers = readers_of(program)
    known, names = dict(program.consts), dict(inference.names)
    done: set[Var] = set()  # results of eqns that are part of a chain
    eqns: list[Eqn] = []
    for eqn in program.eqns:
        if eqn.outs[0] in done:
            continue
        chain = _chain(eqn, readers, known) if channel_axis(eqn) is not None and eqn.ins[1] in known else []
        if not chain:
            eqns.append(eqn)
            continue
        product, shift, consts = _folded(eqn, chain, known)
        eqns += [product, *shift]
        known.update(consts)
        names |= {v: name for v, name in zip(consts, (names.get(eqn.ins[1]), _bias_name(eqn)), strict=False) if name}
        done.update(e.outs[0] for e in chain)
    # an addition stands where its product stood: what it reads, a constant, is there from the start
    folded = attrs.evolve(program, eqns=tuple(eqns), consts=tuple(known.items()))
    return attrs.evolve(inference, program=folded, names=names)


def _bias_name(eqn: Eqn) -> str:
    return f"{eqn.layer}/bias" if eqn.layer else "bias"


def channel_axis(eqn: Eqn) -> int | None:
    """The axis of the second input that gives the last axis of the result; None for what is no such product."""
    if eqn.primitive is conv2d_p:
        return 3
    if eqn.primitive is conv2d_input_vjp_p and eqn.params["groups"] == 1:
        return 2
    if eqn.primitive is matmul_p and eqn.ins[1].aval.ndim == 2:
        return 0 if eqn.params["transpose_y"] else 1
    return None


def readers_of(program: Program) -> dict[Var, list[Eqn | None]]:
    """For every value the eqns that read it, once for each time; None stands for the program's outputs."""
    readers: dict[Var, list[Eqn | None]] = {}
    for eqn in program.eqns:
        for v in eqn.ins:
            readers.setdefault(v, []).append(eqn)
    for v in program.outputs:
        readers.setdefault(v, []).append(None)
    return readers


def _chain(eqn: Eqn, readers: Mapping[Var, Sequence[Eqn | None]], known: Mapping[Var, np.ndarray]) -> list[Eqn]:
    """The eqns behind `eqn` that scale and shift its channels by known numbers; [] where one addition is all."""
    chain: list[Eqn] = []
    var = eqn.outs[0]
    while len(readers.get(var, ())) == 1:
        (reader,) = readers[var]
        if reader is None or not _scales_or_shifts(reader, var, known):
            break
        chain.append(reader)
        var = reader.outs[0]
    return [] if [e.primitive for e in chain] == [add_p] else chain


def _scales_or_shifts(eqn: Eqn, var: Var, known: Mapping[Var, np.ndarray]) -> bool:
    if eqn.primitive is neg_p:
        return True
    if eqn.outs[0].aval != var.aval:
        return False  # it broadcasts
    if eqn.primitive not in (add_p, sub_p, mul_p, div_p) or (eqn.primitive is div_p and eqn.ins[1] is var):
        return False
    other = _other(eqn, var)
    return other in known and is_per_channel(other.aval, var.aval.ndim)


def _other(eqn: Eqn, var: Var) -> Var:
    return eqn.ins[1] if eqn.ins[0] is var else eqn.ins[0]


def is_per_channel(aval: ShapedArray, ndim: int) -> bool:
    """Whether it broadcasts over an array of `ndim` axes along all but the last."""
    return aval.ndim <= ndim and all(n == 1 for n in aval.shape[:-1])


def _folded(
    eqn: Eqn, chain: Sequence[Eqn], known: Mapping[Var, np.ndarray]
) -> tuple[Eqn, list[Eqn], dict[Var, np.ndarray]]:
    """The product with scaled weights, the addition behind it if there is one, and their constants."""
    axis = channel_axis(eqn)
    assert axis is not None
    weights = known[eqn.ins[1]]
    scale, shift = _scale_and_shift(eqn, chain, known, weights.shape[axis])
    by_channel = [1] * weights.ndim
    by_channel[axis] = -1
    with np.errstate(over="ignore", invalid="ignore"):
        w = (weights * scale.reshape(by_channel)).astype(weights.dtype)
    consts = {Var(ShapedArray(w.shape, w.dtype)): w}
    out = chain[-1].outs[0]
    if not shift.any():
        return attrs.evolve(eqn, ins=(eqn.ins[0], *consts), outs=(out,)), [], consts
    b = shift.astype(weights.dtype)
    b_var = Var(ShapedArray(b.shape, b.dtype))
    product = attrs.evolve(eqn, ins=(eqn.ins[0], *consts))
    addition = attrs.evolve(chain[-1], primitive=add_p, ins=(eqn.outs[0], b_var), outs=(out,), params={})
    return product, [addition], consts | {b_var: b}


@np.errstate(all="ignore")
def _scale_and_shift(eqn: Eqn, chain: Sequence[Eqn], known: Mapping[Var, np.ndarray], channels: int) -> tuple[Any, Any]:
    """s[C] and t[C] in float64, such that the chain makes y s + t of y."""
    scale, shift = np.ones(channels), np.zeros(channels)
    var = eqn.outs[0]
    for e in chain:
        c = 0.0 if e.primitive is neg_p else known[_other(e, var)].astype(np.float64).reshape(-1)
        if e.primitive is mul_p:
            scale, shift = scale * c, shift * c
        elif e.primitive is div_p:
            scale, shift = scale / c, shift / c
        elif e.primitive is add_p:
            shift = shift + c
        elif e.primitive is sub_p and e.ins[0] is var:
            shift = shift - c
        else:  # c - y, or -y
            scale, shift = -scale, c - shift
        var = e.outs[0]
    return scale, shift
