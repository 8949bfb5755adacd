"""Pieces of memory, one class for each way in which host and devices come to see them.

`view` gives the host's array of bytes, `argument` what a kernel takes for them. Mapped blocks belong to the devices
until `map` gives a part of them to the host, and again from `unmap` on.
"""

import threading
from typing import Any

import numpy as np
import pyopencl as cl

from lwps.core import ShapedArray

_FLAGS = {
    "read": cl.map_flags.READ,
    "write": cl.map_flags.WRITE_INVALIDATE_REGION,
    "both": cl.map_flags.READ | cl.map_flags.WRITE,
}
_LOST = 0xFF  # bytes of what the other side holds, in strict mode: floats of them are NaN

Part = tuple[int, int]


class Block:
    """Memory of one family. `host` is the whole of it as the host sees it, None where it does not."""

    moves = 0  # how often `host` has come to lie elsewhere

    def __init__(self, family: str, nbytes: int, host: np.ndarray | None) -> None:
        self.family, self.nbytes, self.host = family, nbytes, host
        self.arguments: dict[Part, Any] = {}  # kept: OpenCL does not hold a kernel's arguments

    def view(self, start: int, aval: ShapedArray) -> np.ndarray:
        """An array in the host's bytes."""
        assert self.host is not None, f"the host does not see {self.family}"
        return _as(self.host[start : start + aval.nbytes], aval)

    def mapped_view(self, start: int, aval: ShapedArray) -> np.ndarray | None:
        """An array in what a map of this part shows the host; None if no map has told yet where that is."""
        return self.view(start, aval)

    def argument(self, start: int, nbytes: int) -> Any:
        """What a kernel takes for these bytes; one object for each part."""
        if (start, nbytes) not in self.arguments:
            self.arguments[start, nbytes] = self._argument(start, nbytes)
        return self.arguments[start, nbytes]

    def release(self) -> None:
        """Give the memory back to the driver now; nobody may use the block any more."""
        self.arguments.clear()

    def _argument(self, start: int, nbytes: int) -> Any:
        raise TypeError(f"memory: a kernel must be given memory that devices reach, got some of {self.family}")


def _as(raw: np.ndarray, aval: ShapedArray) -> np.ndarray:
    return raw.view(aval.dtype).reshape(aval.shape)


class SvmBlock(Block):
    """Fine-grain SVM: host and devices see the same bytes, without further ado."""

    def _argument(self, start: int, nbytes: int) -> Any:
        assert self.host is not None
        return cl.SVM(self.host[start : start + nbytes])


class BufferBlock(Block):
    """A buffer in a device's own memory.

    Parts are sub-buffers, one object each: two of the same bytes did not see each other's writes on NVIDIA (driver
    580). They are released by hand, the latest first, then the buffer they lie in: in another order that driver
    crashes where they overlap, and the garbage collector keeps no order.
    """

    def __init__(self, family: str, nbytes: int, buffer: Any, host: np.ndarray | None = None) -> None:
        super().__init__(family, nbytes, host)
        self.buffer = buffer

    def release(self) -> None:
        parts = [part for part in self.arguments.values() if part is not self.buffer]
        super().release()
        for part in (*reversed(parts), self.buffer):
            part.release()

    def _argument(self, start: int, nbytes: int) -> Any:
        if start == 0 and nbytes == self.nbytes:
            return self.buffer
        return self.buffer.get_sub_region(start, max(nbytes, 1))


class MappedBlock(Block):
    """Memory that one side holds at a time, part by part.

    `maps` are the parts that the host holds, by their first byte, with an entry for each time: one array may be two
    inputs of a step, or be viewed between steps, and is then mapped again to be read. The driver is asked only once
    (NVIDIA's knows an SVM map by its address alone). `held` is how the host holds the whole ("read" or "both"; None:
    not), as it may between steps.
    """

    held: str | None = None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.maps: dict[int, list[Any]] = {}
        self._lock = threading.Lock()

    def map(self, queue: Any, start: int, stop: int, mode: str) -> Any:
        """Enqueue that the host gets these bytes; the event."""
        with self._lock:
            entries = self.maps.setdefault(start, [])
            if entries:
                entries.append(None)
                self._show(start, stop, entries[0][1])
                return cl.enqueue_marker(queue)
            event, handle = self._map(queue, start, stop, mode)
            entries.append((stop, handle))
            return event

    def unmap(self, queue: Any, start: int) -> Any:
        """Enqueue that the devices get the part that begins here back; the event."""
        with self._lock:
            entry = self.maps[start].pop()
            if self.maps[start]:
                return cl.enqueue_marker(queue)
            del self.maps[start]
            return self._unmap(queue, start, *entry)

    def hold(self, queue: Any, mode: str | None) -> None:
        """See to it that the host holds the whole in this mode (at once), or with None that the devices do."""
        wanted = "both" if mode == "write" else mode
        if wanted == self.held:
            return
        if self.held is not None:
            self.unmap(queue, 0)
        if mode is not None:
            self.map(queue, 0, self.nbytes, mode).wait()
        self.held = wanted

    def let_go(self, queue: Any) -> None:
        """Give back the parts that a step which failed has left mapped."""
        for start, entries in list(self.maps.items()):
            for _ in entries[1 if start == 0 and self.held is not None else 0 :]:
                self.unmap(queue, start)

    def place(self, start: int, stop: int) -> Any:
        """An object that is another one if a map has shown the host the part at another address."""
        return self.host

    def _map(self, queue: Any, start: int, stop: int, mode: str) -> tuple[Any, Any]:
        raise NotImplementedError

    def _unmap(self, queue: Any, start: int, stop: int, handle: Any) -> Any:
        raise NotImplementedError

    def _show(self, start: int, stop: int, handle: Any) -> None:
        """Note where the host sees a part that is mapped already."""


class CoarseSvmBlock(MappedBlock, SvmBlock):
    """Coarse-grain SVM: the host's address of a part is always the same."""

    def _map(self, queue: Any, start: int, stop: int, mode: str) -> tuple[Any, Any]:
        found = self.argument(start, stop - start).map(queue, flags=_FLAGS[mode], is_blocking=False)
        found.svm = None  # it would unmap when it goes, also where the garbage collector finds it with a living block
        return found.event, found.event

    def _unmap(self, queue: Any, start: int, stop: int, handle: Any) -> Any:
        svm = self.argument(start, stop - start)
        return cl.SVMMap(svm, svm.mem, queue, handle).release(queue)


class HostPtrBlock(MappedBlock, BufferBlock):
    """A buffer that the driver allocates where the host sees it too (`CL_MEM_ALLOC_HOST_PTR`), for OpenCL 1.x.

    Where the host sees a part is known once it has been mapped, and may be elsewhere the next time: `shown`.
    """

    def __init__(self, family: str, nbytes: int, buffer: Any) -> None:
        super().__init__(family, nbytes, buffer)
        self.shown: dict[Part, np.ndarray] = {}

    def release(self) -> None:
        for entries in self.maps.values():
            entries[0][1].base.release()
        super().release()

    def mapped_view(self, start: int, aval: ShapedArray) -> np.ndarray | None:
        shown = self.shown.get((start, start + aval.nbytes))
        if aval.size == 0:
            return np.empty(aval.shape, aval.dtype)
        return None if shown is None else _as(shown, aval)

    def place(self, start: int, stop: int) -> Any:
        return self.shown.get((start, stop))

    def _map(self, queue: Any, start: int, stop: int, mode: str) -> tuple[Any, Any]:
        array, event = cl.enqueue_map_buffer(
            queue, self.buffer, _FLAGS[mode], start, (stop - start,), np.uint8, is_blocking=False
        )
        self._show(start, stop, array)
        return event, array

    def _show(self, start: int, stop: int, array: np.ndarray) -> None:
        array = array[: stop - start]
        before = self.shown.get((start, stop))
        if before is None or _address(before) != _address(array):
            self.shown[start, stop] = array
        if (start, stop) == (0, self.nbytes):
            self.moves += self.host is None or _address(self.host) != _address(array)
            self.host = array

    def _unmap(self, queue: Any, start: int, stop: int, handle: Any) -> Any:
        return handle.base.release(queue)


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


class StrictBlock(MappedBlock, BufferBlock):
    """For tests: as if mapped, but each side has bytes of its own, and the side that lost hold finds NaN.

    On a device that is coherent anyway a forgotten map would pass unseen.
    """

    def __init__(self, family: str, nbytes: int, buffer: Any, queue: Any) -> None:
        super().__init__(family, nbytes, buffer, np.full(nbytes, _LOST, np.uint8))
        self._lose(queue, 0, nbytes)

    def _map(self, queue: Any, start: int, stop: int, mode: str) -> tuple[Any, Any]:
        assert self.host is not None
        if mode != "write":
            cl.enqueue_copy(queue, self.host[start:stop], self.buffer, src_offset=start, is_blocking=True)
        if mode != "read":
            self._lose(queue, start, stop)
        return cl.enqueue_marker(queue), mode

    def _unmap(self, queue: Any, start: int, stop: int, handle: Any) -> Any:
        assert self.host is not None
        if handle != "read":
            cl.enqueue_copy(queue, self.buffer, self.host[start:stop], dst_offset=start, is_blocking=True)
        self.host[start:stop] = _LOST
        return cl.enqueue_marker(queue)

    def _lose(self, queue: Any, start: int, stop: int) -> None:
        cl.enqueue_fill_buffer(queue, self.buffer, np.uint8(_LOST), start, stop - start).wait()
