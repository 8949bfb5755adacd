"""What the host gives: memory and its limits, NumPy's matrix library, the cache folder, the environment."""

import os
import posixpath
from collections.abc import Sequence

from lwps import environment
from lwps.blas import Blas
from lwps.doctor.finding import Finding, Seen, ok, warn
from lwps.doctor.system import System

MEMORY, BLAS, CACHE, ENVIRONMENT = "memory", "BLAS", "cache", "environment"
SMALL = 1 << 30  # bytes of memory that training soon fills
LARGE = 1 << 29  # bytes of one value that a model may well have
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_memory(system: System, devices: Sequence[Seen] | None) -> list[Finding]:
    """What there is, what the limits of this process and of its container leave, and what devices take."""
    of_devices = [_check_device(system, d) for d in devices or ()]
    total = _kilobytes(system, "MemTotal")
    if total is None:
        return [ok(MEMORY, "not looked at: no /proc/meminfo"), *of_devices]
    free = _kilobytes(system, "MemAvailable")
    says = f"{_gb(total)} in all" + (f", {_gb(free)} free" if free is not None else "")
    rows = [
        ok(MEMORY, says) if free is None or free >= SMALL else warn(MEMORY, says, "end other programs; use --batch 1")
    ]
    cgroup = next((n for n in (_number(system.text(name)) for name in CGROUPS) if n is not None), None)
    if cgroup is not None and cgroup < total:
        says = f"this container may use {_gb(cgroup)} (memory.max of its cgroup)"
        fix = "docker run --memory ... with more, or MemoryMax= of its systemd unit"
        rows.append(warn(MEMORY, says, fix) if cgroup < 2 * SMALL else ok(MEMORY, says))
    space = _address_space(system)
    if space is not None:
        fix = "ulimit -v unlimited"
        rows.append(warn(MEMORY, f"this process may address {_gb(space)} only; OpenCL drivers reserve much", fix))
    return [*rows, *of_devices]


def _check_device(system: System, d: Seen) -> Finding:
    says = f"{d.name}: {_gb(d.memory)}, at most {_gb(d.largest_allocation)} in one piece"
    if d.largest_allocation >= LARGE:
        return ok(MEMORY, says)
    limited = not d.gpu and "POCL_MEMORY_LIMIT" in system.environ
    fix = "unset POCL_MEMORY_LIMIT" if limited else "take a smaller --batch: no value may be larger than one piece"
    return warn(MEMORY, f"{says}: little for one value", fix)


def _kilobytes(system: System, field: str) -> int | None:
    for line in (system.text("/proc/meminfo") or "").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None


def _address_space(system: System) -> int | None:
    """Bytes of the soft limit, None where there is none."""
    for line in (system.text("/proc/self/limits") or "").splitlines():
        if line.startswith("Max address space"):
            return _number(line.removeprefix("Max address space").split()[0])
    return None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdigit() else None


def _gb(nbytes: int) -> str:
    return f"{nbytes / (1 << 30):.1f} GB"


def check_blas(system: System, blas: Blas | None, cores: int | None) -> list[Finding]:
    """Which library multiplies matrices on `cpu`, and with how many threads on how many cores."""
    if blas is None or cores is None:
        return [ok(BLAS, "not looked at: these files are not those of this machine")]
    if blas.threads is None:
        return [warn(BLAS, f"{blas.library}; its threads cannot be counted", "pip install threadpoolctl")]
    says = f"{blas.library}, {blas.threads} threads on {cores} cores"
    if blas.threads > cores:
        return [warn(BLAS, f"{says}: more threads than cores", f"export OPENBLAS_NUM_THREADS={cores}")]
    if blas.threads < cores:
        given = [v for v in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS") if v in system.environ]
        fix = f"unset {' '.join(given)}" if given else f"export OPENBLAS_NUM_THREADS={cores}"
        return [warn(BLAS, f"{says}: fewer threads than cores", fix)]
    return [ok(BLAS, says)]


def check_cache(system: System, folder: str | None) -> list[Finding]:
    """Whether measurements are kept; `folder` is None where the user wants none kept."""
    if folder is None:
        return [ok(CACHE, f"none is kept: {environment.CACHE} is empty")]
    there = folder
    while not system.exists(there) and there != "/":
        there = posixpath.dirname(there)
    path = system.path(there)
    if path.is_dir() and os.access(path, os.W_OK | os.X_OK):
        return [ok(CACHE, f"{folder} may be written to")]
    says = f"{folder} may not be written to: every start measures anew"
    return [warn(CACHE, says, f"export {environment.CACHE}=/tmp/lwps  # or another folder of yours")]


def check_environment(system: System) -> list[Finding]:
    """The variables that are set and make a difference."""
    known = [v.name for v in (*environment.OWN, *environment.OTHERS)]
    rows = [ok(ENVIRONMENT, f"{name}={system.environ[name]}") for name in known if name in system.environ]
    return rows or [ok(ENVIRONMENT, "none of the variables that lwps knows is set")]
