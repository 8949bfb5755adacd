"""The processors of this machine, and the memory mode in which they share values."""

import platform
import warnings
from collections.abc import Sequence
from typing import Any

import attrs
import pyopencl as cl

from lwps.core import Device
from lwps.runtime.kernels import KernelCache

HOST = "cpu"
MODES = ("svm-fine", "copy")
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
    """Processors, the memory mode, and the OpenCL context and queues that reach the devices."""

    processors: tuple[Processor, ...]
    memory: str
    context: Any = None
    queues: dict[str, Any] = attrs.Factory(dict)
    profiling_queues: dict[str, Any] = attrs.Factory(dict)
    kernels: KernelCache | None = None

    @classmethod
    def detect(cls, processors: Sequence[str] | None = None, memory: str | None = None) -> "Machine":
        """The `cpu` and the best OpenCL device (a GPU before a CPU device), or the processors named.

        `memory` is `svm-fine` or `copy`; by default the first that the device can do. Without an OpenCL
        device the machine is `cpu` alone, and a warning says what to install.
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
        if len({d.cl_device.platform for d in devices}) > 1:
            raise MachineError(
                f"machine: OpenCL processors must be of one platform, got {', '.join(d.name for d in devices)};"
                " name one of them"
            )
        context = cl.Context([d.cl_device for d in devices])
        profiling = cl.command_queue_properties.PROFILING_ENABLE
        return cls(
            processors,
            mode,
            context,
            {d.name: cl.CommandQueue(context, d.cl_device) for d in devices},
            {d.name: cl.CommandQueue(context, d.cl_device, profiling) for d in devices},
            KernelCache(context),
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.processors)

    @property
    def unified(self) -> bool:
        """Whether all processors work on the same bytes."""
        return self.memory != "copy"

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
    """`wanted` if the devices can do it, by default the first of MODES that they can."""
    if wanted is not None and wanted not in MODES:
        raise MachineError(f"memory: the mode must be one of {', '.join(MODES)}, got {wanted!r}")
    fine = all(_fine_grain(d.cl_device) for d in devices)
    if wanted == "svm-fine" and not fine:
        raise MachineError(
            f"memory: svm-fine needs fine-grain buffer SVM, got a device without: {devices[0].description}; use copy"
        )
    return wanted or ("svm-fine" if fine else "copy")


def _fine_grain(device: Any) -> bool:
    try:
        return bool(device.svm_capabilities & cl.device_svm_capabilities.FINE_GRAIN_BUFFER)
    except cl.Error:
        return False  # OpenCL 1.x


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
