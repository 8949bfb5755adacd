"""Bytes that processors share: a pool of blocks, and slots that hold one array each.

State: a pool keeps blocks that nobody holds, by family and size, for the next one who asks.
A `Slot` holds the blocks of one array, one for each family it exists in (where memory is mapped one for all); when the
last reference to the slot goes, its blocks return to the pool. So a returned array is never overwritten while it,
or a view of it, lives.
"""

import threading
import weakref
from typing import Any

import numpy as np
import pyopencl as cl

from lwps.core import ShapedArray
from lwps.runtime.blocks import Block, BufferBlock, CoarseSvmBlock, HostPtrBlock, MappedBlock, StrictBlock, SvmBlock
from lwps.runtime.machine import HOST, Machine
from lwps.transforms.memory import SHARED, family

_ALIGN = 128


class Memory:
    """Blocks of one machine, in its memory mode."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._free: dict[tuple[str, int], list[Block]] = {}
        self.lock = threading.RLock()  # held while the values of a slot are brought elsewhere
        self.allocated = 0
        # all blocks that the pool has ever lent: held, so that the garbage collector never finds one with a slot
        self._lent: list[Block] = []
        weakref.finalize(self, release, self._lent)
        self.mapped = machine.sharing == "mapped" and machine.context is not None

    @property
    def host_family(self) -> str:
        return family(HOST, self.machine.sharing)

    @property
    def mapping_queue(self) -> Any:
        """The queue on which blocks are mapped between steps."""
        return next(iter(self.machine.queues.values()))

    def allocate(self, family: str, nbytes: int) -> Block:
        """A new block of at least `nbytes` bytes at the machine's alignment."""
        size = max(_ALIGN, -(-nbytes // _ALIGN) * _ALIGN)
        self.allocated += size
        if family == SHARED and self.machine.context is not None:
            return self._shared(size)
        if family not in (SHARED, HOST):
            return BufferBlock(family, size, self._buffer(self.machine.contexts[family], size))
        raw = np.empty(size + _ALIGN, np.uint8)
        skip = -raw.ctypes.data % _ALIGN
        return Block(family, size, raw[skip : skip + size])

    def _shared(self, size: int) -> Block:
        context, mode, align = self.machine.context, self.machine.memory, self.machine.alignment
        if mode == "svm-fine":
            return SvmBlock(SHARED, size, cl.fsvm_empty(context, (size,), np.uint8, alignment=align))
        if mode == "svm-coarse":
            return CoarseSvmBlock(SHARED, size, cl.csvm_empty(context, (size,), np.uint8, alignment=align))
        if mode == "host-ptr":
            return HostPtrBlock(SHARED, size, self._buffer(context, size, cl.mem_flags.ALLOC_HOST_PTR))
        return StrictBlock(SHARED, size, self._buffer(context, size), self.mapping_queue)

    def _buffer(self, context: Any, size: int, flags: int = 0) -> Any:
        return cl.Buffer(context, cl.mem_flags.READ_WRITE | flags, size)

    def take(self, family: str, nbytes: int) -> Block:
        """A block from the pool, or a new one."""
        size = max(_ALIGN, -(-nbytes // _ALIGN) * _ALIGN)
        try:
            return self._free[family, size].pop()
        except (KeyError, IndexError):  # not asked first: another thread may take the last one in between
            block = self.allocate(family, size)
            self._lent.append(block)
            return block

    def give(self, block: Block) -> None:
        self._free.setdefault((block.family, block.nbytes), []).append(block)

    def slot(self, nbytes: int) -> "Slot":
        return MappedSlot(self, nbytes) if self.mapped else Slot(self, nbytes)

    def filled(self, aval: ShapedArray, value: Any) -> "Slot":
        """A slot that holds `value` on the host's side."""
        slot = self.slot(aval.nbytes)
        slot.claim(self.host_family)
        slot.block(self.host_family).view(0, aval)[...] = value
        return slot

    def copy(self, nbytes: int, source: Block, target: Block) -> None:
        """Copy the beginning of one block to another at once; one side is the host's."""
        if nbytes == 0:
            return
        device, host = (source, target) if isinstance(source, BufferBlock) else (target, source)
        assert isinstance(device, BufferBlock)
        assert host.host is not None
        queue = self.machine.queues[device.family]
        ends = (device.buffer, host.host[:nbytes])
        cl.enqueue_copy(queue, *(reversed(ends) if device is source else ends), is_blocking=True)


def release(blocks: list[Block]) -> None:
    """Give blocks back to their drivers."""
    while blocks:
        blocks.pop().release()


class _Exporter:
    """Stands between a slot's bytes and the views of them that users hold, so that they can be seen to live."""

    __slots__ = ("__array_interface__", "__weakref__", "slot")

    def __init__(self, slot: "Slot", view: np.ndarray) -> None:
        self.slot = slot
        interface = dict(view.__array_interface__)
        interface["data"] = (interface["data"][0], True)  # read-only
        self.__array_interface__ = interface


class Slot:
    """The bytes of one array outside the arena, in each family where it has been needed."""

    __slots__ = ("__weakref__", "_exporter", "blocks", "memory", "nbytes", "valid")

    def __init__(self, memory: Memory, nbytes: int) -> None:
        self.memory, self.nbytes = memory, nbytes
        self.blocks: dict[str, Block] = {}
        self.valid: set[str] = set()  # families that hold the array's values
        self._exporter: Any = None

    def __del__(self) -> None:
        for block in self.blocks.values():
            self.memory.give(block)

    def block(self, family: str) -> Block:
        """This slot's block in `family`, whatever it holds."""
        with self.memory.lock:
            found = self.blocks.get(family)
            if found is None:
                found = self.blocks[family] = self.memory.take(family, self.nbytes)
            return found

    def claim(self, family: str) -> None:
        """Make ready for new values that will be written in `family`."""
        self.block(family)
        self.valid = {family}

    def ensure(self, family: str, *, alone: bool = False) -> bool:
        """Make the values valid in `family` (`alone`: to be written over there); whether that took some doing."""
        if family in self.valid and not (alone and len(self.valid) > 1):
            return False
        with self.memory.lock:
            return self._bring(family, alone)

    def _bring(self, family: str, alone: bool) -> bool:
        if family in self.valid:
            return False  # another thread was first; and writing in place may leave old values elsewhere
        source = self.blocks[next(iter(self.valid))]
        if isinstance(source, BufferBlock) and family != self.memory.host_family:
            self.ensure(self.memory.host_family)
            source = self.blocks[self.memory.host_family]
        self.memory.copy(self.nbytes, source, self.block(family))
        self.valid.add(family)
        return True

    def share(self) -> None:
        """Make the values valid for host and devices at a time, where they have one place."""
        raise TypeError("memory: only what is mapped is held by one side at a time")

    def export(self, aval: ShapedArray) -> np.ndarray:
        """A read-only view that keeps this slot alive."""
        with self.memory.lock:  # two exporters at a time, and the views of the first would not be seen to live
            self.ensure(self.memory.host_family)
            exporter = self._exporter() if self._exporter is not None else None
            if exporter is None:
                exporter = _Exporter(self, self.block(self.memory.host_family).view(0, aval))
                self._exporter = weakref.ref(exporter)
            return np.asarray(exporter)

    @property
    def viewed(self) -> bool:
        """Whether a view that `export` gave is still alive, or one made from it."""
        return self._exporter is not None and self._exporter() is not None


class MappedSlot(Slot):
    """A slot where memory is mapped: one block, and `valid` says who holds it.

    {shared}: the devices; {cpu}: the host, to write; both: the host has it mapped to be read, and devices may read it.
    """

    __slots__ = ()

    def block(self, family: str) -> Block:
        return super().block(SHARED)

    def claim(self, family: str) -> None:
        with self.memory.lock:
            self._held().hold(self.memory.mapping_queue, "write" if family == HOST else None)
            self.valid = {family}

    def _bring(self, family: str, alone: bool) -> bool:
        if self.valid == {family}:
            return False
        alone_mode = "both" if family == HOST else None
        # a view that lives goes on to show the values; devices may read them too
        mode = alone_mode if alone or (family == SHARED and not self.viewed) else "read"
        self._held().hold(self.memory.mapping_queue, mode)
        self.valid = {family} if mode != "read" else {HOST, SHARED}
        return True

    def _held(self) -> MappedBlock:
        block = self.block(SHARED)
        assert isinstance(block, MappedBlock)
        return block

    def share(self) -> None:
        """Let host and devices read the values, both at a time."""
        with self.memory.lock:
            self._held().hold(self.memory.mapping_queue, "read")
            self.valid = {HOST, SHARED}
