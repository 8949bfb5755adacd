"""Whether OpenCL finds its drivers: loaders, .icd files, drivers, rusticl, and the devices that come of it."""

from collections.abc import Sequence

import attrs

from lwps.doctor.drivers import (
    FAMILIES,
    VENDORS,
    Driver,
    Library,
    drivers,
    is_bundled,
    is_loader,
    loaders_in_use,
    mapped,
    system_loaders,
    unnamed,
    vendors_folder,
)
from lwps.doctor.finding import Finding, Seen, fail, ok, warn
from lwps.doctor.nodes import RUSTICL, Node, nodes
from lwps.doctor.system import System

LOADER, ICD, DRIVERS, DEVICES = "loader", ".icd files", "drivers", "devices"
FROM_SOURCE = "pip install --force-reinstall --no-deps --no-binary pyopencl pyopencl"
RUSTICL_NAMES = {*RUSTICL.values(), "llvmpipe", "r600", "virgl", "zink"}
# a driver's library, by the start of its name -> Debian's package
PACKAGES = {
    "libpocl": "pocl-opencl-icd",
    "libMesaOpenCL": "mesa-opencl-icd",
    "libRusticlOpenCL": "mesa-opencl-icd",
    "libigdrcl": "intel-opencl-icd",
    "libnvidia-opencl": "nvidia-opencl-icd",
    "libamdocl": "rocm-opencl-icd",
}
# what a kernel driver's GPU gets OpenCL from, where nothing is installed
INSTALL = {
    "i915": "sudo apt install intel-opencl-icd",
    "xe": "sudo apt install intel-opencl-icd",
    "NVIDIA's": "sudo apt install nvidia-opencl-icd",
}


@attrs.frozen(eq=False)
class _Facts:
    """What the checks below look at; `devices` is None where nobody could look for them."""

    system: System
    loaders: list[str] | None
    bundled: str | None
    drivers: list[Driver]
    nodes: list[Node]
    devices: Sequence[Seen] | None

    @property
    def gpu(self) -> bool:
        return any(d.gpu for d in self.devices or ())


def check_opencl(system: System, devices: Sequence[Seen] | None, blocked: bool = False) -> list[Finding]:
    """Findings on loaders, .icd files, drivers and devices, in the order in which one leads to the next.

    `blocked`: something else is known to keep a device from working.
    """
    loaders = loaders_in_use(system)
    bundled = next(filter(is_bundled, loaders or ()), None)
    facts = _Facts(system, loaders, bundled, drivers(system, bundled), nodes(system), devices)
    rows = [
        *_check_loaders(facts),
        *_check_folder(facts),
        *(_check_driver(facts, driver) for driver in facts.drivers),
        *(_check_unnamed(facts, library) for library in unnamed(system, facts.drivers)),
        *_check_rusticl(facts),
    ]
    return [*rows, *_check_devices(facts, blocked or any(f.status == "fail" for f in rows))]


# --- loaders ------------------------------------------------------------------------------------


def _check_loaders(facts: _Facts) -> list[Finding]:
    used = facts.loaders
    if used is None:
        rows = [ok(LOADER, "the loader in use shows only in a running process: not looked at")]
    elif not used:
        rows = [fail(LOADER, "PyOpenCL has loaded no libOpenCL", "pip install --force-reinstall pyopencl")]
    elif len(used) == 1:
        whose = "that of PyOpenCL's wheel" if facts.bundled else "the system's"
        rows = [ok(LOADER, f"{used[0]}, {whose}")]
    else:
        says = f"two loaders in one process, {' and '.join(used)}: a driver may be loaded twice"
        rows = [warn(LOADER, says, f"{FROM_SOURCE}  # so that PyOpenCL takes the system's")]
    return [*rows, *(_check_unused(facts, name) for name in system_loaders(facts.system) if not _in_use(facts, name))]


def _in_use(facts: _Facts, name: str) -> bool:
    follow = facts.system.follow
    return any(follow(used) == follow(name) for used in facts.loaders or ())


def _check_unused(facts: _Facts, name: str) -> Finding:
    """A libOpenCL of the system that PyOpenCL does not use: another loader, or a vendor's driver under that name."""
    target = facts.system.follow(name)
    if is_loader(facts.system, target):
        return ok(LOADER, f"{name}, which other programs use (clinfo); it reads {VENDORS} too")
    says = f"{name} ({target}) is a driver under the loader's name: only programs linked with it reach its device"
    if "mali" in target.lower():
        fix = f"sudo mkdir -p {VENDORS} && echo {target} | sudo tee {VENDORS}/mali.icd"
    else:
        fix = f"{FROM_SOURCE}  # builds PyOpenCL against {name}; needs a C++ compiler and python3-dev"
    named = any(d.path and facts.system.follow(d.path) == target for d in facts.drivers)
    if named or facts.gpu:
        return ok(LOADER, says)
    return fail(LOADER, says, fix)


# --- .icd files and drivers ---------------------------------------------------------------------


def _check_folder(facts: _Facts) -> list[Finding]:
    environ, where = facts.system.environ, vendors_folder(facts.system)
    found = []
    if where != VENDORS:
        variable = "OCL_ICD_VENDORS" if environ.get("OCL_ICD_VENDORS") else "OPENCL_VENDOR_PATH"
        if not facts.system.exists(where):
            found.append(fail(ICD, f"{variable} is {where}, which is not there", f"unset {variable}"))
        else:
            found.append(ok(ICD, f"{variable} is {where}: drivers of {VENDORS} are not read"))
    if environ.get("OCL_ICD_FILENAMES") and facts.bundled:
        says = "OCL_ICD_FILENAMES is set, which the loader of PyOpenCL's wheel does not read"
        found.append(warn(ICD, says, f"echo DRIVER.so | sudo tee {VENDORS}/DRIVER.icd  # for each file it names"))
    if not facts.drivers:
        found.append(fail(ICD, f"no .icd file in {where}: no driver is installed", _install(facts)))
    return found


def _install(facts: _Facts) -> str:
    """How to get a driver: for the GPU that there is, else for the CPU."""
    for node in facts.nodes:
        if node.driver in INSTALL:
            return INSTALL[node.driver]
        if node.rusticl:
            return f"sudo apt install mesa-opencl-icd && export RUSTICL_ENABLE={node.rusticl}"
    return pocl(facts.system)


def pocl(system: System) -> str:
    """How to get PoCL, an OpenCL driver for the CPU."""
    return "pip install 'pyopencl[pocl]'" if system.architecture == "x86_64" else "sudo apt install pocl-opencl-icd"


def _check_driver(facts: _Facts, driver: Driver) -> Finding:
    if not driver.library:
        return fail(DRIVERS, f"{driver.icd} is empty: it must hold the name of a library", f"sudo rm {driver.icd}")
    if driver.path is None:
        package = next((p for start, p in PACKAGES.items() if start in driver.library), None)
        fix = f"sudo apt install --reinstall {package}" if package else f"sudo rm {driver.icd}  # or install its driver"
        return fail(DRIVERS, f"{driver.icd} names {driver.library}, which is not there", fix)
    if driver.loaded or mapped(facts.system) is None:
        return ok(DRIVERS, f"{driver.icd}: {driver.path}")
    says = f"{driver.icd}: {driver.path} is there, but was not loaded, or showed no platform"
    why = f"ldd {driver.path} | grep 'not found'; OCL_ICD_DEBUG=15 lwps devices 2>&1 | grep -A 2 {driver.library}"
    return warn(DRIVERS, says, f"{why}  # says why")


def _check_unnamed(facts: _Facts, library: Library) -> Finding:
    says = f"{library.path} is installed, but no .icd file names it"
    if library.node and not facts.system.exists(library.node):
        return ok(DRIVERS, f"{says}; its kernel driver is not running either (no {library.node})")
    fix = f"sudo mkdir -p {VENDORS} && echo {library.path} | sudo tee {VENDORS}/{library.family}.icd"
    return warn(DRIVERS, says, fix) if facts.gpu else fail(DRIVERS, says, fix)


# --- rusticl ------------------------------------------------------------------------------------


def _check_rusticl(facts: _Facts) -> list[Finding]:
    if not any("RusticlOpenCL" in d.library for d in facts.drivers):
        return []
    wanted = list(dict.fromkeys(n.rusticl for n in facts.nodes if n.rusticl))
    fix = f"export RUSTICL_ENABLE={','.join(wanted)}" if wanted else "unset RUSTICL_ENABLE"
    given = [name.partition(":")[0] for name in facts.system.environ.get("RUSTICL_ENABLE", "").split(",") if name]
    shown = any("rusticl" in d.description.lower() for d in facts.devices or ())
    unknown = [name for name in given if name not in RUSTICL_NAMES]
    if unknown:
        return [warn(DRIVERS, f"RUSTICL_ENABLE must name drivers of Mesa, got {', '.join(unknown)}", fix)]
    if shown or not wanted or set(wanted) <= set(given):
        return [ok(DRIVERS, f"RUSTICL_ENABLE is {','.join(given) or 'not set'}")]
    says = f"rusticl shows no device unless RUSTICL_ENABLE names its driver, {', '.join(wanted)}"
    says += f"; it is {','.join(given)}" if given else "; it is not set"
    return [warn(DRIVERS, says, fix) if facts.gpu else fail(DRIVERS, says, fix)]


# --- devices ------------------------------------------------------------------------------------


def _check_devices(facts: _Facts, blocked: bool) -> list[Finding]:
    """The devices; `blocked`: something that failed before may be why one is missing."""
    if facts.devices is None:
        return [ok(DEVICES, "not looked for: these files are not those of this machine")]
    rows = [ok(DEVICES, f"{d.name}: {d.description}") for d in facts.devices]
    gpus = [n for n in facts.nodes if n.driver in {*RUSTICL, *INSTALL} or n.name in {f.node for f in FAMILIES}]
    if gpus and not facts.gpu:
        names = ", ".join(f"{n.name} ({n.driver} driver)" for n in gpus)
        fix = "mend what failed, then look again: lwps doctor" if blocked else _install(facts)
        rows.append(fail(DEVICES, f"there is a GPU, {names}, and OpenCL shows none", fix))
    if not facts.devices and not gpus:
        rows.append(fail(DEVICES, "OpenCL shows no device: everything runs on cpu", pocl(facts.system)))
    elif all(d.gpu for d in facts.devices):
        says = "no OpenCL device for the CPU, whose kernels may suit what a GPU is slow at"
        rows.append(warn(DEVICES, says, pocl(facts.system)))
    return rows
