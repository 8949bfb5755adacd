"""The device files behind which GPUs are: which kernel drivers they have, and whether the user may open them."""

import posixpath
import stat

import attrs

from lwps.doctor.finding import Finding, fail, ok
from lwps.doctor.system import System

TOPIC = "device files"
OTHERS = ("/dev/mali0", "/dev/kgsl-3d0", "/dev/kfd", "/dev/nvidiactl")  # beside /dev/dri/renderD*
# kernel driver -> the driver's name for rusticl
RUSTICL = {
    "panfrost": "panfrost",
    "panthor": "panfrost",
    "msm": "freedreno",
    "msm_dpu": "freedreno",
    "adreno": "freedreno",
    "i915": "iris",
    "xe": "iris",
    "amdgpu": "radeonsi",
    "radeon": "radeonsi",
    "asahi": "asahi",
    "v3d": "v3d",
    "nouveau": "nouveau",
}
KERNEL = {"/dev/mali0": "Arm's", "/dev/kgsl-3d0": "Qualcomm's", "/dev/kfd": "AMD's", "/dev/nvidiactl": "NVIDIA's"}


@attrs.frozen
class Node:
    """A device file and its kernel driver (empty: not known)."""

    name: str
    driver: str

    @property
    def rusticl(self) -> str | None:
        """What RUSTICL_ENABLE calls its driver, None where rusticl has none."""
        return RUSTICL.get(self.driver)


def nodes(system: System) -> list[Node]:
    """The device files of GPUs that there are."""
    render = system.names("/dev/dri", "renderD*")
    found = [Node(name, _driver(system, posixpath.basename(name))) for name in render]
    return [*found, *(Node(name, KERNEL[name]) for name in OTHERS if system.exists(name))]


def _driver(system: System, render: str) -> str:
    uevent = system.text(f"/sys/class/drm/{render}/device/uevent") or ""
    return next((line[7:].strip() for line in uevent.splitlines() if line.startswith("DRIVER=")), "")


def check_nodes(system: System) -> list[Finding]:
    """Whether each may be opened for reading and writing."""
    found = nodes(system)
    if not found:
        return [ok(TOPIC, "no /dev/dri/renderD*, /dev/mali0 or /dev/kgsl-3d0: no GPU that Linux has a driver for")]
    return [_check(system, node) for node in found]


def _check(system: System, node: Node) -> Finding:
    what = f"{node.name} ({node.driver} driver)" if node.driver else node.name
    status = system.path(node.name).stat()
    if _may_open(system, status.st_mode, status.st_uid, status.st_gid):
        return ok(TOPIC, f"{what} may be opened by {system.user}")
    group = system.group(status.st_gid)
    mode = stat.filemode(status.st_mode)[1:]
    says = f"{what} may not be opened by {system.user}: mode {mode}, group {group}"
    wide = status.st_mode & (stat.S_IRGRP | stat.S_IWGRP) == stat.S_IRGRP | stat.S_IWGRP
    if group in ("root", "0") or not wide:
        return fail(TOPIC, says, _udev_rule(system, node))
    if system.user in system.members(status.st_gid):
        return fail(TOPIC, f"{says}, which {system.user} joined since this session began", "log out and in again")
    return fail(TOPIC, says, f"sudo usermod -aG {group} {system.user}  # then log out and in again")


def _may_open(system: System, mode: int, uid: int, gid: int) -> bool:
    """Reading and writing, as the kernel decides: by the first of owner, group, others that the user is."""
    if system.uid == 0:
        return True
    bits = mode >> 6 if uid == system.uid else mode >> 3 if gid in system.gids else mode
    return bits & 6 == 6


def _udev_rule(system: System, node: Node) -> str:
    base = posixpath.basename(node.name)
    kernel = "renderD*" if base.startswith("renderD") else base
    rule = f'KERNEL=="{kernel}", GROUP="render", MODE="0660"'
    return (
        f"echo '{rule}' | sudo tee /etc/udev/rules.d/60-{base.rstrip('0123456789')}.rules"
        f" && sudo udevadm control --reload && sudo udevadm trigger && sudo usermod -aG render {system.user}"
    )
