"""The doctor on recorded machines: file trees as boards and containers have them, and what it must say of each."""

import json
import os
import sys

import attrs
import pytest

from lwps import cli
from lwps.blas import Blas
from lwps.doctor import Seen, System, examine, examine_here

WHEEL = "/venv/lib/python3.11/site-packages/pyopencl/.libs/libOpenCL-5519dec5.so.1.0.0"
POCL = "/venv/lib/python3.11/site-packages/pyopencl/.libs/libpocl-21062cec.so"
SYSTEM_LOADER = "/usr/lib/aarch64-linux-gnu/libOpenCL.so.1"
LOADER_CODE = b"...\0/etc/OpenCL/vendors\0..."
GB = 1 << 30
CPU = Seen("cl-cpu", "pthread-cortex-a76, Portable Computing Language 6.0", False, 8 * GB, 2 * GB)
MALI = Seen("gpu", "Mali-G610, ARM Platform 1.0", True, 8 * GB, 4 * GB)
MEMINFO = "MemTotal:        8000000 kB\nMemFree:          100 kB\nMemAvailable:    6000000 kB\n"
LIMITS = "Limit                     Soft Limit           Hard Limit           Units\n"


def maps(*libraries):
    """/proc/self/maps of a process with these libraries."""
    rows = [f"7f00{k:08x}000-7f00{k:08x}fff r-xp 00000000 fd:00 {k}  {name}" for k, name in enumerate(libraries)]
    return "\n".join(["7ffd000-7ffe000 rw-p 00000000 00:00 0  [stack]", "7f000-7f001 rw-p 00000000 00:00 0 ", *rows])


def tree(root, files=(), links=(), user="ana", **environ):
    """A machine with these files (name -> content) and links (name -> target); `ana`, its user, owns nothing there."""
    for name, content in {"/proc/meminfo": MEMINFO, "/proc/self/limits": LIMITS, **dict(files)}.items():
        path = root / name.strip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for name, target in dict(links).items():
        path = root / name.strip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    return System(root, environ, uid=os.getuid() + 1000, gids=frozenset({987654}), user=user, architecture="aarch64")


def node(root, name, mode=0o660, driver=None, group="render", members=""):
    """A device file (a plain one here) of a group that the tree's /etc/group names."""
    path = root / name.strip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(mode)
    gid = path.stat().st_gid
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc" / "group").write_text(f"root:x:99999:\n{group}:x:{gid}:{members}\n")
    if driver:
        uevent = root / f"sys/class/drm/{path.name}/device/uevent"
        uevent.parent.mkdir(parents=True)
        uevent.write_text(f"DRIVER={driver}\nOF_NAME=gpu\n")
    return gid


def said(findings, status=None):
    return "\n".join(f"{f.says} -> {f.fix}" for f in findings if status in (None, f.status))


def failed(findings):
    return [f for f in findings if f.status == "fail"]


WITH_POCL = {
    "/proc/self/maps": maps(WHEEL, POCL),
    WHEEL: LOADER_CODE,
    POCL: b"",
    os.path.dirname(POCL) + "/pocl.icd": "libpocl-21062cec.so",
}
RUSTICL = {
    "/etc/OpenCL/vendors/rusticl.icd": "libRusticlOpenCL.so.1\n",
    "/usr/lib/aarch64-linux-gnu/libRusticlOpenCL.so.1": b"",
}


def test_a_machine_where_all_is_well(tmp_path):
    findings = examine(tree(tmp_path, WITH_POCL), [CPU], Blas("openblas 0.3", 4), 4, "/cache/lwps")
    assert {f.status for f in findings} == {"ok"}
    assert "that of PyOpenCL's wheel" in said(findings)
    assert POCL in said(findings)
    assert "6.0" in said(findings)


# --- loaders and drivers ------------------------------------------------------------------------


def test_no_driver_at_all(tmp_path):
    system = tree(tmp_path, {"/proc/self/maps": maps(WHEEL), WHEEL: LOADER_CODE})
    found = failed(examine(system, []))
    assert "no .icd file in /etc/OpenCL/vendors: no driver is installed" in said(found)
    assert "OpenCL shows no device: everything runs on cpu" in said(found)
    assert {f.fix for f in found} == {"sudo apt install pocl-opencl-icd"}
    found = failed(examine(attrs.evolve(system, architecture="x86_64"), []))
    assert {f.fix for f in found} == {"pip install 'pyopencl[pocl]'"}


def test_no_driver_for_the_gpu_that_there_is(tmp_path):
    system = tree(tmp_path, WITH_POCL)
    node(tmp_path, "/dev/dri/renderD128", 0o666, driver="panthor")
    (found,) = failed(examine(system, [CPU]))
    assert found.says == "there is a GPU, /dev/dri/renderD128 (panthor driver), and OpenCL shows none"
    assert found.fix == "sudo apt install mesa-opencl-icd && export RUSTICL_ENABLE=panfrost"


def test_two_loaders_of_which_one_is_used(tmp_path):
    system = tree(
        tmp_path,
        {**WITH_POCL, "/usr/lib/aarch64-linux-gnu/libOpenCL.so.1.0.0": LOADER_CODE},
        {SYSTEM_LOADER: "libOpenCL.so.1.0.0", "/usr/lib/aarch64-linux-gnu/libOpenCL.so": "libOpenCL.so.1"},
    )
    findings = [f for f in examine(system, [CPU]) if f.topic == "loader"]
    assert [f.status for f in findings] == ["ok", "ok"]
    assert f"{WHEEL}, that of PyOpenCL's wheel" in said(findings)
    assert f"{SYSTEM_LOADER}, which other programs use (clinfo)" in said(findings)


def test_two_loaders_in_one_process(tmp_path):
    files = {**WITH_POCL, "/proc/self/maps": maps(WHEEL, POCL, SYSTEM_LOADER), SYSTEM_LOADER: LOADER_CODE}
    (found,) = (f for f in examine(tree(tmp_path, files), [CPU]) if f.status == "warn")
    assert found.says == f"two loaders in one process, {WHEEL} and {SYSTEM_LOADER}: a driver may be loaded twice"
    assert found.fix.startswith("pip install --force-reinstall --no-deps --no-binary pyopencl pyopencl")


def test_pyopencl_built_against_the_systems_loader(tmp_path):
    files = {
        "/proc/self/maps": maps(SYSTEM_LOADER, "/usr/lib/libpocl.so.2"),
        SYSTEM_LOADER: LOADER_CODE,
        "/etc/OpenCL/vendors/pocl.icd": "/usr/lib/libpocl.so.2\n",
        "/usr/lib/libpocl.so.2": b"",
    }
    findings = examine(tree(tmp_path, files), [CPU])
    assert not failed(findings)
    assert f"{SYSTEM_LOADER}, the system's" in said(findings)
    assert "/etc/OpenCL/vendors/pocl.icd: /usr/lib/libpocl.so.2" in said(findings)


def test_a_vendors_driver_under_the_loaders_name_is_missed_by_the_wheel(tmp_path):
    """Seen on an Adreno board: clinfo is linked with the vendor's libOpenCL, PyOpenCL's wheel brings a loader."""
    files = {**WITH_POCL, SYSTEM_LOADER: b"QUALCOMM Adreno", "/dev/kgsl-3d0": ""}
    system = tree(tmp_path, files)
    node(tmp_path, "/dev/kgsl-3d0", 0o666)
    found = failed(examine(system, [CPU]))
    assert f"{SYSTEM_LOADER} ({SYSTEM_LOADER}) is a driver under the loader's name" in found[0].says
    assert found[0].fix.startswith("pip install --force-reinstall --no-deps --no-binary pyopencl pyopencl")
    assert "there is a GPU, /dev/kgsl-3d0 (Qualcomm's driver), and OpenCL shows none" in found[1].says
    assert found[1].fix == "mend what failed, then look again: lwps doctor"


def test_a_vendors_library_that_no_icd_file_names_is_missed(tmp_path):
    """A board whose libOpenCL.so.1 is a link to libmali: the wheel's loader wants an .icd file."""
    library = "/usr/lib/aarch64-linux-gnu/libmali-valhall-g610.so.1"
    system = tree(tmp_path, {**WITH_POCL, library: b"ELF"}, {SYSTEM_LOADER: library})
    node(tmp_path, "/dev/mali0", 0o666)
    found = failed(examine(system, [CPU]))
    fix = f"sudo mkdir -p /etc/OpenCL/vendors && echo {library} | sudo tee /etc/OpenCL/vendors/mali.icd"
    assert [f.fix for f in found] == [fix, fix, "mend what failed, then look again: lwps doctor"]
    assert f"{library} is installed, but no .icd file names it" in said(found)
    (tmp_path / "etc/OpenCL/vendors").mkdir(parents=True)
    (tmp_path / "etc/OpenCL/vendors/mali.icd").write_text(library)
    (tmp_path / "proc/self/maps").write_text(maps(WHEEL, POCL, library))
    assert not failed(examine(system, [CPU, MALI]))


def test_a_vendors_library_without_its_kernel_driver_is_no_failure(tmp_path):
    library = "/usr/lib/aarch64-linux-gnu/libmali.so.1"
    findings = examine(tree(tmp_path, {**WITH_POCL, library: b"ELF"}), [CPU])
    assert not failed(findings)
    assert "its kernel driver is not running either (no /dev/mali0)" in said(findings)


def test_an_nvidia_container_without_its_icd_file(tmp_path):
    library = "/usr/lib/x86_64-linux-gnu/libnvidia-opencl.so.1"
    system = tree(tmp_path, {**WITH_POCL, library: b"ELF"})
    node(tmp_path, "/dev/nvidiactl", 0o666)
    found = failed(examine(system, [CPU]))
    assert found[0].fix.endswith(f"echo {library} | sudo tee /etc/OpenCL/vendors/nvidia.icd")


def test_a_driver_that_is_named_and_not_there(tmp_path):
    files = {**WITH_POCL, "/etc/OpenCL/vendors/intel.icd": "/usr/lib/intel-opencl/libigdrcl.so"}
    files["/etc/OpenCL/vendors/old.icd"] = "libgone.so"
    files["/etc/OpenCL/vendors/empty.icd"] = "\n"
    found = failed(examine(tree(tmp_path, files), [CPU]))
    assert [(f.says, f.fix) for f in found] == [
        (
            "/etc/OpenCL/vendors/empty.icd is empty: it must hold the name of a library",
            "sudo rm /etc/OpenCL/vendors/empty.icd",
        ),
        (
            "/etc/OpenCL/vendors/intel.icd names /usr/lib/intel-opencl/libigdrcl.so, which is not there",
            "sudo apt install --reinstall intel-opencl-icd",
        ),
        (
            "/etc/OpenCL/vendors/old.icd names libgone.so, which is not there",
            "sudo rm /etc/OpenCL/vendors/old.icd  # or install its driver",
        ),
    ]


def test_a_driver_that_is_there_and_was_not_loaded(tmp_path):
    library = "/usr/lib/aarch64-linux-gnu/libOther.so"
    files = {**WITH_POCL, "/etc/OpenCL/vendors/other.icd": "libOther.so", library: b""}
    (found,) = (f for f in examine(tree(tmp_path, files), [CPU]) if f.status == "warn")
    assert f"{library} is there, but was not loaded" in found.says
    assert f"ldd {library}" in found.fix


def test_drivers_are_found_where_the_linker_looks(tmp_path):
    files = {
        **WITH_POCL,
        "/etc/OpenCL/vendors/a.icd": "libA.so",
        "/opt/vendor/lib/libA.so": b"",
        "/etc/ld.so.conf.d/vendor.conf": "# comment\n/opt/vendor/lib\n",
        "/etc/OpenCL/vendors/b.icd": "libB.so",
        "/home/ana/lib/libB.so": b"",
    }
    files["/proc/self/maps"] = maps(WHEEL, POCL, "/opt/vendor/lib/libA.so", "/home/ana/lib/libB.so")
    assert not failed(examine(tree(tmp_path, files, LD_LIBRARY_PATH="/home/ana/lib:"), [CPU]))
    assert "libB.so, which is not there" in said(failed(examine(tree(tmp_path, files), [CPU])))


def test_variables_that_lead_the_loader_elsewhere(tmp_path):
    files = {**WITH_POCL, "/opt/icds/x.icd": "/opt/icds/libx.so", "/opt/icds/libx.so": b""}
    files["/proc/self/maps"] = maps(WHEEL, POCL, "/opt/icds/libx.so")
    findings = examine(tree(tmp_path, files, OCL_ICD_VENDORS="/opt/icds"), [CPU])
    assert not failed(findings)
    assert "OCL_ICD_VENDORS is /opt/icds: drivers of /etc/OpenCL/vendors are not read" in said(findings)
    assert "/opt/icds/x.icd: /opt/icds/libx.so" in said(findings)
    findings = examine(tree(tmp_path, files, OCL_ICD_VENDORS="/opt/icds/x.icd"), [CPU])
    assert "/opt/icds/x.icd: /opt/icds/libx.so" in said(findings)
    (found,) = failed(examine(tree(tmp_path, files, OCL_ICD_VENDORS="/opt/gone"), [CPU]))
    assert (found.says, found.fix) == ("OCL_ICD_VENDORS is /opt/gone, which is not there", "unset OCL_ICD_VENDORS")
    (found,) = failed(examine(tree(tmp_path, files, OPENCL_VENDOR_PATH="/opt/gone"), [CPU]))
    assert found.fix == "unset OPENCL_VENDOR_PATH"
    (found,) = (f for f in examine(tree(tmp_path, files, OCL_ICD_FILENAMES="/opt/l.so"), [CPU]) if f.status == "warn")
    assert "OCL_ICD_FILENAMES is set, which the loader of PyOpenCL's wheel does not read" in found.says


def test_a_file_system_that_was_mounted_is_judged_by_its_files_alone(tmp_path):
    system = tree(tmp_path, RUSTICL)
    findings = examine(system)
    assert "the loader in use shows only in a running process" in said(findings)
    assert "/etc/OpenCL/vendors/rusticl.icd: /usr/lib/aarch64-linux-gnu/libRusticlOpenCL.so.1" in said(findings)
    assert not failed(findings)


def test_links_lead_where_they_would_lead_below_the_root(tmp_path):
    system = tree(
        tmp_path,
        {"/usr/lib/a.so.1.2": "right"},
        {"/lib": "usr/lib", "/usr/lib/a.so": "/lib/a.so.1.2", "/usr/lib/loop": "/usr/lib/loop"},
    )
    assert system.follow("/lib/a.so") == "/usr/lib/a.so.1.2"
    assert system.text("/lib/a.so") == "right"
    assert system.text("/usr/lib/loop") is None
    assert system.follow("/usr/lib/../lib/./a.so") == "/usr/lib/a.so.1.2"


# --- rusticl ------------------------------------------------------------------------------------


@pytest.fixture
def board(tmp_path):
    """A board with rusticl, panfrost and PoCL; the driver is loaded."""
    library = "/usr/lib/aarch64-linux-gnu/libRusticlOpenCL.so.1"
    system = tree(tmp_path, {**WITH_POCL, **RUSTICL, "/proc/self/maps": maps(WHEEL, POCL, library)})
    node(tmp_path, "/dev/dri/renderD128", 0o666, driver="panfrost")
    return system


def test_rusticl_without_its_variable(board):
    found = failed(examine(board, [CPU]))
    assert found[0].says == "rusticl shows no device unless RUSTICL_ENABLE names its driver, panfrost; it is not set"
    assert found[0].fix == "export RUSTICL_ENABLE=panfrost"
    assert found[1].fix == "mend what failed, then look again: lwps doctor"


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        ("panfrost", "ok", "RUSTICL_ENABLE is panfrost"),
        ("iris,panfrost:0", "ok", "RUSTICL_ENABLE is iris,panfrost"),
        ("iris", "fail", "names its driver, panfrost; it is iris"),
        ("1", "warn", "RUSTICL_ENABLE must name drivers of Mesa, got 1"),
    ],
)
def test_rusticl_with_its_variable(board, given, status, says):
    findings = examine(attrs.evolve(board, environ={"RUSTICL_ENABLE": given}), [CPU])
    (found,) = (f for f in findings if "RUSTICL_ENABLE" in f.says and f.topic == "drivers")
    assert (found.status, says in found.says) == (status, True)
    assert found.fix == (None if status == "ok" else "export RUSTICL_ENABLE=panfrost")


def test_rusticl_that_shows_devices_by_itself_is_fine(board):
    shown = Seen("gpu", "Mali-G52, rusticl 25.0", True, GB, GB)
    assert not failed(examine(board, [CPU, shown]))
    with_arm = examine(board, [CPU, MALI])  # another driver runs the GPU
    assert not failed(with_arm)
    assert "export RUSTICL_ENABLE=panfrost" in said(with_arm, "warn")


# --- device files -------------------------------------------------------------------------------


def test_a_render_node_that_the_user_may_not_open(tmp_path):
    system = tree(tmp_path, WITH_POCL)
    node(tmp_path, "/dev/dri/renderD128", 0o660, driver="i915")
    found = failed(examine(system, [CPU]))
    mine = next(f for f in found if f.topic == "device files")
    assert mine.says == ("/dev/dri/renderD128 (i915 driver) may not be opened by ana: mode rw-rw----, group render")
    assert mine.fix == "sudo usermod -aG render ana  # then log out and in again"
    assert "mend what failed, then look again: lwps doctor" in said(found)


def test_a_user_who_joined_the_group_in_this_session(tmp_path):
    system = tree(tmp_path, WITH_POCL)
    node(tmp_path, "/dev/dri/renderD128", 0o660, driver="i915", members="bob,ana")
    mine = next(f for f in failed(examine(system, [CPU])) if f.topic == "device files")
    assert "which ana joined since this session began" in mine.says
    assert mine.fix == "log out and in again"


def test_a_member_of_the_group_and_root_may_open_it(tmp_path):
    system = tree(tmp_path, WITH_POCL)
    gid = node(tmp_path, "/dev/dri/renderD128", 0o660, driver="i915")
    for who in (attrs.evolve(system, gids=frozenset({gid})), attrs.evolve(system, uid=0)):
        assert not failed(f for f in examine(who, [CPU, MALI]))


def test_a_device_file_that_no_group_may_open(tmp_path):
    system = tree(tmp_path, WITH_POCL)
    node(tmp_path, "/dev/mali0", 0o600)
    mine = next(f for f in failed(examine(system, [CPU])) if f.topic == "device files")
    assert 'KERNEL=="mali0", GROUP="render", MODE="0660"' in mine.fix
    assert "/etc/udev/rules.d/60-mali.rules" in mine.fix
    node(tmp_path, "/dev/dri/renderD128", 0o640)
    assert any('KERNEL=="renderD*"' in f.fix for f in failed(examine(system, [CPU])))


# --- the host -----------------------------------------------------------------------------------


def test_only_a_gpu(tmp_path):
    system = tree(tmp_path, WITH_POCL)
    (found,) = (f for f in examine(system, [MALI]) if f.status == "warn")
    assert "no OpenCL device for the CPU" in found.says
    assert found.fix == "sudo apt install pocl-opencl-icd"


def test_limits_on_memory(tmp_path):
    files = {
        **WITH_POCL,
        "/proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 500000 kB\n",
        "/sys/fs/cgroup/memory.max": f"{GB}\n",
        "/proc/self/limits": LIMITS + "Max address space         4294967296           unlimited            bytes\n",
    }
    text = said(examine(tree(tmp_path, files), [CPU]), "warn")
    assert "7.6 GB in all, 0.5 GB free" in text
    assert "this container may use 1.0 GB" in text
    assert "this process may address 4.0 GB only" in text
    assert "ulimit -v unlimited" in text
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    (tmp_path / "proc/self/limits").write_text(LIMITS + "Max address space  unlimited  unlimited  bytes\n")
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    findings = examine(tree(tmp_path, WITH_POCL), [CPU])
    assert not said(findings, "warn")
    assert "cl-cpu: 8.0 GB, at most 2.0 GB in one piece" in said(findings)


def test_a_device_that_takes_little_in_one_piece(tmp_path):
    small = attrs.evolve(CPU, largest_allocation=GB // 4)
    (found,) = (f for f in examine(tree(tmp_path, WITH_POCL, POCL_MEMORY_LIMIT="1"), [small]) if f.status == "warn")
    assert "cl-cpu: 8.0 GB, at most 0.2 GB in one piece: little for one value" in found.says
    assert found.fix == "unset POCL_MEMORY_LIMIT"
    (found,) = (f for f in examine(tree(tmp_path, WITH_POCL), [small]) if f.status == "warn")
    assert "take a smaller --batch" in found.fix


@pytest.mark.parametrize(
    ("blas", "environ", "fix"),
    [
        (Blas("openblas 0.3", 8), {}, "export OPENBLAS_NUM_THREADS=4"),
        (Blas("openblas 0.3", 1), {}, "export OPENBLAS_NUM_THREADS=4"),
        (Blas("openblas 0.3", 1), {"OMP_NUM_THREADS": "1"}, "unset OMP_NUM_THREADS"),
        (Blas("openblas 0.3", None), {}, "pip install threadpoolctl"),
    ],
)
def test_threads_of_matrix_products(tmp_path, blas, environ, fix):
    (found,) = (f for f in examine(tree(tmp_path, WITH_POCL, **environ), [CPU], blas, 4) if f.status == "warn")
    assert found.fix == fix


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_cache_folder_that_cannot_be_written(tmp_path):
    system = tree(tmp_path, WITH_POCL)
    (tmp_path / "locked").mkdir(mode=0o500)
    (found,) = (f for f in examine(system, [CPU], cache="/locked/a/b") if f.status == "warn")
    assert found.fix.startswith("export LWPS_CACHE_DIR=")


def test_a_cache_folder_that_is_a_file(tmp_path):
    system = tree(tmp_path, {**WITH_POCL, "/home/ana/.cache": "oops"})
    (found,) = (f for f in examine(system, [CPU], cache="/home/ana/.cache/lwps") if f.status == "warn")
    assert "/home/ana/.cache/lwps may not be written to: every start measures anew" in found.says


def test_variables_that_are_set_are_shown(tmp_path):
    system = tree(tmp_path, WITH_POCL, POCL_MEMORY_LIMIT="1", HOME="/root")
    shown = [f.says for f in examine(system, [CPU]) if f.topic == "environment"]
    assert shown == ["POCL_MEMORY_LIMIT=1"]


# --- this machine, and the shell ----------------------------------------------------------------


def test_this_machine_is_examined():
    findings = examine_here()
    assert {"loader", "devices", "memory", "BLAS", "cache", "environment"} <= {f.topic for f in findings}


@pytest.fixture
def lwps(monkeypatch, capsys):
    def run(*args):
        monkeypatch.setattr(sys, "argv", ["lwps", *map(str, args)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        return exit_.value.code, capsys.readouterr().out

    return run


def test_the_shell_prints_each_finding_with_its_fix_and_fails_where_one_did(lwps, tmp_path):
    library = "/usr/lib/aarch64-linux-gnu/libmali.so.1"
    root = tmp_path / "root"
    tree(root, {library: b"ELF"})
    node(root, "/dev/mali0", 0o666)
    code, out = lwps("doctor", "--root", root, "--json", tmp_path / "doctor.json")
    assert code == 1
    fix = f"sudo mkdir -p /etc/OpenCL/vendors && echo {library} | sudo tee /etc/OpenCL/vendors/mali.icd"
    assert f"-> {fix}\n" in out  # in one line, to be copied
    findings = json.loads((tmp_path / "doctor.json").read_text())["findings"]
    assert {
        "topic": "drivers",
        "status": "fail",
        "says": f"{library} is installed, but no .icd file names it",
        "fix": fix,
    } in findings


def test_the_shell_on_this_machine_agrees_with_what_was_found(lwps):
    code, out = lwps("doctor")
    assert code == any(f.status == "fail" for f in examine_here())
    assert "loader" in out
