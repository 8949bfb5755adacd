"""The processors of this machine, and the memory mode in which they share values."""

import platform
import warnings
from collections.abc import Sequence
from typing import Any

import attrs
import pyopencl as cl

from lwps.core import Device
from lwps.runtime.kernels import KernelCache
from lwps.transforms.memory import sharing_of

HOST = "cpu"
# how host and devices come to see the same bytes: fine-grain SVM; coarse-grain SVM and host-visible buffers, which are
# mapped; buffers of each device's own, with copies
MODES = ("svm-fine", "svm-coarse", "host-ptr", "copy")
STRICT = "strict"  # for tests: as if mapped, but host and device have bytes of their own that only map and unmap copy
INSTALL_HINT = (
    "no OpenCL device was found, so everything runs on cpu; for a CPU device `pip install pyopencl[pocl]`,"
    " for a GPU its vendor's OpenCL driver"
)


class MachineError(RuntimeError):
    """A processor or memory mode that was asked for is not to be had on this machine."""


@attrs.frozen(eq=False)
class Processor:
    """Something that runs eqns: `cpu` is NumPy on the host, others are OpenCL devices."""

    name: str
    description: str
    device: Device | None = None
    cl_device: Any = None

    @property
    def is_host(self) -> bool:
        return self.cl_device is None


@attrs.frozen(eq=False)
class Machine:
    """Processors, the memory mode, and by the devices' names OpenCL contexts (one a platform), queues and kernels."""

    processors: tuple[Processor, ...]
    memory: str
    contexts: dict[str, Any] = attrs.Factory(dict)
    queues: dict[str, Any] = attrs.Factory(dict)
    profiling_queues: dict[str, Any] = attrs.Factory(dict)
    kernels: dict[str, KernelCache] = attrs.Factory(dict)

    @classmethod
    def detect(cls, processors: Sequence[str] | None = None, memory: str | None = None) -> "Machine":
        """The `cpu` and the best OpenCL device (a GPU before a CPU device), or the processors named.

        `memory` is one of MODES; by default `svm-fine` where the device can do it, else `svm-coarse` or
        `host-ptr` where it says that it shares the host's memory, else `copy`. Without an OpenCL device
        the machine is `cpu` alone, and a warning says what to install. Devices of several platforms work together
        in modes `svm-fine` (CPU devices, on one arena) and `copy`.
        """
        found = opencl_processors()
        host = Processor(HOST, _host_description())
        if processors is None:
            if not found:
                warnings.warn(f"lwps: {INSTALL_HINT}", stacklevel=2)
            chosen = [host, *sorted(found, key=lambda p: not p.name.startswith("gpu"))[:1]]
        else:
            chosen = _named(processors, [host, *found])
        return cls._of(tuple(chosen), memory)

    @classmethod
    def _of(cls, processors: tuple[Processor, ...], memory: str | None) -> "Machine":
        devices = [p for p in processors if not p.is_host]
        mode = memory_mode(devices, memory)
        if not devices:
            return cls(processors, mode)
        _check_platforms(devices, mode)
        platforms = dict.fromkeys(d.cl_device.platform for d in devices)
        of_platform = {p: cl.Context([d.cl_device for d in devices if d.cl_device.platform == p]) for p in platforms}
        caches = {p: KernelCache(context) for p, context in of_platform.items()}
        contexts = {d.name: of_platform[d.cl_device.platform] for d in devices}
        profiling = cl.command_queue_properties.PROFILING_ENABLE
        return cls(
            processors,
            mode,
            contexts,
            {d.name: cl.CommandQueue(contexts[d.name], d.cl_device) for d in devices},
            {d.name: cl.CommandQueue(contexts[d.name], d.cl_device, profiling) for d in devices},
            {d.name: caches[d.cl_device.platform] for d in devices},
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.processors)

    @property
    def context(self) -> Any:
        """The context that shared memory is allocated in, None without a device."""
        return next(iter(self.contexts.values()), None)

    @property
    def sharing(self) -> str:
        """What the memory mode means for plans: `coherent`, `mapped` or `apart`."""
        return sharing_of(self.memory)

    def processor(self, name: str) -> Processor:
        return next(p for p in self.processors if p.name == name)

    @property
    def alignment(self) -> int:
        """Bytes at which every value begins."""
        bits = [p.cl_device.mem_base_addr_align for p in self.processors if not p.is_host]
        return max([128, *(b // 8 for b in bits)])

    @property
    def largest_allocation(self) -> int:
        """Bytes of the largest piece of memory that every processor takes."""
        sizes = [p.cl_device.max_mem_alloc_size for p in self.processors if not p.is_host]
        return min(sizes, default=1 << 62)

    def describe(self) -> str:
        """One line that tells machines apart, for profiles and caches."""
        return "; ".join([*(f"{p.name}: {p.description}" for p in self.processors), self.memory])


def memory_mode(devices: Sequence[Processor], wanted: str | None) -> str:
    """`wanted` if the devices can do it, by default the first of MODES that pays on them."""
    if wanted is not None and wanted not in (*MODES, STRICT):
        raise MachineError(f"memory: the mode must be one of {', '.join(MODES)}, got {wanted!r}")
    grains = cl.device_svm_capabilities
    without = {
        "svm-fine": [d for d in devices if not _svm(d.cl_device, grains.FINE_GRAIN_BUFFER)],
        "svm-coarse": [d for d in devices if not _svm(d.cl_device, grains.COARSE_GRAIN_BUFFER)],
    }
    if wanted is not None and without.get(wanted):
        kind = wanted.removeprefix("svm-")
        raise MachineError(
            f"memory: {wanted} needs {kind}-grain buffer SVM, got a device without:"
            f" {without[wanted][0].description}; use {'svm-coarse, ' * (kind == 'fine')}host-ptr or copy"
        )
    if wanted is not None:
        return wanted
    if not without["svm-fine"]:
        return "svm-fine"
    if not all(d.cl_device.host_unified_memory for d in devices):
        return "copy"  # where a map is a copy over a bus, each value is copied once instead of at each map
    return "host-ptr" if without["svm-coarse"] else "svm-coarse"


def _svm(device: Any, capability: int) -> bool:
    try:
        return bool(device.svm_capabilities & capability)
    except cl.Error:
        return False  # OpenCL 1.x


def _check_platforms(devices: Sequence[Processor], mode: str) -> None:
    """Refuse devices of several platforms where their drivers cannot reach the same bytes."""
    if len({d.cl_device.platform for d in devices}) < 2 or mode == "copy":
        return
    names = ", ".join(d.name for d in devices)
    if mode != "svm-fine" or not all(d.device is not None and d.device.type == "cpu" for d in devices):
        raise MachineError(
            f"machine: devices of several platforms must work in mode copy, or be CPU devices in svm-fine,"
            f" got {names} in {mode}; name devices of one platform, or memory='copy'"
        )


def opencl_processors() -> list[Processor]:
    """A processor for each OpenCL device of this machine, named by its kind; none without a loader or driver."""
    try:
        platforms = cl.get_platforms()
    except cl.Error:
        return []
    count: dict[str, int] = {}
    found = []
    for device in (d for p in platforms for d in _devices(p)):
        kind = "cl-cpu" if device.type & cl.device_type.CPU else "gpu"
        name = f"{kind}{count[kind]}" if kind in count else kind
        count[kind] = count.get(kind, 0) + 1
        found.append(Processor(name, _device_description(device), device_limits(device), device))
    return found


def _devices(platform_: Any) -> Sequence[Any]:
    try:
        return platform_.get_devices()  # type: ignore[no-any-return]
    except cl.Error:
        return ()  # a driver without a device


def device_limits(device: Any) -> Device:
    """The limits of an OpenCL device that rules may know."""
    kind = "cpu" if device.type & cl.device_type.CPU else "gpu"
    return Device(kind, device.max_compute_units, device.max_work_group_size, device.local_mem_size)


def _device_description(device: Any) -> str:
    return f"{device.name.strip()}, {device.platform.name.strip()} {device.driver_version.strip()}"


def _host_description() -> str:
    return f"NumPy on {platform.processor() or platform.machine()}"


def _named(names: Sequence[str], processors: Sequence[Processor]) -> list[Processor]:
    by_name = {p.name: p for p in processors}
    unknown = [n for n in names if n not in by_name]
    if unknown:
        hint = f"; {INSTALL_HINT}" if len(processors) == 1 else ""
        raise MachineError(f"machine: processors must be among {', '.join(by_name)}, got {', '.join(unknown)}{hint}")
    chosen = [by_name[n] for n in dict.fromkeys(names)]
    return chosen if any(p.is_host for p in chosen) else [by_name[HOST], *chosen]
