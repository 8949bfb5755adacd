"""Walks the instruction list of a compiled step.

State: `_calls[i]` does instruction i, with everything bound: arrays, kernels with their arguments, events.
`_bound[space]` is the block that instructions touching a slot are bound to; before a step those
whose slot has another block are bound anew, and no others. Where a map shows the host bytes at another address
than before, it binds those who use them itself. Invariant: when `run` returns, every queue has been waited for and
nothing is mapped in part, so blocks that went back to the pool are in nobody's use.
"""

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyopencl as cl

from lwps.core import Operand, ShapedArray
from lwps.plan import Copy, Flush, Map, Range, Run, Touching, Unmap, Wait
from lwps.runtime.blocks import Block, BufferBlock, MappedBlock
from lwps.runtime.machine import HOST, Machine
from lwps.runtime.memory import Memory, Slot, release
from lwps.runtime.watchdog import watch
from lwps.transforms.memory import SHARED

if TYPE_CHECKING:
    from lwps.runtime.compile import Lowered

Call = Callable[[], Any]


class Executable:
    """A compiled step over slots: `run(inputs) -> outputs`."""

    def __init__(self, lowered: "Lowered", machine: Machine, memory: Memory) -> None:
        self.lowered, self.machine, self.memory = lowered, machine, memory
        self._arena = {
            f"arena{k}@{where}": memory.allocate(where, nbytes)
            for where, sizes in lowered.memory.chunks.items()
            for k, nbytes in enumerate(sizes)
        }
        weakref.finalize(self, release, [*self._arena.values()])
        self._bound: dict[str, Block] = dict(self._arena)
        self._moves: dict[str, int] = {}  # of the blocks bound, where they have moved
        self.events: list[Any] = [None] * len(lowered.instructions)
        self._calls: list[Call] = [_nothing] * len(lowered.instructions)
        self._binders: list[Callable[[], Call] | None] = [None] * len(lowered.instructions)
        self._users = self._slot_users()
        self._queues = machine.queues
        values, program = lowered.values, lowered.program
        self._arrival = tuple(values.spaces[values.number[v]][0] for v in program.inputs)
        self._written = tuple(self._written_in_place(k) for k in range(len(program.inputs)))
        self._input_spaces = tuple(self._spaces(f"in{k}") for k in range(len(program.inputs)))
        self._output_homes = tuple(values.spaces[values.number[v]][0] for v in program.outputs)
        self._output_spaces = tuple(self._spaces(f"out{k}") for k in range(len(program.outputs)))
        # inputs whose values instructions bring to further families, and outputs that are new values
        self._gains = tuple(
            (k, frozenset(where for _, where in spaces))
            for k, (spaces, home) in enumerate(zip(self._input_spaces, self._arrival, strict=True))
            if any(where != home for _, where in spaces)
        )
        self._renewed = tuple(
            (k, frozenset((home, *(where for _, where in spaces))))
            for k, (spaces, home) in enumerate(zip(self._output_spaces, self._output_homes, strict=True))
            if k not in lowered.in_place or program.outputs[k] is not program.inputs[lowered.in_place[k]]
        )
        self._consts = self._const_slots()
        self._unbound = True  # until a step has bound every instruction
        self.began = 0.0  # when the step under way began (time.monotonic), 0 between steps
        if machine.queues:
            watch(self)
        self.staged = 0  # inputs that had to be brought to where the step expects them

    def _written_in_place(self, k: int) -> bool:
        """Whether input `k` is written over by the output that replaces it."""
        program = self.lowered.program
        return any(i == k and program.outputs[o] is not program.inputs[k] for o, i in self.lowered.in_place.items())

    @property
    def peak_bytes(self) -> int:
        """Bytes of the arena and of one set of slots."""
        v = self.lowered.values
        slots = [k for k, name in v.slots.items() if not self._replaces(name)]
        in_slots = sum(v.roots[k].aval.nbytes * max(1, len(v.spaces[k])) for k in slots)
        return sum(b.nbytes for b in self._arena.values()) + in_slots

    def _replaces(self, slot: str) -> bool:
        return slot.startswith("out") and int(slot[3:]) in self.lowered.in_place

    def _slot_users(self) -> dict[str, list[int]]:
        users: dict[str, list[int]] = {}
        for at, instruction in enumerate(self.lowered.instructions):
            if isinstance(instruction, Touching):
                for space in {r.space for r in (*instruction.reads, *instruction.writes)}:
                    if not space.startswith("arena"):
                        users.setdefault(space, []).append(at)
        return users

    def _spaces(self, slot: str) -> tuple[tuple[str, str], ...]:
        """(space, family) of a slot that instructions touch."""
        return tuple((s, s.partition("@")[2]) for s in self._users if s.partition("@")[0] == slot)

    def _const_slots(self) -> list[Slot]:
        slots = []
        for k, (var, value) in enumerate(self.lowered.program.consts):
            slot = self.memory.filled(var.aval, value)
            for space, where in self._spaces(f"const{k}"):
                slot.ensure(where)
                self._rebound(space, slot.block(where))
            slots.append(slot)
        return slots

    # --- one step -------------------------------------------------------------------------------

    def run(self, inputs: Sequence[Slot]) -> list[Slot]:
        """Do the step; the slots of the outputs (those of donated inputs where done in place)."""
        outputs = self._prepare(inputs)
        calls: Any = iter(self._calls)
        self.began = time.monotonic()
        try:
            with np.errstate(all="ignore"):  # a device says nothing of a NaN either
                for call in calls:
                    call()
        except BaseException as error:  # an interrupt too must not leave queues at work on blocks that go back
            self._clean_up(self.machine.queues)
            self._explain(error, len(self._calls) - calls.__length_hint__() - 1)
            raise
        finally:
            self.began = 0.0
        self._settle(inputs, outputs)
        return outputs

    def timed_run(self, inputs: Sequence[Slot]) -> tuple[list[Slot], list[float], float]:
        """As `run`, on profiling queues: the outputs, seconds of each instruction, seconds of the step.

        Of an enqueued instruction that follows another without a wait: from the end of that one to
        its own end, so that what passes between two kernels is counted.
        """
        outputs = self._prepare(inputs)
        seconds = [0.0] * len(self._calls)
        pending: list[tuple[int, Any, Any]] = []
        self._queues = self.machine.profiling_queues
        begin = time.perf_counter()
        try:
            with np.errstate(all="ignore"):
                for at, instruction in enumerate(self.lowered.instructions):
                    start = time.perf_counter()
                    result = self._calls[at]()
                    if isinstance(instruction, Wait) or getattr(instruction, "processor", HOST) == HOST:
                        seconds[at] = time.perf_counter() - start
                    elif result is not None:
                        pending.append((at, *result))
            step_s = time.perf_counter() - begin
        except BaseException:
            self._clean_up(self.machine.profiling_queues)
            raise
        finally:
            self._queues = self.machine.queues
        self._read_events(pending, seconds)
        self._settle(inputs, outputs)
        return outputs, seconds, step_s

    def _read_events(self, pending: Sequence[tuple[int, Any, Any]], seconds: list[float]) -> None:
        before: dict[str, tuple[int, int]] = {}
        for at, first, last in pending:
            queue = self.lowered.instructions[at].processor
            start, end = first.profile.start, last.profile.end
            previous = before.get(queue)
            follows = previous is not None and not any(
                isinstance(i, Wait) or i.processor == HOST for i in self.lowered.instructions[previous[0] + 1 : at]
            )
            seconds[at] = (end - (previous[1] if follows and previous is not None else start)) * 1e-9
            before[queue] = (at, end)

    def _prepare(self, inputs: Sequence[Slot]) -> list[Slot]:
        """Bind the slots of this step where they differ from those of the last."""
        changed: list[str] = []
        bound = self._bound
        unbound, self._unbound = self._unbound, True  # after an error on the way the next step binds all anew
        for slot, home, written in zip(inputs, self._arrival, self._written, strict=True):
            if (home not in slot.valid or written) and slot.ensure(home, alone=written):
                self.staged += 1
        for slot, home in zip(inputs, self._arrival, strict=True):
            if home not in slot.valid:  # it is another input too, which the other side reads
                slot.share()
        for slot, spaces in zip(inputs, self._input_spaces, strict=True):
            for space, where in spaces:
                block = slot.blocks.get(where) or slot.block(where)
                if (bound.get(space) is not block or block.moves) and self._rebound(space, block):
                    changed.append(space)
        outputs = []
        for k, spaces in enumerate(self._output_spaces):
            i = self.lowered.in_place.get(k)
            slot = inputs[i] if i is not None else self._new_output(k)
            outputs.append(slot)
            for space, where in spaces:
                block = slot.block(where)
                if (bound.get(space) is not block or block.moves) and self._rebound(space, block):
                    changed.append(space)
        if unbound:
            for at in range(len(self._calls)):
                self._calls[at] = self._bind(at)
        elif changed:
            for at in {at for space in changed for at in self._users[space]}:
                self._calls[at] = self._bind(at)
        self._unbound = False
        return outputs

    def _new_output(self, k: int) -> Slot:
        slot = self.memory.slot(self.lowered.program.outputs[k].aval.nbytes)
        if self.memory.mapped:
            slot.claim(self._output_homes[k])
        return slot

    def _rebound(self, space: str, block: Block) -> bool:
        """Bind a space to `block`; whether that changes anything for those who touch it."""
        if self._bound.get(space) is block and self._moves.get(space, 0) == block.moves:
            return False
        self._bound[space], self._moves[space] = block, block.moves
        return True

    def _settle(self, inputs: Sequence[Slot], outputs: Sequence[Slot]) -> None:
        """Say in which families the slots are valid now."""
        for k, families in self._gains:
            inputs[k].valid.update(families)
        for k, families in self._renewed:
            if outputs[k].valid != families:
                outputs[k].valid = set(families)

    def _clean_up(self, queues: Mapping[str, Any]) -> None:
        """After an error on the way: nothing is at work any more, nothing mapped in part."""
        for queue in queues.values():
            try:
                queue.finish()
                for block in set(self._bound.values()):
                    if isinstance(block, MappedBlock):
                        block.let_go(queue)
            except cl.Error:
                continue  # the error that is on its way up says more

    def _explain(self, error: BaseException, at: int) -> None:
        error.add_note(f"lwps: in {self.name_of(at)}")

    def name_of(self, at: int) -> str:
        """Instruction `at` for people: the eqn, where it runs, where it was traced."""
        instruction = self.lowered.instructions[at]
        if not isinstance(instruction, Run):
            return f"instruction {at}: {instruction}"
        eqn = self.lowered.program.eqns[instruction.eqn]
        name = self.lowered.program.names[instruction.eqn]
        return f"{name} on {instruction.processor}: {eqn}; traced at {eqn.source or 'an unknown line'}"

    # --- binding --------------------------------------------------------------------------------

    def _bind(self, at: int) -> Call:
        """The call that does instruction `at` on the blocks bound now."""
        try:
            binder = self._binders[at]
            if binder is None:
                binder = self._binders[at] = self._binder(at)
            return binder()
        except Exception as error:
            self._explain(error, at)
            raise

    def _binder(self, at: int) -> Callable[[], Call]:
        instruction = self.lowered.instructions[at]
        if isinstance(instruction, Wait):
            return lambda: partial(self._wait, instruction.upto)
        if isinstance(instruction, Flush):
            return lambda: partial(self._flush, instruction.processor)
        if isinstance(instruction, Copy):
            return partial(self._bind_copy, at, instruction)
        if isinstance(instruction, Map):
            return partial(self._bind_map, at, instruction)
        if isinstance(instruction, Unmap):
            return partial(self._bind_unmap, at, instruction)
        if instruction.processor == HOST:
            return partial(self._bind_host, instruction)
        return _KernelBinder(self, at, instruction).bind

    def _wait(self, upto: int) -> None:
        event = self.events[upto]
        if event is not None:
            event.wait()

    def _flush(self, name: str) -> None:
        self._queues[name].flush()

    def _mark(self, at: int, name: str) -> None:
        """An instruction on no bytes: waiting for it still means waiting for what came before it."""
        self.events[at] = cl.enqueue_marker(self._queues[name])

    def _views(self, instruction: Run) -> list[np.ndarray | None]:
        eqn = self.lowered.program.eqns[instruction.eqn]
        operands = [*zip(self._out_ranges(instruction), (v.aval for v in eqn.outs), strict=True)]
        operands += zip(self._in_ranges(instruction), eqn.in_avals, strict=True)
        scratch = self._scratch(instruction)
        operands += zip(instruction.writes[len(eqn.outs) :], scratch, strict=True)
        return [self._view(r, aval) for r, aval in operands]

    def _view(self, r: Range, aval: ShapedArray) -> np.ndarray | None:
        """Bytes as the host sees them; None where that is only known once they have been mapped."""
        block = self._bound[r.space]
        if self.memory.mapped and r.space.endswith(f"@{SHARED}"):
            return block.mapped_view(r.start, aval)
        return block.view(r.start, aval)

    def _out_ranges(self, instruction: Run) -> Sequence[Range]:
        return instruction.writes[: len(self.lowered.program.eqns[instruction.eqn].outs)]

    def _in_ranges(self, instruction: Run) -> list[Range]:
        """A range for each input; `reads` has each value once."""
        by_value = {r.value: r for r in instruction.reads}
        number = self.lowered.values.number
        return [by_value[number[v]] for v in self.lowered.program.eqns[instruction.eqn].ins]

    def _scratch(self, instruction: Run) -> Sequence[ShapedArray]:
        if instruction.eqn in self.lowered.recipes:
            return self.lowered.recipes[instruction.eqn].scratch
        eqn = self.lowered.program.eqns[instruction.eqn]
        return eqn.primitive.numpy.scratch(*eqn.in_avals, **eqn.params)

    def _bind_host(self, instruction: Run) -> Call:
        eqn = self.lowered.program.eqns[instruction.eqn]
        views = self._views(instruction)
        if any(v is None for v in views):
            return _nothing  # the map that comes before it will bind it
        return partial(eqn.primitive.numpy.run, *views, **eqn.params)

    def _bind_map(self, at: int, instruction: Map) -> Call:
        block, r, name = self._bound[instruction.range.space], instruction.range, instruction.processor
        assert isinstance(block, MappedBlock)
        users = self._host_users(r)
        place: Any = None

        def call() -> tuple[Any, Any]:
            nonlocal place
            event = self.events[at] = block.map(self._queues[name], r.start, r.stop, instruction.mode)
            now = block.place(r.start, r.stop)
            if now is not place:
                place = now
                for user in users:
                    self._calls[user] = self._bind(user)
            return event, event

        return call

    def _bind_unmap(self, at: int, instruction: Unmap) -> Call:
        block, r, name = self._bound[instruction.range.space], instruction.range, instruction.processor
        assert isinstance(block, MappedBlock)

        def call() -> tuple[Any, Any]:
            event = self.events[at] = block.unmap(self._queues[name], r.start)
            return event, event

        return call

    def _host_users(self, r: Range) -> list[int]:
        """Instructions that run on the host and touch the range."""
        where = r.space, r.start, r.stop
        return [
            at
            for at, i in enumerate(self.lowered.instructions)
            if isinstance(i, Run) and i.processor == HOST
            if any((t.space, t.start, t.stop) == where for t in (*i.reads, *i.writes))
        ]

    def _bind_copy(self, at: int, instruction: Copy) -> Call:
        (read,), (write,) = instruction.reads, instruction.writes
        source, target = self._bound[read.space], self._bound[write.space]
        nbytes = read.stop - read.start
        if nbytes == 0:
            return partial(self._mark, at, instruction.processor)
        if isinstance(source, BufferBlock):
            assert target.host is not None
            ends = target.host[write.start : write.stop], source.buffer
            offset = {"src_offset": read.start}
        else:
            assert isinstance(target, BufferBlock)
            assert source.host is not None
            ends = target.buffer, source.host[read.start : read.stop]
            offset = {"dst_offset": write.start}
        name = instruction.processor

        def copy() -> tuple[Any, Any]:
            event = self.events[at] = cl.enqueue_copy(self._queues[name], *ends, is_blocking=False, **offset)
            return event, event

        return copy


class _KernelBinder:
    """Kernel objects of one eqn, made once; arguments are set anew only where their block has changed."""

    def __init__(self, executable: Executable, at: int, instruction: Run) -> None:
        self.executable, self.at, self.instruction = executable, at, instruction
        self.recipe = executable.lowered.recipes[instruction.eqn]
        cache = executable.machine.kernels[instruction.processor]
        source = self.recipe.source
        self.kernels = [cache.kernel(source, launch.options, launch.kernel) for launch in self.recipe.launches]
        self.arguments: dict[tuple[str, int], tuple[Block, Any]] = {}  # kept: OpenCL does not hold them
        for kernel, launch in zip(self.kernels, self.recipe.launches, strict=True):
            for k, arg in enumerate(launch.args):
                if not isinstance(arg, Operand):
                    kernel.set_arg(k, arg)

    def bind(self) -> Call:
        renewed = set()
        for key, r in self._ranges().items():
            block = self.executable._bound[r.space]
            if key not in self.arguments or self.arguments[key][0] is not block:
                self.arguments[key] = block, block.argument(r.start, r.stop - r.start)
                renewed.add(key)
        for kernel, launch in zip(self.kernels, self.recipe.launches, strict=True):
            for k, arg in enumerate(launch.args):
                if isinstance(arg, Operand) and (arg.kind, arg.index) in renewed:
                    kernel.set_arg(k, self.arguments[arg.kind, arg.index][1])
        return self._call()

    def _ranges(self) -> dict[tuple[str, int], Range]:
        instruction, executable = self.instruction, self.executable
        outs = executable._out_ranges(instruction)
        ranges = {("out", k): r for k, r in enumerate(outs)}
        ranges.update((("in", k), r) for k, r in enumerate(executable._in_ranges(instruction)))
        ranges.update((("scratch", k), r) for k, r in enumerate(instruction.writes[len(outs) :]))
        return ranges

    def _call(self) -> Call:
        executable, at, name = self.executable, self.at, self.instruction.processor
        launches = [(k, r.global_size, r.local_size) for k, r in zip(self.kernels, self.recipe.launches, strict=True)]
        events, enqueue = executable.events, cl.enqueue_nd_range_kernel
        if not launches:
            return partial(executable._mark, at, name)
        if len(launches) == 1:
            ((kernel, size, local),) = launches

            def launch_one() -> tuple[Any, Any]:
                event = events[at] = enqueue(executable._queues[name], kernel, size, local)
                return event, event

            return launch_one

        def launch_all() -> tuple[Any, Any]:
            made = [enqueue(executable._queues[name], kernel, size, local) for kernel, size, local in launches]
            events[at] = made[-1]
            return made[0], made[-1]

        return launch_all


def _nothing() -> None:
    """What stands for an instruction until it is bound."""
