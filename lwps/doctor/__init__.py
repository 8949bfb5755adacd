"""Why a device is not there, or is slow: the machine is looked at from loader to cache, and what mends it is said.

What is looked at are files below a root folder, an environment and a user (`System`), and what this process knows of
devices and libraries; so the file tree of a board can be examined on another machine.
"""

import os
from collections.abc import Sequence

from lwps.blas import Blas, blas
from lwps.doctor.finding import Finding, Seen
from lwps.doctor.host import check_blas, check_cache, check_environment, check_memory
from lwps.doctor.nodes import check_nodes
from lwps.doctor.opencl import check_opencl
from lwps.doctor.system import System
from lwps.runtime import cache
from lwps.runtime.machine import opencl_processors

__all__ = ["Finding", "Seen", "System", "examine", "examine_here"]


def examine(
    system: System,
    devices: Sequence[Seen] | None = None,
    blas: Blas | None = None,
    cores: int | None = None,
    cache: str | None = None,
) -> list[Finding]:
    """Everything found on `system`, topic by topic.

    `devices`, `blas` and `cores` are what a process there knows; None: nobody could look.
    """
    nodes = check_nodes(system)
    return [
        *check_opencl(system, devices, blocked=any(f.status == "fail" for f in nodes)),
        *nodes,
        *check_memory(system, devices),
        *check_blas(system, blas, cores),
        *check_cache(system, cache),
        *check_environment(system),
    ]


def examine_here() -> list[Finding]:
    """`examine` of this machine, its user and this process."""
    devices = [
        Seen(
            p.name,
            p.description,
            p.name.startswith("gpu"),
            p.cl_device.global_mem_size,
            p.cl_device.max_mem_alloc_size,
        )
        for p in opencl_processors()
    ]
    folder = cache.folder()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return examine(System.here(), devices, blas(), cores, str(folder.absolute()) if folder else None)
