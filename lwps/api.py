"""The pieces put together: profile, compile, and jit behind one call."""

import functools
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from lwps import core, tracing
from lwps.autoplace import Receipt, choose
from lwps.blas import blas
from lwps.core import Program, ShapedArray, aval_of, interned
from lwps.ops import operators
from lwps.placement import place
from lwps.plan import Placement, Plan, PlanError, Profile, placement_of
from lwps.planning import check_is_of, check_processors, elsewhere, fit, placed, plan_of
from lwps.runtime.array import Array, DonationError
from lwps.runtime.compile import compile_program, everywhere
from lwps.runtime.interpreter import Executable
from lwps.runtime.machine import Machine
from lwps.runtime.memory import Memory, Slot
from lwps.runtime.profile import profile_program
from lwps.transforms.optimize import optimize

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

    def __init__(self, executable: Executable, pins: Mapping[str, str] | None = None) -> None:
        self.executable = executable
        self.pins = pins or {}  # that its program was optimized with
        self.program = executable.lowered.program
        self.placement = executable.lowered.placement
        self._memory = executable.memory
        self._avals = tuple(v.aval for v in self.program.inputs)
        self._out_avals = tuple(interned(v.aval.shape, v.aval.dtype) for v in self.program.outputs)
        self._donated = tuple(sorted(self.program.donated))
        self._lock = threading.Lock()

    @property
    def plan(self) -> Plan:
        """Where its eqns run, as a value to save and to run again; without predicted times."""
        machine = self.executable.machine
        plan = plan_of(self.program, self.placement, machine.describe(), machine.memory, machine.names, self.pins)
        return attrs.evolve(plan, blas_threads=blas().threads)

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
                slots.append(memory.filled(aval, x))
                continue
            slot = x._slot or x.slot()
            slots.append(slot if slot.memory is memory else memory.filled(aval, np.asarray(x)))
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


def compile(program: Program, placement: Placement | Mapping[str, str] | Plan, machine: Machine) -> CompiledStep:
    """A step that runs `program` (from `lwps.optimize`) as placed, its hazards proven absent.

    A `Plan` must be of this program: it was optimized with the pins that the plan was solved with.
    """
    pins: Mapping[str, str] = {}
    if isinstance(placement, Plan):
        check_is_of(placement, program)
        pins, placement = placement.pins, placed(placement, program)
        check_processors(placement, machine.names)
    elif isinstance(placement, Mapping):
        placement = placement_of(placement, program)
    return CompiledStep(compile_program(program, placement, machine, memory_of(machine)), pins)


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
        program, placement = _planned(traced, self.placement, machine)
        arrays = [np.asarray(x) for x in leaves]
        executable, receipt = _executable(program, placement, machine, arrays)
        del arrays  # views of what may be donated
        step = CompiledStep(executable, self._pins)
        entry = self._entries[key] = _Entry(step, traced.out_tree, receipt)
        return entry

    def lower(self, *args: Any, **static: Any) -> Program:
        """The optimized program for these arguments (arrays or avals)."""
        return optimize(tracing.trace(self.fn, *args, donate_argnums=self.donate_argnums, **static), pins=self._pins)

    @property
    def _pins(self) -> Mapping[str, str] | None:
        return self.placement.pins if isinstance(self.placement, Plan) else None

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


def _planned(traced: Program, placement: Any, machine: Machine) -> tuple[Program, Any]:
    """The optimized program, under a `Plan` with its pins and its placement."""
    if not isinstance(placement, Plan):
        return optimize(traced), placement
    found = elsewhere(placement, machine.describe(), machine.memory, blas().threads)
    program, rows = fit(placement, traced, found)
    check_processors(rows, machine.names)
    if found:
        warnings.warn(f"lwps: the plan was made elsewhere: {'; '.join(found)}; its times are not of here", stacklevel=2)
    return program, rows


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
    the receipt), a processor's name, a policy's name, a `Placement`, a `Plan` of this very program, or a function
    (program, profile) -> placement. `donate_argnums`: arguments whose memory the results take.
    `static_argnames`: keyword arguments that are part of the signature, hashable. 64-bit arrays become 32-bit;
    values that do not fit are refused.
    """
    if fn is None:
        return functools.partial(
            jit, placement=placement, donate_argnums=donate_argnums, static_argnames=static_argnames, machine=machine
        )
    if not (callable(placement) or isinstance(placement, str | Placement | Plan)):
        raise PlanError(f"jit: placement must be a name, a Placement, a Plan or a function, got {placement!r}")
    return Jitted(fn, placement, donate_argnums, static_argnames, machine)
