"""The one generator of kernels: a chain of elementwise eqns becomes one loop over its elements."""

import functools
import importlib.resources
import math
import re
from collections.abc import Sequence

import attrs
import numpy as np

from lwps.core import Device, Eqn, Expr, Launch, Operand, Program, ShapedArray, Var
from lwps.ops.elementwise import C_TYPES, c_literal

BLOCK = 4096  # elements a CPU work-item does: long enough to hide the cost of starting it
GROUP = 64  # work-items a group on a GPU
_INCLUDE = re.compile(r'^#include "([\w.]+)".*$', re.MULTILINE)


@functools.cache
def read_source(package: str, file: str) -> str:
    """The text of a `.cl` file with its `#include "x.cl"` lines replaced by those files."""
    text = (importlib.resources.files(package) / file).read_text()
    return _INCLUDE.sub(lambda m: read_source(package, m.group(1)), text)


@attrs.frozen
class LoopNest:
    """Iteration space of a chain: sizes (outermost first), and for each input the axes it moves along."""

    sizes: tuple[int, ...]
    moves: tuple[tuple[bool, ...], ...]

    @property
    def flat(self) -> bool:
        return len(self.sizes) == 1

    @property
    def rows(self) -> int:
        """Runs of the innermost loop; a flat nest is cut into blocks."""
        return -(-self.sizes[0] // BLOCK) if self.flat else math.prod(self.sizes[:-1])


def loop_nest(shape: tuple[int, ...], ins: Sequence[ShapedArray]) -> LoopNest:
    """`shape` with axes of one element dropped and neighbours merged where every input treats them alike."""
    aligned = [(1,) * (len(shape) - a.ndim) + a.shape for a in ins]
    sizes: list[int] = []
    columns: list[tuple[bool, ...]] = []
    for axis, n in enumerate(shape):
        column = tuple(a[axis] != 1 for a in aligned)
        if n == 1:
            continue
        if columns and columns[-1] == column:
            sizes[-1] *= n
        else:
            sizes.append(n)
            columns.append(column)
    if not sizes:
        sizes, columns = [1], [(False,) * len(ins)]
    return LoopNest(tuple(sizes), tuple(zip(*columns, strict=True)))


def chain_supported(body: Program) -> bool:
    """Whether every value has a dtype that OpenCL C knows without extensions."""
    values = [*body.inputs, *(v for eqn in body.eqns for v in eqn.outs)]
    return all(v.aval.dtype.name in C_TYPES for v in values)


def chain_source(body: Program, device: Device) -> str:
    """OpenCL C of kernel `chain`: outs, ins, sizes; one pass over memory for the whole body.

    A CPU work-item does `per_item` runs of the innermost loop, which compilers turn into wide vectors; a
    GPU work-item does one element.
    """
    nest = _nest(body)
    outs = [f"global {_ctype(v)} *out{k}" for k, v in enumerate(body.outputs)]
    ins = [f"global const {_ctype(v)} *in{k}" for k, v in enumerate(body.inputs)]
    sizes = [f"int n{k}" for k in range(len(nest.sizes))]
    signature = f"kernel void chain({', '.join([*outs, *ins, *sizes, 'int per_item'])})"
    loops = _cpu_loops(nest) if device.type == "cpu" else _gpu_loops(nest)
    before, inside = _element(body, nest)
    lines = [*loops[0], *_offsets(nest), *before, *loops[1], *(f"    {line}" for line in inside), *loops[2]]
    return "\n".join(
        [*_functions(body), *_attribute(device), signature, "{", *(f"    {line}" for line in lines), "}", ""]
    )


def chain_launch(body: Program, device: Device, outs: Sequence[Operand], ins: Sequence[Operand]) -> tuple[Launch, ...]:
    """The launch of `chain_source`; none where there are no elements."""
    nest = _nest(body)
    total = math.prod(nest.sizes)
    if total == 0:
        return ()
    if device.type == "cpu":
        per_item = 1 if nest.flat else max(1, BLOCK // nest.sizes[-1])
        items, local = -(-nest.rows // per_item), (1,)
    else:
        per_item, items, local = 1, -(-total // GROUP) * GROUP, (GROUP,)
    sizes = tuple(np.int32(n) for n in nest.sizes)
    return (Launch("chain", (items,), local, (*outs, *ins, *sizes, np.int32(per_item))),)


def _functions(body: Program) -> list[str]:
    """The files whose functions the members call."""
    exprs = [eqn.primitive.opencl for eqn in body.eqns]
    files = dict.fromkeys((e.package, e.file) for e in exprs if isinstance(e, Expr) and e.file)
    return [read_source(package, file) for package, file in files]


def _nest(body: Program) -> LoopNest:
    return loop_nest(body.outputs[0].aval.shape, [v.aval for v in body.inputs])


def _ctype(v: Var) -> str:
    return C_TYPES[v.aval.dtype.name]


def _attribute(device: Device) -> list[str]:
    return ["__attribute__((reqd_work_group_size(1, 1, 1)))"] if device.type == "cpu" else []


def _cpu_loops(nest: LoopNest) -> tuple[list[str], list[str], list[str]]:
    """Lines before the offsets, before the element, and behind it."""
    rows = f"(n0 + {BLOCK - 1}) / {BLOCK}" if nest.flat else _product(nest.sizes[:-1])
    count = f"min({BLOCK}, n0 - (int)row * {BLOCK})" if nest.flat else f"n{len(nest.sizes) - 1}"
    head = [
        "const long first = (long)get_global_id(0) * per_item;",
        f"const long last = min(first + per_item, (long)({rows}));",
        "for (long row = first; row < last; row++) {",
        f"const int count = {count};",
    ]
    # the outputs may lie on inputs, but only element on same element
    loop = ["#pragma clang loop vectorize(assume_safety)", "for (int x = 0; x < count; x++) {"]
    return head, loop, ["}", "}"]


def _gpu_loops(nest: LoopNest) -> tuple[list[str], list[str], list[str]]:
    inner = f"n{len(nest.sizes) - 1}"
    index = "int" if math.prod(nest.sizes) < 1 << 31 else "long"  # GPUs divide the short ones much faster
    head = [
        f"const {index} k = get_global_id(0);",
        f"if (k >= ({index})({_product(nest.sizes)})) return;",
        f"const {index} row = {'0' if nest.flat else f'k / {inner}'};",
        f"const int x = {'k' if nest.flat else f'k % {inner}'};",
    ]
    return head, [], []


def _product(sizes: Sequence[int]) -> str:
    return " * ".join(f"(long)n{k}" if k == 0 else f"n{k}" for k in range(len(sizes)))


def _offsets(nest: LoopNest) -> list[str]:
    """Where each array's run of the innermost loop begins."""
    if nest.flat:
        return [f"const long at = row * {BLOCK};"]
    *outer, _ = range(len(nest.sizes))
    lines, rest = [], "row"
    for axis in reversed(outer):
        lines.append(f"const long i{axis} = {rest} % n{axis};" if axis else f"const long i0 = {rest};")
        rest = f"({rest} / n{axis})"
    lines.append(f"const long at = row * n{len(outer)};")
    for k, moves in enumerate(nest.moves):
        terms = [f"i{a}" + "".join(f" * n{b}" for b in range(a + 1, len(moves)) if moves[b]) for a in outer if moves[a]]
        lines.append(f"const long at{k} = {' + '.join(terms) or '0'};")
    return lines


def _element(body: Program, nest: LoopNest) -> tuple[list[str], list[str]]:
    """Loads that the innermost loop does not move, and the lines for one element."""
    names: dict[Var, str] = {}
    before: list[str] = []
    inside: list[str] = []
    for k, var in enumerate(body.inputs):
        names[var] = f"x{k}"
        moves = nest.moves[k]
        start = ("at" if moves[0] else "0") if nest.flat else f"at{k}"
        load = f"const {_ctype(var)} x{k} = in{k}[{start}{' + x' if moves[-1] else ''}];"
        (inside if moves[-1] else before).append(load)
    for k, eqn in enumerate(body.eqns):
        (var,) = eqn.outs
        inside.append(f"const {_ctype(var)} t{k} = {_expression(eqn, [names[v] for v in eqn.ins])};")
        names[var] = f"t{k}"
    inside += [f"out{k}[at + x] = {names[var]};" for k, var in enumerate(body.outputs)]
    return before, inside


def _expression(eqn: Eqn, operands: Sequence[str]) -> str:
    expr = eqn.primitive.opencl
    assert isinstance(expr, Expr)
    params = {k: c_literal(v, "float32") if isinstance(v, float) else v for k, v in eqn.params.items()}
    return expr.render(eqn.in_avals, eqn.params).format(*operands, **params)
