"""The pieces put together: grad, optimize, profile, place, compile, and jit behind one call."""

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from lwps import core, tracing
from lwps.autoplace import Receipt, choose
from lwps.core import Program, ShapedArray, aval_of, evaluate_program, interned
from lwps.ops import operators
from lwps.ops.elementwise import full
from lwps.placement import place
from lwps.plan import Placement, PlanError, Profile, placement_of
from lwps.runtime.array import Array, DonationError
from lwps.runtime.compile import compile_program, everywhere
from lwps.runtime.interpreter import Executable
from lwps.runtime.machine import Machine
from lwps.runtime.memory import Memory, Slot
from lwps.runtime.profile import new_slot, profile_program
from lwps.tracing import Tracer
from lwps.transforms.optimize import optimize
from lwps.transforms.vjp import vjp as vjp_program

# --- autodiff -----------------------------------------------------------------------------------


def value_and_grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns `fn`'s value and its gradient with respect to argument `argnums`.

    `fn` must return a 0-d float, or with `has_aux` a pair of that and any pytree; then the result is
    ((value, aux), gradient). Gradients have the pytree of their argument. TypeError, listing all of
    them, where primitives on the way have no vjp rule.
    """

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        if tracing.current_trace() is None:
            return _at_once(differentiated, args, kwargs)
        return _value_and_grad(fn, argnums, has_aux, args, kwargs)

    return functools.update_wrapper(differentiated, fn)


def grad(fn: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `fn` (with `has_aux` a pair of it and the aux)."""
    both = value_and_grad(fn, argnums, has_aux)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return functools.update_wrapper(differentiated, fn)


def vjp(fn: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """`fn(*primals)` and a function from cotangents of its result to a tuple of those of `primals`."""
    if tracing.current_trace() is None:
        leaves, in_tree = tracing.flatten(primals)
        arrays = [core.narrow(x, "vjp") for x in leaves]
        program, _, out_tree = _record(lambda *xs: fn(*xs), in_tree, arrays)
        outs = tracing.unflatten(out_tree, evaluate_program(program, arrays))
        return outs, functools.partial(_pull_back_at_once, program, arrays, in_tree)
    leaves, in_tree = tracing.flatten(primals)
    program, captured, out_tree = _record(lambda *xs: fn(*xs), in_tree, leaves)
    outs = _current().inline(program, [*leaves, *captured])
    pulled = vjp_program(program, wrt=range(len(leaves)))

    def pull_back(cts: Any) -> tuple[Any, ...]:
        results = _current().inline(pulled, [*leaves, *captured, *tracing.flatten(cts)[0]])
        # the forward eqns come a second time and are merged with the first by `simplify`
        return tracing.unflatten(in_tree, results[len(program.outputs) :])  # type: ignore[no-any-return]

    return tracing.unflatten(out_tree, outs), pull_back


def _pull_back_at_once(program: Program, arrays: Sequence[np.ndarray], in_tree: Any, cts: Any) -> tuple[Any, ...]:
    seeds = [np.asarray(ct, v.aval.dtype) for ct, v in zip(tracing.flatten(cts)[0], program.outputs, strict=True)]
    results = evaluate_program(vjp_program(program), [*arrays, *seeds])
    return tracing.unflatten(in_tree, results[len(program.outputs) :])  # type: ignore[no-any-return]


def _value_and_grad(
    fn: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    leaves, in_tree = tracing.flatten([args[i] for i in chosen])
    for x in leaves:
        if aval_of(x).dtype.kind != "f":
            raise TypeError(
                f"grad: what is differentiated by must be floats, got {aval_of(x)} in argument {chosen}; use argnums"
            )

    def of_chosen(*xs: Any) -> Any:
        full = list(args)
        for i, x in zip(chosen, xs, strict=True):
            full[i] = x
        result = fn(*full, **kwargs)
        if has_aux and (not isinstance(result, tuple) or len(result) != 2):
            raise TypeError(f"grad: with has_aux the function must return (value, aux), got {type(result).__name__}")
        return result if has_aux else (result, ())

    program, captured, out_tree = _record(of_chosen, in_tree, leaves)
    loss = program.outputs[0].aval if program.outputs else None
    if loss is None or loss.shape != () or loss.dtype.kind != "f":
        raise TypeError(f"grad: the function must return a 0-d float, got {loss}; use .mean() or .sum(), or lwps.vjp")
    pulled = vjp_program(program, wrt=range(len(leaves)), outputs=[0])
    results = _current().inline(pulled, [*leaves, *captured, full((), 1, loss.dtype)])
    value, aux = tracing.unflatten(out_tree, results[: len(program.outputs)])
    gradients = tracing.unflatten(in_tree, results[len(program.outputs) :])
    gradient = gradients[0] if isinstance(argnums, int) else tuple(gradients)
    return ((value, aux) if has_aux else value), gradient


def _record(fn: Callable[..., Any], in_tree: Any, leaves: Sequence[Any]) -> tuple[Program, list[Tracer], Any]:
    """The program of `fn` over the leaves of its arguments, what it captured, and its result's pytree."""
    out_tree: Any = None

    def flat(*tracers: Tracer) -> list[Any]:
        nonlocal out_tree
        outputs, out_tree = tracing.flatten(fn(*tracing.unflatten(in_tree, tracers)))
        return outputs

    program, captured = tracing.record(flat, [aval_of(x) for x in leaves])
    return program, captured, out_tree


def _current() -> tracing.Trace:
    trace = tracing.current_trace()
    assert trace is not None
    return trace


def _at_once(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Outside a trace: record, then run every eqn's NumPy rule."""
    leaves, in_tree = tracing.flatten(args)
    arrays = [core.narrow(x, "grad") for x in leaves]
    program, _, out_tree = _record(lambda *xs: fn(*xs, **kwargs), in_tree, arrays)
    return tracing.unflatten(out_tree, evaluate_program(program, arrays))


# --- machines -----------------------------------------------------------------------------------


@functools.cache
def default_machine(processors: tuple[str, ...] | None = None, memory: str | None = None) -> Machine:
    """The machine that is used where none is given, detected once."""
    return Machine.detect(processors, memory)


@functools.cache
def memory_of(machine: Machine) -> Memory:
    """The pool of a machine: steps of one machine hand arrays to each other without a copy."""
    return Memory(machine)


def profile(program: Program, machine: Machine, args: Sequence[Any] | None = None) -> Profile:
    """Measured seconds of every eqn of `program` on every processor of `machine`.

    `args`: example inputs as the traced function takes them; made up by default.
    """
    arrays = None if args is None else [np.asarray(x) for x in tracing.flatten(tuple(args))[0]]
    return profile_program(program, machine, memory_of(machine), arrays)


operators.attach(Array)  # outside a step they run at once, on what NumPy sees

# --- compiled steps -----------------------------------------------------------------------------


class CompiledStep:
    """A placed program that can be called with the arguments it was traced for.

    Takes NumPy arrays, Python numbers or `Array`s, returns `Array`s. Donated `Array`s must not be used again.
    """

    def __init__(self, executable: Executable) -> None:
        self.executable = executable
        self.program = executable.lowered.program
        self.placement = executable.lowered.placement
        self._memory = executable.memory
        self._avals = tuple(v.aval for v in self.program.inputs)
        self._out_avals = tuple(interned(v.aval.shape, v.aval.dtype) for v in self.program.outputs)
        self._donated = tuple(sorted(self.program.donated))
        self._lock = threading.Lock()

    @property
    def instructions(self) -> tuple[Any, ...]:
        """What the interpreter walks: runs, copies, waits."""
        return self.executable.lowered.instructions

    def __call__(self, *args: Any) -> Any:
        leaves, tree = tracing.flatten(args)
        if self.program.in_tree is not None and tree != self.program.in_tree:
            raise TypeError(
                f"step: arguments must have the pytree it was traced for, {self.program.in_tree}, got {tree}"
            )
        wide = [a.dtype == np.float64 for a in self._avals]
        leaves = [
            x if type(x) is Array else core.narrow(x, "step", floats=not w) for x, w in zip(leaves, wide, strict=True)
        ]
        for k, (x, aval) in enumerate(zip(leaves, self._avals, strict=True)):
            if aval_of(x) != aval:
                raise TypeError(
                    f"step: input {k} must be {aval}, got {aval_of(x)}; trace and compile for it, or use lwps.jit"
                )
        outputs = self.call_flat(leaves)
        return outputs if self.program.out_tree is None else tracing.unflatten(self.program.out_tree, outputs)

    def call_flat(self, leaves: Sequence[Any]) -> list[Array]:
        """As a call, on leaves that are known to fit."""
        with self._lock:
            slots = self._take(leaves)
            outputs = self.executable.run(slots)
        return [Array(s, a) for s, a in zip(outputs, self._out_avals, strict=True)]

    def _take(self, leaves: Sequence[Any]) -> list[Slot]:
        """The slots behind the arguments; donated arrays are given away once all are known to be right."""
        memory = self._memory
        slots = []
        for x, aval in zip(leaves, self._avals, strict=True):
            if type(x) is not Array:
                slots.append(new_slot(memory, aval, x))
                continue
            slot = x._slot or x.slot()
            slots.append(slot if slot.memory is memory else new_slot(memory, aval, np.asarray(x)))
        if self._donated:
            self._check_donated(slots, leaves)
            for i in self._donated:
                if type(leaves[i]) is Array:
                    leaves[i]._slot = None
        return slots

    def _check_donated(self, slots: Sequence[Slot], leaves: Sequence[Any]) -> None:
        if len(set(slots)) != len(slots):
            twice = [i for i, s in enumerate(slots) if sum(s is t for t in slots) > 1]
            if self.program.donated.intersection(twice):
                raise DonationError(
                    f"step: a donated array must be given once, got the same one as inputs {twice};"
                    " pass a copy (np.array) for the others"
                )
        for i in self._donated:
            if slots[i].viewed and type(leaves[i]) is Array:
                raise DonationError(
                    f"step: a donated array must have no live view, got input {i}, {self._avals[i]}, with one;"
                    " delete what np.asarray gave, or take np.array (a copy) instead"
                )


def compile(program: Program, placement: Placement | Mapping[str, str], machine: Machine) -> CompiledStep:
    """A step that runs `program` (from `lwps.optimize`) as placed, its hazards proven absent."""
    if isinstance(placement, Mapping):
        placement = placement_of(placement, program)
    return CompiledStep(compile_program(program, placement, machine, memory_of(machine)))


# --- jit ----------------------------------------------------------------------------------------


@attrs.frozen(eq=False)
class _Entry:
    """What jit keeps for one signature."""

    step: CompiledStep
    out_tree: Any
    receipt: Receipt | None


class Jitted:
    """A function compiled for each signature it is called with; see `jit`."""

    def __init__(
        self,
        fn: Callable[..., Any],
        placement: Any,
        donate_argnums: Sequence[int],
        static_argnames: Sequence[str],
        machine: Machine | None,
    ) -> None:
        functools.update_wrapper(self, fn)
        self.fn, self.placement = fn, placement
        self.donate_argnums, self.static_argnames = tuple(donate_argnums), tuple(static_argnames)
        self.machine = machine
        self._entries: dict[Any, _Entry] = {}
        self._latest: _Entry | None = None
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **static: Any) -> Any:
        if tracing.current_trace() is not None:
            return self.fn(*args, **static)  # inlined into the function being traced
        leaves, tree = tracing.flatten(args)
        avals = []
        for k, x in enumerate(leaves):
            if type(x) is Array:
                avals.append(x.aval)
            else:
                leaves[k] = x = core.narrow(x, self.__name__, floats=True)  # type: ignore[attr-defined]
                avals.append(interned(x.shape, x.dtype))
        key: Any = (tree, tuple(avals))
        if static:  # with types: 1, 1.0 and True are equal and are not the same argument
            key = (*key, tuple((name, type(static[name]), static[name]) for name in sorted(static)))
        entry = self._entries.get(key)
        if entry is None:
            with self._lock:
                entry = self._entries.get(key) or self._compile(key, args, leaves, avals, tree, static)
        self._latest = entry
        return tracing.unflatten(entry.out_tree, entry.step.call_flat(leaves))

    def _compile(
        self,
        key: Any,
        args: Any,
        leaves: Sequence[Any],
        avals: Sequence[ShapedArray],
        tree: Any,
        static: Mapping[str, Any],
    ) -> _Entry:
        unknown = set(static) - set(self.static_argnames)
        if unknown:
            raise TypeError(
                f"jit: keyword arguments must be named in static_argnames, got {', '.join(sorted(unknown))}"
            )
        traced = tracing.trace(self.fn, *tracing.unflatten(tree, avals), donate_argnums=self.donate_argnums, **static)
        machine = self.machine or default_machine()
        program = optimize(traced)
        arrays = [np.asarray(x) for x in leaves]
        executable, receipt = _executable(program, self.placement, machine, arrays)
        del arrays  # views of what may be donated
        entry = self._entries[key] = _Entry(CompiledStep(executable), traced.out_tree, receipt)
        return entry

    def lower(self, *args: Any, **static: Any) -> Program:
        """The optimized program for these arguments (arrays or avals)."""
        return optimize(tracing.trace(self.fn, *args, donate_argnums=self.donate_argnums, **static))

    @property
    def receipt(self) -> Receipt | None:
        """What was measured for the latest call's signature, with placement="auto"; else None."""
        return self._latest.receipt if self._latest else None

    @property
    def compiled(self) -> CompiledStep:
        """The compiled step of the latest call."""
        if self._latest is None:
            raise RuntimeError("jit: there is a compiled step only after the first call; call the step once")
        return self._latest.step


def _executable(
    program: Program, policy: Any, machine: Machine, arrays: Sequence[np.ndarray]
) -> tuple[Executable, Receipt | None]:
    memory = memory_of(machine)
    if policy == "auto":
        return choose(program, machine, memory, arrays)
    if isinstance(policy, Placement):
        placement = policy
    elif isinstance(policy, str) and policy in machine.names:
        placement = everywhere(program, machine, policy)
    else:
        placement = place(program, profile_program(program, machine, memory, arrays), policy)
    return compile_program(program, placement, machine, memory), None


def jit(
    fn: Callable[..., Any] | None = None,
    *,
    placement: Any = "auto",
    donate_argnums: Sequence[int] = (),
    static_argnames: Sequence[str] = (),
    machine: Machine | None = None,
) -> Any:
    """`fn` traced once for each signature, placed, compiled, and run without tracing from then on.

    `placement`: "auto" (measures each single processor and the plans, keeps the fastest and hands over
    the receipt), a processor's name, a policy's name, a `Placement`, or a function (program, profile) ->
    placement. `donate_argnums`: arguments whose memory the results take. `static_argnames`: keyword
    arguments that are part of the signature, hashable. 64-bit arrays become 32-bit; values that do not fit
    are refused.
    """
    if fn is None:
        return functools.partial(
            jit, placement=placement, donate_argnums=donate_argnums, static_argnames=static_argnames, machine=machine
        )
    if not (callable(placement) or isinstance(placement, str | Placement)):
        raise PlanError(f"jit: placement must be a name, a Placement or a function, got {placement!r}")
    return Jitted(fn, placement, donate_argnums, static_argnames, machine)
