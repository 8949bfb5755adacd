"""Recording: tracers stand in for arrays while a function runs, and every bind becomes an eqn."""

import contextlib
import contextvars
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from lwps import core
from lwps.core import Eqn, Primitive, Program, ShapedArray, Var, aval_of
from lwps.tree import flatten, structure, unflatten

_PACKAGE = str(Path(__file__).parent)
_layer: contextvars.ContextVar[str] = contextvars.ContextVar("layer", default="")
_phase: contextvars.ContextVar[str] = contextvars.ContextVar("phase", default="forward")
_trace: contextvars.ContextVar["Trace | None"] = contextvars.ContextVar("trace", default=None)


@contextlib.contextmanager
def layer(name: str) -> Iterator[None]:
    """Eqns recorded inside belong to layer `name`, below the layer around it: `layer3/0/conv1`."""
    above = _layer.get()
    token = _layer.set(f"{above}/{name}" if above else name)
    try:
        yield
    finally:
        _layer.reset(token)


@contextlib.contextmanager
def scope(*, phase: str, layer: str | None = None) -> Iterator[None]:
    """Eqns recorded inside have this phase and, if given, exactly this layer path."""
    tokens = _phase.set(phase), _layer.set(_layer.get() if layer is None else layer)
    try:
        yield
    finally:
        _phase.reset(tokens[0])
        _layer.reset(tokens[1])


def user_line() -> str:
    """Where in the caller's code we are: the innermost frame outside the package."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back  # type: ignore[assignment]
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


class Tracer:
    """Stands for an array whose values are not known yet; `lwps.ops.operators` gives it operators."""

    __slots__ = ("__weakref__", "_var", "source", "trace")
    __array_ufunc__ = None  # so that `ndarray + tracer` comes to the tracer's operator

    def __init__(self, trace: "Trace", var: Var, source: str) -> None:
        self.trace, self._var, self.source = trace, var, source

    @property
    def aval(self) -> ShapedArray:
        return self._var.aval

    @property
    def shape(self) -> tuple[int, ...]:
        return self._var.aval.shape

    @property
    def dtype(self) -> np.dtype:
        return self._var.aval.dtype

    @property
    def ndim(self) -> int:
        return self._var.aval.ndim

    @property
    def size(self) -> int:
        return self._var.aval.size

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"len: a 0-d array has no length, got {self.aval}")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Tracer({self.aval})"

    def __bool__(self) -> bool:
        raise TypeError(
            self._unknown("a truth value (`if`, `while`, `and`, `not`)", "lwps.numpy.where, or a static argument")
        )

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError(
            self._unknown("a NumPy array", "the ops of lwps.numpy, or return the value and read it after the step")
        )

    def __float__(self) -> float:
        raise TypeError(self._unknown("a Python number", "the value as it is, or return it and read it after the step"))

    __int__ = __index__ = __float__  # type: ignore[assignment]

    def item(self) -> float:
        """Refused: there is no value to read while tracing."""
        return float(self)

    tolist = item

    def _unknown(self, what: str, instead: str) -> str:
        state = "is being traced" if self.trace.open else "was traced in a function that has returned (a leaked tracer)"
        return (
            f"tracer: {what} needs known values, got {self.aval}, which {state}; use {instead}"
            f" (at {user_line()}; the value was made at {self.source})"
        )


@attrs.define(eq=False)
class Trace:
    """The recording of one function. Values of an enclosing trace are captured as further inputs."""

    parent: "Trace | None" = None
    inputs: list[Var] = attrs.Factory(list)
    eqns: list[Eqn] = attrs.Factory(list)
    consts: list[tuple[Var, np.ndarray]] = attrs.Factory(list)
    # the latest constant made of an object, by its id; the object is held, or its id could come again for another
    lifted: dict[int, tuple[Any, Var, np.ndarray]] = attrs.Factory(dict)
    captured: dict[Var, tuple[Var, Tracer]] = attrs.Factory(dict)
    open: bool = True

    def new_input(self, aval: ShapedArray) -> Tracer:
        var = Var(aval)
        self.inputs.append(var)
        return Tracer(self, var, user_line())

    def bind(self, primitive: Primitive, ins: Sequence[Any], params: Mapping[str, Any]) -> tuple[Tracer, ...]:
        source = user_line()
        in_vars = tuple(self.lift(x, primitive.name) for x in ins)
        avals = primitive.aval(*(v.aval for v in in_vars), **params)
        out_vars = tuple(Var(a) for a in avals)
        self.eqns.append(Eqn(primitive, in_vars, out_vars, params, _layer.get(), _phase.get(), source))
        return tuple(Tracer(self, v, source) for v in out_vars)

    def lift(self, x: Any, op: str) -> Var:
        """The var of this trace that stands for `x`."""
        if isinstance(x, Tracer):
            return x._var if x.trace is self else self._capture(x, op)
        value = core.narrow(x, op)
        known = self.lifted.get(id(x))
        if known is None or not np.array_equal(known[2], value, equal_nan=value.dtype.kind == "f"):
            known = self.lifted[id(x)] = x, Var(aval_of(value)), value.copy()  # `x` may be written to later
            self.consts.append(known[1:])
        return known[1]

    def _capture(self, x: Tracer, op: str) -> Var:
        outer = self.parent
        while outer is not None and outer is not x.trace:
            outer = outer.parent
        if outer is None or not x.trace.open:
            raise TypeError(
                f"{op}: values must belong to the function being traced, got {x.aval} made at {x.source}"
                f" in a trace that has ended (a leaked tracer); return it from the traced function"
                f" instead (at {user_line()})"
            )
        if x._var not in self.captured:
            self.captured[x._var] = (Var(x.aval), x)
        return self.captured[x._var][0]

    def inline(self, program: Program, ins: Sequence[Any]) -> list[Tracer]:
        """Record the eqns of `program` applied to `ins`, each with its own layer, phase and source."""
        env = {v: self.lift(x, "inline") for v, x in zip(program.inputs, ins, strict=True)}
        env.update({v: self.lift(value, "inline") for v, value in program.consts})
        for eqn in program.eqns:
            outs = tuple(Var(v.aval) for v in eqn.outs)
            self.eqns.append(attrs.evolve(eqn, ins=tuple(env[v] for v in eqn.ins), outs=outs))
            env.update(zip(eqn.outs, outs, strict=True))
        here = user_line()
        return [Tracer(self, env[v], here) for v in program.outputs]

    def program(self, outputs: Sequence[Any]) -> Program:
        """What was recorded; captured values become inputs behind the function's own."""
        out_vars = tuple(self.lift(x, "output") for x in outputs)
        inputs = (*self.inputs, *(v for v, _ in self.captured.values()))
        return Program(inputs, tuple(self.eqns), out_vars, tuple(self.consts))


@contextlib.contextmanager
def new_trace() -> Iterator[Trace]:
    """A trace that records every bind inside the `with`; it is closed at the end."""
    trace = Trace(_trace.get())
    tokens = _trace.set(trace), core.interpreter.set(trace.bind)
    try:
        yield trace
    finally:
        trace.open = False
        _trace.reset(tokens[0])
        core.interpreter.reset(tokens[1])


def current_trace() -> Trace | None:
    """The trace that records binds here, None outside of any."""
    return _trace.get()


def record(fn: Callable[..., Sequence[Any]], avals: Sequence[ShapedArray]) -> tuple[Program, list[Tracer]]:
    """The program of a flat function, and the tracers of enclosing traces that it captured."""
    with new_trace() as trace:
        outputs = fn(*[trace.new_input(a) for a in avals])
        program = trace.program(outputs)
    return program, [tracer for _, tracer in trace.captured.values()]


def is_aval(x: Any) -> bool:
    return isinstance(x, ShapedArray)


def trace(fn: Callable[..., Any], *args: Any, donate_argnums: Sequence[int] = (), **static: Any) -> Program:
    """The program of `fn` for arguments of these shapes and dtypes.

    `args` are pytrees of avals, arrays or Python numbers (traced as 0-d arrays); keyword arguments are
    static: they reach `fn` as they are. `donate_argnums` names positional arguments whose memory
    the results may take.
    """
    leaves, in_tree = flatten(args)
    avals = [
        x if is_aval(x) else aval_of(core.narrow(x, "trace", floats=True) if not hasattr(x, "aval") else x)
        for x in leaves
    ]
    out_tree: Any = None

    def flat(*tracers: Tracer) -> list[Any]:
        nonlocal out_tree
        outputs, out_tree = flatten(fn(*unflatten(in_tree, tracers), **static))
        return outputs

    program, captured = record(flat, avals)
    if captured:
        raise TypeError(
            f"trace: the function must not read values of another trace, got {captured[0].aval}"
            f" made at {captured[0].source}"
        )
    donated = donated_leaves(args, donate_argnums)
    return attrs.evolve(program, donated=donated, in_tree=in_tree, out_tree=out_tree)


def donated_leaves(args: Sequence[Any], donate_argnums: Sequence[int]) -> frozenset[int]:
    """Positions among all leaves of `args` of those of the donated arguments."""
    for i in donate_argnums:
        if not 0 <= i < len(args):
            raise ValueError(f"donate_argnums: must be positions of arguments (0 to {len(args) - 1}), got {i}")
    counts = [structure(a).num_leaves for a in args]
    starts = np.cumsum([0, *counts])
    return frozenset(int(k) for i in donate_argnums for k in range(starts[i], starts[i + 1]))
