"""OpenCL as files: the loader in use, the .icd files it reads, drivers that these name, and drivers that none names."""

import posixpath
from collections.abc import Iterator, Sequence

import attrs

from lwps.doctor.system import System

VENDORS = "/etc/OpenCL/vendors"
FOLDERS = ("/usr/lib", "/lib", "/usr/local/lib", "/usr/lib64", "/lib64", "/vendor/lib64", "/system/vendor/lib64")


@attrs.frozen
class Driver:
    """A driver as an .icd file names it: `path` is its library, None where there is none; `loaded`: by this process."""

    icd: str
    library: str
    path: str | None
    loaded: bool


@attrs.frozen
class Library:
    """A driver's library that is installed: `family` says whose, `node` the device file that it needs."""

    family: str
    path: str
    node: str | None


@attrs.frozen
class Family:
    """Libraries of one vendor: how they are named, and the device file that they need (None: none of their own)."""

    name: str
    patterns: tuple[str, ...]
    node: str | None


FAMILIES = (
    Family("mali", ("libmali.so*", "libmali-*.so*", "libMali.so*"), "/dev/mali0"),
    Family("adreno", ("libOpenCL_adreno.so*",), "/dev/kgsl-3d0"),
    Family("powervr", ("libPVROCL.so*",), None),
    Family("nvidia", ("libnvidia-opencl.so*",), "/dev/nvidiactl"),
    Family("rusticl", ("libRusticlOpenCL.so*",), None),
    Family("intel", ("libigdrcl.so*",), None),
)


def mapped(system: System) -> list[str] | None:
    """Libraries in this process, None where /proc cannot say (a file system that was mounted)."""
    text = system.text("/proc/self/maps")
    if text is None:
        return None
    names = (line.split(maxsplit=5)[5].strip() for line in text.splitlines() if line.count(" ") >= 5 and "/" in line)
    return list(dict.fromkeys(names))


def loaders_in_use(system: System) -> list[str] | None:
    """The libOpenCL that PyOpenCL works with, and any other in this process."""
    names = mapped(system)
    return None if names is None else [n for n in names if posixpath.basename(n).startswith("libOpenCL")]


def is_bundled(loader: str) -> bool:
    """Whether a loader is the one of PyOpenCL's wheel."""
    return "/pyopencl/.libs/" in loader or "/pyopencl.libs/" in loader


def is_loader(system: System, library: str) -> bool:
    """Whether a libOpenCL is a loader: those know where .icd files are; a vendor's driver under that name does not."""
    return system.holds(library, VENDORS.encode())


def system_loaders(system: System) -> list[str]:
    """Every libOpenCL.so.1 (or the .so where there is no .1) outside Python packages, each file once."""
    found: dict[str, str] = {}
    for folder in library_folders(system):
        for name in (f"{folder}/libOpenCL.so.1", f"{folder}/libOpenCL.so"):
            if system.exists(name):
                found.setdefault(system.follow(name), name)
    return list(found.values())


def library_folders(system: System) -> list[str]:
    """Where the dynamic linker looks, by its settings' text and by custom."""
    folders = [f for f in system.environ.get("LD_LIBRARY_PATH", "").split(":") if f]
    for conf in system.names("/etc/ld.so.conf.d", "*.conf"):
        folders += [line.strip() for line in (system.text(conf) or "").splitlines() if line.strip().startswith("/")]
    for folder in FOLDERS:
        folders += [*system.names(folder, "*-linux-*"), folder]
    return list(dict.fromkeys(system.follow(f) for f in folders if system.exists(f)))


# --- .icd files ---------------------------------------------------------------------------------


def vendors_folder(system: System) -> str:
    """The folder (or file) of drivers that the loader reads."""
    environ = system.environ
    return environ.get("OCL_ICD_VENDORS") or environ.get("OPENCL_VENDOR_PATH") or VENDORS


def icd_files(system: System, bundled: str | None) -> list[str]:
    """The .icd files that the loader reads; the wheel's loader reads those beside itself too."""
    where = vendors_folder(system)
    named = [where] if where.endswith(".icd") and system.exists(where) else system.names(where, "*.icd")
    return [*named, *(system.names(posixpath.dirname(bundled), "*.icd") if bundled else ())]


def drivers(system: System, bundled: str | None) -> list[Driver]:
    """What each .icd file names."""
    loaded = mapped(system) or []
    found = []
    for icd in icd_files(system, bundled):
        library = (system.text(icd) or "").strip().split("\n")[0].strip()
        path = _find(system, library, posixpath.dirname(icd)) if library else None
        there = path is not None and any(_same(system, name, path) for name in loaded)
        found.append(Driver(icd, library, path, there))
    return found


def _find(system: System, library: str, beside: str) -> str | None:
    if "/" in library:
        return library if system.exists(library) else None
    folders = [*library_folders(system), beside]  # the wheel's drivers lie beside their .icd
    return next((f"{f}/{library}" for f in folders if system.exists(f"{f}/{library}")), None)


def _same(system: System, one: str, other: str) -> bool:
    return system.follow(one) == system.follow(other)


# --- drivers that no .icd file names ------------------------------------------------------------


def unnamed(system: System, named: Sequence[Driver]) -> list[Library]:
    """One library of each vendor's whose driver is installed without an .icd file."""
    files = {system.follow(d.path) for d in named if d.path}
    found = []
    for family in FAMILIES:
        names = list(_libraries(system, family))
        if names and not files.intersection(system.follow(n) for n in names):
            found.append(Library(family.name, min(names, key=len), family.node))
    return found


def _libraries(system: System, family: Family) -> Iterator[str]:
    for folder in library_folders(system):
        for pattern in family.patterns:
            yield from (name for name in system.names(folder, pattern) if system.exists(name))
