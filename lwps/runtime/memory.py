"""Bytes that processors share: blocks by space family, views and kernel arguments into them.

State: a pool keeps blocks that nobody holds, by family and size, for the next one who asks.
A `Slot` holds the blocks of one array, one for each family it exists in; when the last reference
to the slot goes, its blocks return to the pool. So a returned array is never overwritten while it,
or a view of it, lives.
"""

import threading
import weakref
from typing import Any

import attrs
import numpy as np
import pyopencl as cl

from lwps.core import ShapedArray
from lwps.runtime.machine import HOST, Machine
from lwps.transforms.memory import SHARED

_ALIGN = 128


@attrs.frozen(eq=False)
class Block:
    """A piece of memory: bytes that the host sees, or an OpenCL buffer that it does not."""

    family: str
    nbytes: int
    host: np.ndarray | None
    buffer: Any = None
    parts: dict[tuple[int, int], Any] = attrs.Factory(dict)

    def __del__(self) -> None:
        self.parts.clear()  # before the buffer they lie in: NVIDIA's driver crashes the other way round

    def view(self, start: int, aval: ShapedArray) -> np.ndarray:
        """An array in the host's bytes."""
        assert self.host is not None, f"the host does not see {self.family}"
        return self.host[start : start + aval.nbytes].view(aval.dtype).reshape(aval.shape)

    def argument(self, start: int, nbytes: int) -> Any:
        """What a kernel takes for these bytes.

        One object for each part, kept as long as the block: two sub-buffers of the same bytes did not see each
        other's writes on NVIDIA (driver 580), and OpenCL does not hold a kernel's arguments.
        """
        if start == 0 and nbytes == self.nbytes and self.host is None:
            return self.buffer
        if (start, nbytes) not in self.parts:
            self.parts[start, nbytes] = (
                self.buffer.get_sub_region(start, max(nbytes, 1))
                if self.host is None
                else cl.SVM(self.host[start : start + nbytes])
            )
        return self.parts[start, nbytes]


class Memory:
    """Blocks of one machine, in its memory mode."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._free: dict[tuple[str, int], list[Block]] = {}
        self.lock = threading.RLock()  # held while the values of a slot are brought elsewhere
        self.allocated = 0

    def family(self, processor: str) -> str:
        return SHARED if self.machine.unified else processor

    @property
    def host_family(self) -> str:
        return self.family(HOST)

    def allocate(self, family: str, nbytes: int) -> Block:
        """A new block of at least `nbytes` bytes at the machine's alignment."""
        size = max(_ALIGN, -(-nbytes // _ALIGN) * _ALIGN)
        self.allocated += size
        if family not in (SHARED, HOST):
            return Block(family, size, None, cl.Buffer(self.machine.context, cl.mem_flags.READ_WRITE, size))
        if family == SHARED and self.machine.context is not None:
            host = cl.fsvm_empty(self.machine.context, (size,), np.uint8, alignment=self.machine.alignment)
            return Block(family, size, host)
        raw = np.empty(size + _ALIGN, np.uint8)
        skip = -raw.ctypes.data % _ALIGN
        return Block(family, size, raw[skip : skip + size])

    def take(self, family: str, nbytes: int) -> Block:
        """A block from the pool, or a new one."""
        size = max(_ALIGN, -(-nbytes // _ALIGN) * _ALIGN)
        try:
            return self._free[family, size].pop()
        except (KeyError, IndexError):  # not asked first: another thread may take the last one in between
            return self.allocate(family, size)

    def give(self, block: Block) -> None:
        self._free.setdefault((block.family, block.nbytes), []).append(block)

    def slot(self, nbytes: int) -> "Slot":
        return Slot(self, nbytes)

    def copy(self, nbytes: int, source: Block, target: Block) -> None:
        """Copy the beginning of one block to another at once; one side is the host's."""
        if nbytes == 0:
            return
        device = source.family if target.host is not None else target.family
        queue = self.machine.queues[device]
        if target.host is not None:
            cl.enqueue_copy(queue, target.host[:nbytes], source.buffer, is_blocking=True)
        else:
            assert source.host is not None
            cl.enqueue_copy(queue, target.buffer, source.host[:nbytes], is_blocking=True)


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

    def ensure(self, family: str) -> bool:
        """Make the values valid in `family`; whether that took a copy."""
        if family in self.valid:
            return False
        with self.memory.lock:
            return self._bring(family)

    def _bring(self, family: str) -> bool:
        if family in self.valid:
            return False  # another thread was first
        source = self.blocks[next(iter(self.valid))]
        if source.host is None and family != self.memory.host_family:
            self.ensure(self.memory.host_family)
            source = self.blocks[self.memory.host_family]
        self.memory.copy(self.nbytes, source, self.block(family))
        self.valid.add(family)
        return True

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
