"""A chain of elementwise eqns as one eqn: one kernel, one pass over memory."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Alias, Cost, Device, Eqn, Host, Launch, Operand, Primitive, Program, ShapedArray, Var
from lwps.ops import generate
from lwps.ops.elementwise import full_p

BLOCK = 1 << 16  # elements of a block on the host: those of several values stay in a core's L2
LONG = 4096  # elements of the innermost loop from which on NumPy's broadcasting costs little


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


# --- on the host: a block of elements through the whole chain, so that it stays in the cache -------


@attrs.frozen(eq=False)
class _Plan:
    """What of a run depends on the body only. Slots number results, inputs, buffers, then constants."""

    shapes: tuple[tuple[int, ...], ...]  # of results and inputs, as loops of the chain's nest
    buffers: tuple[ShapedArray, ...]  # a block of each value that is kept for a while
    constants: tuple[np.ndarray, ...]
    steps: tuple[tuple[Callable[..., None], Mapping[str, Any], tuple[int, ...]], ...]  # rule, params, slots
    blocks: tuple[
        tuple[tuple[Any, ...], tuple[tuple[int, int], ...]], ...
    ]  # indices by slot, (buffer, input) to repeat


@functools.lru_cache(maxsize=1024)
def _plan(body: Program) -> _Plan:
    nest = generate.loop_nest(body.outputs[0].aval.shape, [v.aval for v in body.inputs])
    axis, length = _blocking(nest.sizes)
    moves = ((True,) * len(nest.sizes),) * len(body.outputs) + nest.moves
    shapes = tuple(tuple(n if m else 1 for n, m in zip(nest.sizes, row, strict=True)) for row in moves)
    slots = {v: k for k, v in enumerate((*body.outputs, *body.inputs))}
    # worth it where a row is short and the repeated one serves many blocks
    worth = nest.sizes[-1] < LONG and math.prod(nest.sizes) > BLOCK
    repeated = [k for k, row in enumerate(moves) if worth and any(row) and not all(row[axis:])]
    n = len(shapes)
    repeats = tuple((n + b, k) for b, k in enumerate(repeated))
    dtypes = [body.inputs[k - len(body.outputs)].aval.dtype for k in repeated]
    slots.update((body.inputs[k - len(body.outputs)], b) for b, k in repeats)
    fills = [e for e in body.eqns if e.primitive is full_p and e.outs[0] not in slots]
    members = [e for e in body.eqns if e not in fills]
    dtypes += _assign_buffers(members, slots, n + len(dtypes))
    slots.update((e.outs[0], n + len(dtypes) + k) for k, e in enumerate(fills))
    return _Plan(
        shapes,
        tuple(ShapedArray((length, *nest.sizes[axis + 1 :]), d) for d in dtypes),
        tuple(np.full((), e.params["value"], e.params["dtype"]) for e in fills),
        tuple((e.primitive.numpy.run, e.params, tuple(slots[v] for v in (*e.outs, *e.ins))) for e in members),
        tuple(_blocks(nest.sizes, axis, length, moves, repeats, len(dtypes))),
    )


def _blocking(sizes: tuple[int, ...]) -> tuple[int, int]:
    """The loop to cut, and elements of it in a block: inner loops stay whole."""
    inside = [max(1, math.prod(sizes[k + 1 :])) for k in range(len(sizes))]
    axis = next(k for k, n in enumerate(inside) if n <= BLOCK or k == len(sizes) - 1)
    return axis, max(1, min(sizes[axis], BLOCK // inside[axis]))


def _assign_buffers(members: Sequence[Eqn], slots: dict[Var, int], first: int) -> list[np.dtype]:
    """Give every value without a slot one from `first` on, again once its value is dead; the slots' dtypes."""
    last_read = {v: k for k, eqn in enumerate(members) for v in (*eqn.outs, *eqn.ins)}
    dtypes: list[np.dtype] = []
    free: list[int] = []
    own: dict[Var, int] = {}
    for k, eqn in enumerate(members):
        for v in eqn.outs:
            if v not in slots:
                found = next((b for b in free if dtypes[b] == v.aval.dtype), len(dtypes))
                free.remove(found) if found in free else dtypes.append(v.aval.dtype)
                own[v], slots[v] = found, first + found
        free += [own[v] for v in dict.fromkeys((*eqn.outs, *eqn.ins)) if v in own and last_read[v] == k]
    return dtypes


def _blocks(
    sizes: tuple[int, ...], axis: int, length: int, moves: Any, repeats: tuple[tuple[int, int], ...], n_buffers: int
) -> Iterator[tuple[tuple[Any, ...], tuple[tuple[int, int], ...]]]:
    """Of each block: where it is in every slot, and which inputs to repeat anew for it."""
    for outer in itertools.product(*map(range, sizes[:axis])):
        for start in range(0, sizes[axis], length):
            count = min(length, sizes[axis] - start)
            places = [_place(outer, slice(start, start + count), row) for row in moves]
            fresh = tuple((b, k) for b, k in repeats if start == 0 or moves[k][axis])
            yield (*places, *((slice(0, count),) for _ in range(n_buffers))), fresh


def _place(outer: tuple[int, ...], cut: slice, moves: tuple[bool, ...]) -> tuple[Any, ...]:
    return (*(i if m else 0 for i, m in zip(outer, moves)), cut if moves[len(outer)] else slice(0, 1))


def _scratch(*ins: ShapedArray, body: Program) -> tuple[ShapedArray, ...]:
    return _plan(body).buffers


def _run(*arrays: np.ndarray, body: Program) -> None:
    plan = _plan(body)
    n = len(plan.shapes)
    whole = [*(x.reshape(s) for x, s in zip(arrays[:n], plan.shapes, strict=True)), *arrays[n:]]
    for places, fresh in plan.blocks:
        env = [x[place] for x, place in zip(whole, places, strict=True)]
        env += plan.constants
        for buffer, source_ in fresh:
            np.copyto(env[buffer], env[source_])
        for run, params, slots in plan.steps:
            run(*[env[k] for k in slots], **params)


# --- on OpenCL devices ------------------------------------------------------------------------------


def source(device: Device, *ins: ShapedArray, body: Program) -> str:
    """The kernel's text; the one primitive whose text depends on its params."""
    return generate.chain_source(body, device)


def launch(
    device: Device, outs: Sequence[Operand], ins: Sequence[Operand], scratch: Sequence[Operand], *, body: Program
) -> tuple[Launch, ...]:
    return generate.chain_launch(body, device, outs, ins)


def chain_of(primitive: Primitive, ins: Sequence[ShapedArray], params: Any) -> Program:
    """The chain that a lone elementwise eqn is: itself."""
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
