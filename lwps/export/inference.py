"""What is exported: a traced program whose weights are constants, and what of it depends on the batch size.

Programs have static shapes. Those that depend on the batch size are found by tracing for three sizes and comparing:
every number that differs must be `scale * batch + offset` in all three.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from lwps import core, tracing
from lwps.core import Eqn, Program, ShapedArray, Var, evaluate
from lwps.ops.elementwise import broadcast_to_p, full_p
from lwps.ops.fused import fused_p
from lwps.transforms.simplify import drop_dead, inline_calls

SIZES = (1009, 1018, 1021)  # of batches that are traced: odd and even ones, unlike other sizes of a model
KEPT = 4096  # elements: values that are larger and only repeat others are made when the model runs


@attrs.frozen
class Dim:
    """A number that depends on the batch size: `scale * batch + offset`."""

    scale: int
    offset: int


Size = int | Dim
Shape = tuple[Size, ...]


@attrs.frozen(eq=False)
class Inference:
    """A program whose known inputs are constants.

    `dims` has the shapes of values that depend on the batch size, `params` the params of eqns that do (by the first
    result), `names` what to call inputs and constants.
    """

    program: Program
    dims: Mapping[Var, Shape]
    params: Mapping[Var, Mapping[str, Any]]
    names: Mapping[Var, str]

    def shape(self, var: Var) -> Shape:
        """The shape of a value, with what depends on the batch size as `Dim`s."""
        return self.dims.get(var, var.aval.shape)

    def params_of(self, eqn: Eqn) -> Mapping[str, Any]:
        """The params of an eqn, with what depends on the batch size as `Dim`s."""
        return self.params.get(eqn.outs[0], eqn.params)


def infer(fn: Callable[..., Any] | Program, args: Sequence[Any], names: Sequence[str], dynamic: bool) -> Inference:
    """`fn` of `args`: arrays are constants, avals the inputs; with `dynamic` axis 0 of every aval is the batch size.

    `names`: one for each leaf of `args`.
    """
    leaves, tree = tracing.flatten(args)
    if isinstance(fn, Program):
        if dynamic:
            raise ValueError("to_onnx: a dynamic batch size needs the function, got a program; its shapes are static")
        _check_fits(fn, leaves)
        program = _plain(fn)
        return _with_constants(program, leaves, names, {}, {})
    avals = [x if isinstance(x, ShapedArray) else _known(x) for x in leaves]
    sizes = SIZES if dynamic else (None,)
    programs = [_plain(tracing.trace(fn, *tracing.unflatten(tree, _resized(leaves, avals, n)))) for n in sizes]
    dims, params = _symbolic(programs) if dynamic else ({}, {})
    return _with_constants(programs[0], leaves, names, dims, params)


def _known(x: Any) -> np.ndarray:
    return core.narrow(x, "to_onnx", floats=True)


def _check_fits(program: Program, leaves: Sequence[Any]) -> None:
    expected = tuple(v.aval for v in program.inputs)
    got = tuple(x if isinstance(x, ShapedArray) else core.aval_of(_known(x)) for x in leaves)
    if got != expected:
        raise TypeError(f"to_onnx: arguments must be those of the program, {expected}, got {got}")


def _resized(leaves: Sequence[Any], avals: Sequence[Any], batch: int | None) -> list[Any]:
    return [
        ShapedArray((batch, *a.shape[1:]), a.dtype) if batch is not None and isinstance(x, ShapedArray) else a
        for x, a in zip(leaves, avals, strict=True)
    ]


def _plain(program: Program) -> Program:
    """The eqns of chains and of custom_vjp functions in their place."""
    return inline_calls(_unfused(program))


def _unfused(program: Program) -> Program:
    eqns: list[Eqn] = []
    for eqn in program.eqns:
        if eqn.primitive is not fused_p:
            eqns.append(eqn)
            continue
        body = eqn.params["body"]
        outer = dict(zip((*body.inputs, *body.outputs), (*eqn.ins, *eqn.outs), strict=True))
        for e in body.eqns:
            for var in e.outs:
                outer.setdefault(var, Var(var.aval))
            ins, outs = (tuple(outer[v] for v in vs) for vs in (e.ins, e.outs))
            eqns.append(attrs.evolve(e, ins=ins, outs=outs, layer=eqn.layer, phase=eqn.phase))
    return attrs.evolve(program, eqns=tuple(eqns))


def _with_constants(program: Program, leaves: Sequence[Any], names: Sequence[str], dims: Any, params: Any) -> Inference:
    rows = list(zip(program.inputs, leaves, names, strict=True))
    inputs = tuple(v for v, x, _ in rows if isinstance(x, ShapedArray))
    consts = tuple((v, _known(x)) for v, x, _ in rows if not isinstance(x, ShapedArray))
    program = attrs.evolve(program, inputs=inputs, consts=program.consts + consts, donated=frozenset(), in_tree=None)
    return fold_known(Inference(drop_dead(program), dims, params, {v: name for v, _, name in rows}))


@np.errstate(all="ignore")
def fold_known(inference: Inference) -> Inference:
    """Eqns of known inputs become constants, except where the batch size has a part in them."""
    program = inference.program
    known = dict(program.consts)
    eqns = []
    for eqn in program.eqns:
        dynamic = eqn.outs[0] in inference.params or any(v in inference.dims for v in eqn.outs)
        if dynamic or not all(v in known for v in eqn.ins) or _only_repeats(eqn):
            eqns.append(eqn)
        else:
            values = evaluate(eqn.primitive, [known[v] for v in eqn.ins], eqn.params)
            known.update(zip(eqn.outs, values, strict=True))
    folded = attrs.evolve(program, eqns=tuple(eqns), consts=tuple(known.items()))
    return attrs.evolve(inference, program=drop_dead(folded))


def _only_repeats(eqn: Eqn) -> bool:
    return eqn.primitive in (full_p, broadcast_to_p) and eqn.outs[0].aval.size > KEPT


# --- what depends on the batch size -------------------------------------------------------------------


def _symbolic(programs: Sequence[Program]) -> tuple[dict[Var, Shape], dict[Var, Mapping[str, Any]]]:
    """Shapes and params that depend on the batch size, of three programs that differ in nothing else."""
    first = programs[0]
    if len({tuple(e.primitive for e in p.eqns) for p in programs}) != 1 or not _same_wiring(programs):
        raise ValueError(
            "to_onnx: with a dynamic batch size the function must do the same eqns for every size, got others for"
            f" one of {SIZES}; export one size"
        )
    dims: dict[Var, Shape] = {}
    params: dict[Var, Mapping[str, Any]] = {}
    _compare_constants(programs)
    for several in zip(*(p.inputs for p in programs), strict=True):
        _compare_shapes(several, "an input", dims)
    for name, eqns in zip(first.names, zip(*(p.eqns for p in programs), strict=True), strict=True):
        for several in zip(*(e.outs for e in eqns), strict=True):
            _compare_shapes(several, name, dims)
        merged = {k: _merged([e.params[k] for e in eqns], name) for k in eqns[0].params}
        if any(repr(merged[k]) != repr(v) for k, v in eqns[0].params.items()):
            params[eqns[0].outs[0]] = merged
    return dims, params


def _compare_shapes(several: Sequence[Var], where: str, dims: dict[Var, Shape]) -> None:
    shapes = [v.aval.shape for v in several]
    if len(set(shapes)) > 1:
        dims[several[0]] = _merged(shapes, where)


def _variables(program: Program) -> list[Var]:
    return [*program.inputs, *(v for v, _ in program.consts), *(v for e in program.eqns for v in e.outs)]


def _same_wiring(programs: Sequence[Program]) -> bool:
    def wiring(program: Program) -> Any:
        number = {v: k for k, v in enumerate(_variables(program))}
        return [number[v] for v in (*(v for e in program.eqns for v in e.ins), *program.outputs)]

    return all(wiring(p) == wiring(programs[0]) for p in programs)


def _compare_constants(programs: Sequence[Program]) -> None:
    for several in zip(*(p.consts for p in programs), strict=True):
        values = [value for _, value in several]
        if not all(np.array_equal(values[0], v, equal_nan=values[0].dtype.kind == "f") for v in values):
            raise ValueError(
                "to_onnx: with a dynamic batch size no constant may depend on it, got one that does,"
                f" {several[0][0].aval} for {SIZES[0]}; make it of lwps.numpy, or export one size"
            )


def _merged(values: Sequence[Any], where: str) -> Any:
    """The one value where all are equal, a Dim where ints grow evenly with the batch size; element by element."""
    first = values[0]
    if isinstance(first, tuple) and all(isinstance(v, tuple) and len(v) == len(first) for v in values):
        return tuple(_merged(row, where) for row in zip(*values, strict=True))
    if len(set(map(repr, values))) == 1:  # repr: NaN equals itself, and 1 is not 1.0
        return first
    if all(type(v) is int for v in values):
        scale, rest = divmod(values[1] - first, SIZES[1] - SIZES[0])
        dim = Dim(scale, first - scale * SIZES[0])
        if rest == 0 and all(dim.scale * n + dim.offset == v for n, v in zip(SIZES, values, strict=True)):
            return dim
    raise ValueError(
        "to_onnx: with a dynamic batch size shapes and params must grow evenly with it, got"
        f" {' and '.join(map(repr, values[:2]))} in {where} for {SIZES[0]} and {SIZES[1]}; export one size"
    )
