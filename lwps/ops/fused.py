"""A chain of elementwise eqns as one eqn: one kernel, one pass over memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lwps.core import Alias, Cost, Device, Host, Launch, Operand, Primitive, Program, ShapedArray, Var
from lwps.ops import generate

BLOCK_BYTES = 1 << 18  # of one temporary on the host: several stay in a core's L2


def _aval(*ins: ShapedArray, body: Program) -> tuple[ShapedArray, ...]:
    expected = tuple(v.aval for v in body.inputs)
    if ins != expected:
        raise TypeError(f"fused: inputs must be those of its body {expected}, got {ins}")
    return tuple(v.aval for v in body.outputs)


def _cost(*ins: ShapedArray, body: Program) -> Cost:
    flops = sum(eqn.primitive.cost(*eqn.in_avals, **eqn.params).flops for eqn in body.eqns)
    return Cost(flops, sum(v.aval.nbytes for v in (*body.inputs, *body.outputs)))


def _alias(*ins: ShapedArray, body: Program) -> tuple[Alias, ...]:
    """A result may take over an input that no eqn reads after the one that writes the result."""
    writer = {v: k for k, eqn in enumerate(body.eqns) for v in eqn.outs}
    last_read = {v: k for k, eqn in enumerate(body.eqns) for v in eqn.ins}
    return tuple(
        Alias(o, i, "overwrite")
        for o, out in enumerate(body.outputs)
        for i, var in enumerate(body.inputs)
        if var.aval == out.aval and last_read.get(var, -1) <= writer[out] and _writes_safely(body, writer[out], var)
    )


def _writes_safely(body: Program, k: int, var: Var) -> bool:
    """Whether the eqn that writes the result may do so over `var`, if it reads it."""
    eqn = body.eqns[k]
    if var not in eqn.ins or eqn.primitive.alias is None:
        return var not in eqn.ins
    allowed = {row.inp for row in eqn.primitive.alias(*eqn.in_avals, **eqn.params)}
    return all(i in allowed for i, v in enumerate(eqn.ins) if v is var)


def _row_bytes(body: Program) -> tuple[int, int]:
    """Rows of the body's shape (all axes but the last merged from the left) and elements of a row."""
    shape = body.outputs[0].aval.shape
    return (shape[0], int(np.prod(shape[1:], dtype=np.int64))) if shape else (1, 1)


def _block_rows(body: Program) -> int:
    rows, elements = _row_bytes(body)
    return max(1, min(rows, BLOCK_BYTES // max(1, 4 * elements)))


def _temporaries(body: Program) -> list[Var]:
    return [v for eqn in body.eqns for v in eqn.outs if v not in body.outputs]


def _scratch(*ins: ShapedArray, body: Program) -> tuple[ShapedArray, ...]:
    """A block of rows for each value that is not a result."""
    n = _block_rows(body)
    return tuple(
        ShapedArray((n, *v.aval.shape[1:]) if _blocked(v, body) else v.aval.shape, v.aval.dtype)
        for v in _temporaries(body)
    )


def _blocked(v: Var, body: Program) -> bool:
    """Whether `v` has the first axis of the body's shape, and so is taken a block at a time."""
    shape = body.outputs[0].aval.shape
    return bool(shape) and v.aval.ndim == len(shape) and v.aval.shape[0] == shape[0]


def _run(*arrays: np.ndarray, body: Program) -> None:
    n_outs, n_ins = len(body.outputs), len(body.inputs)
    outs, ins, scratch = arrays[:n_outs], arrays[n_outs : n_outs + n_ins], arrays[n_outs + n_ins :]
    env = dict(zip((*body.inputs, *body.outputs, *_temporaries(body)), (*ins, *outs, *scratch), strict=True))
    moving = [v for v in (*body.inputs, *body.outputs) if _blocked(v, body)]
    shrinking = [v for v in _temporaries(body) if _blocked(v, body)]
    rows, step = _row_bytes(body)[0], _block_rows(body)
    whole = {v: env[v] for v in (*moving, *shrinking)}
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        env.update((v, whole[v][start:stop]) for v in moving)
        if stop - start < step:
            env.update((v, whole[v][: stop - start]) for v in shrinking)
        for eqn in body.eqns:
            params = {**eqn.params, "shape": env[eqn.outs[0]].shape} if "shape" in eqn.params else eqn.params
            eqn.primitive.numpy.run(*(env[v] for v in eqn.outs), *(env[v] for v in eqn.ins), **params)


def source(device: Device, *ins: ShapedArray, body: Program) -> str:
    """The kernel's text; the one primitive whose text depends on its params."""
    return generate.chain_source(body, device)


def launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand], *, body: Program
) -> tuple[Launch, ...]:
    return generate.chain_launch(body, device, outs, ins)


def chain_of(primitive: Primitive, ins: Sequence[ShapedArray], params: Any) -> Program:
    """The chain that a lone elementwise eqn is: itself."""
    from lwps.core import Eqn

    in_vars = tuple(Var(a) for a in ins)
    out_vars = tuple(Var(a) for a in primitive.aval(*ins, **params))
    return Program(in_vars, (Eqn(primitive, in_vars, out_vars, params),), out_vars)


fused_p = Primitive(
    "fused",
    aval=_aval,
    vjp=None,  # fusion comes after autodiff
    cost=_cost,
    numpy=Host(_run, _scratch),
    opencl=(),  # generated: `lwps.ops.generate` makes its one kernel from the body
    alias=_alias,
    split=None,
)
