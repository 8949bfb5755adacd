"""The graph of a model as plain values, and the emitter that grows it eqn by eqn.

lwps has images as NHWC, ONNX as NCHW. So a value may be there in several orders of its axes, its forms: its eqn makes
one, and a reader asks for the one that it wants. Between two ops that want the same form nothing is transposed, and
a transpose of the program is a form by itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Eqn, Var
from lwps.export.affine import readers_of
from lwps.export.inference import Dim, Inference, Shape, Size

Axes = tuple[int, ...]  # stored axis k is axis axes[k] of the value

SMALL = 16  # elements: constants of which equal ones are one initializer
BATCH = "batch"  # what the dynamic axis is called in the model


class NoForm(Exception):
    """An eqn has no ONNX form, or none with these params; the text, which may be empty, says why."""

    def __str__(self) -> str:
        return f": {self.args[0]}" if self.args[0] else ""


@attrs.frozen
class Node:
    """One operator of the graph."""

    op: str
    ins: tuple[str, ...]
    outs: tuple[str, ...]
    attributes: Mapping[str, Any]
    name: str


@attrs.frozen
class Port:
    """An input or output of the graph."""

    name: str
    dtype: np.dtype
    shape: Shape


@attrs.frozen(eq=False)
class Graph:
    """Nodes in an order that runs, and what they read and make."""

    nodes: tuple[Node, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    initializers: Mapping[str, np.ndarray]


class Emitter:
    """Grows a graph: `get` names the form of a value that a builder reads, `node` adds an operator, `put` says what
    the operator made.
    """

    def __init__(self, inference: Inference, output_names: Sequence[str]) -> None:
        self.inference = inference
        self.output_names = output_names
        self.known = dict(inference.program.consts)
        self.nodes: list[Node] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.absorbed: set[Var] = set()  # results that came with another eqn's node
        self._forms: dict[Var, dict[Axes, str]] = {}
        self._readers = readers_of(inference.program)
        self._constants: dict[Any, str] = {}
        self._dims: dict[Dim, str] = {}
        self._taken = set(output_names)
        self._where = ""
        for var in inference.program.inputs:
            self.put(var, self._fresh(inference.names[var]))

    # --- what builders ask -----------------------------------------------------------------------------

    def shape(self, var: Var) -> Shape:
        """The shape of a value; builders must not look at its aval, whose batch size is made up."""
        return self.inference.shape(var)

    def is_read(self, var: Var) -> bool:
        """Whether an eqn or an output of the program reads `var`."""
        return var in self._readers

    def only_reader(self, var: Var) -> Eqn | None:
        """The eqn that alone reads `var`, once."""
        readers = self._readers.get(var, [])
        return readers[0] if len(readers) == 1 else None

    def form(self, var: Var) -> Axes:
        """The order of axes in which a value is stored."""
        return next(iter(self._forms[var])) if var in self._forms else tuple(range(var.aval.ndim))

    def get(self, var: Var, axes: Axes | None = None) -> str:
        """The name of `var` with its axes in this order (by default its own)."""
        axes = tuple(range(var.aval.ndim)) if axes is None else axes
        if var in self.known and axes not in self._forms.get(var, {}):
            name = self.inference.names.get(var, f"{self._where}/constant")
            self._forms.setdefault(var, {})[axes] = self.constant(self.known[var].transpose(axes), name)
        forms = self._forms[var]
        if axes not in forms:
            stored, name = next(iter(forms.items()))
            forms[axes] = self.node("Transpose", name, perm=[stored.index(a) for a in axes])
        return forms[axes]

    def constant(self, value: Any, name: str = "", dtype: Any = None) -> str:
        """The name of an initializer of this value; small equal ones are one."""
        array = np.asarray(value, dtype)
        key = (array.dtype, array.shape, array.tobytes()) if array.size <= SMALL else None
        if key not in self._constants:
            fresh = self._fresh(name or f"{self._where}/constant")
            self.initializers[fresh] = array
            if key is None:
                return fresh
            self._constants[key] = fresh
        return self._constants[key]

    def sizes(self, shape: Sequence[Size]) -> str:
        """The name of an int64 vector of these sizes, computed by the model where they depend on the batch size."""
        if not any(isinstance(n, Dim) for n in shape):
            return self.constant(list(shape), dtype=np.int64)
        parts = [self._size(n) if isinstance(n, Dim) else self.constant([n], dtype=np.int64) for n in shape]
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=0)

    def _size(self, dim: Dim) -> str:
        if dim not in self._dims:
            source = next(v for v in self.inference.program.inputs if v in self.inference.dims)
            size = self.node("Shape", self.get(source), start=0, end=1)
            if dim.scale != 1:
                size = self.node("Mul", size, self.constant([dim.scale], dtype=np.int64))
            self._dims[dim] = (
                self.node("Add", size, self.constant([dim.offset], dtype=np.int64)) if dim.offset else size
            )
        return self._dims[dim]

    def reshaped(self, name: str, shape: Sequence[Size]) -> str:
        """The name of the tensor `name` with another shape."""
        dims = [n for n in shape if isinstance(n, Dim)]
        if len(dims) == 1 and 0 not in shape:
            return self.node("Reshape", name, self.sizes([-1 if isinstance(n, Dim) else n for n in shape]))
        return self.node("Reshape", name, self.sizes(shape), **({"allowzero": 1} if 0 in shape else {}))

    # --- what builders do ------------------------------------------------------------------------------

    def node(self, op: str, *ins: str, **attributes: Any) -> str:
        """Add an operator with one result; the name of the result."""
        return self.nodes_of(op, 1, *ins, **attributes)[0]

    def nodes_of(self, op: str, count: int, *ins: str, **attributes: Any) -> tuple[str, ...]:
        """Add an operator with `count` results."""
        outs = tuple(self._fresh(f"{self._where}/{op}") for _ in range(count))
        self.nodes.append(Node(op, ins, outs, attributes, outs[0]))
        return outs

    def put(self, var: Var, name: str, axes: Axes | None = None) -> None:
        """`var` is the tensor `name`, with its axes in this order."""
        self._forms[var] = {tuple(range(var.aval.ndim)) if axes is None else axes: name}

    def same(self, out: Var, var: Var, axes: Axes | None = None) -> None:
        """`out` is `var` itself, or with `axes` its transpose, without a node."""
        if var in self.known:
            self.get(var)
        order = tuple(range(var.aval.ndim)) if axes is None else axes
        self._forms[out] = {tuple(order.index(a) for a in form): name for form, name in self._forms[var].items()}

    def begin(self, where: str) -> None:
        """Nodes and constants are named `where/...` from here on."""
        self._where = where

    # --- the end ---------------------------------------------------------------------------------------

    def finish(self) -> Graph:
        """The graph whose outputs are those of the program."""
        program = self.inference.program
        self.begin("output")
        names = [self.get(var) for var in program.outputs]
        made = {name for node in self.nodes for name in node.outs}
        rename: dict[str, str] = {}
        for name, wanted in zip(names, self.output_names, strict=True):
            if name in made and name not in rename:
                rename[name] = wanted
            else:  # an input, a constant, or given twice
                self.nodes.append(Node("Identity", (name,), (wanted,), {}, wanted))
        nodes = [
            attrs.evolve(n, ins=_all(rename, n.ins), outs=_all(rename, n.outs), name=rename.get(n.name, n.name))
            for n in self.nodes
        ]
        inputs = [Port(self.get(v), v.aval.dtype, self.shape(v)) for v in program.inputs]
        outputs = [
            Port(name, v.aval.dtype, self.shape(v)) for v, name in zip(program.outputs, self.output_names, strict=True)
        ]
        read = {name for node in nodes for name in node.ins}
        kept = {name: value for name, value in self.initializers.items() if name in read}
        return Graph(tuple(nodes), tuple(inputs), tuple(outputs), kept)

    def _fresh(self, name: str) -> str:
        fresh, k = name, 0
        while fresh in self._taken:
            k += 1
            fresh = f"{name}_{k}"
        self._taken.add(fresh)
        return fresh


def _all(rename: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(rename.get(n, n) for n in names)
