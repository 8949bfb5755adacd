"""A machine as files, an environment and a user: a recorded one is examined as the one at hand is."""

import getpass
import os
import platform
import posixpath
from collections.abc import Mapping
from pathlib import Path

import attrs

from lwps import environment

LINKS = 40  # symbolic links on one path before it counts as going round in circles


@attrs.frozen
class System:
    """Everything below `root`, named as if that were `/`; links lead to where they would lead there."""

    root: Path
    environ: Mapping[str, str]
    uid: int
    gids: frozenset[int]
    user: str
    architecture: str

    @classmethod
    def here(cls, root: str | os.PathLike[str] = "/") -> "System":
        """This process and its user, with the files below `root`."""
        groups = frozenset((*os.getgroups(), os.getegid()))
        return cls(Path(root), environment.all_set(), os.geteuid(), groups, _user(), platform.machine())

    def follow(self, name: str) -> str:
        """The name without links, as `realpath` gives it below the root."""
        done, todo, links = "/", name.strip("/").split("/"), 0
        while todo:
            here = posixpath.normpath(posixpath.join(done, todo.pop(0)))
            path = self._below(here)
            if not path.is_symlink() or links == LINKS:
                done = here
                continue
            links += 1
            target = os.readlink(path)
            todo = [*target.strip("/").split("/"), *todo]
            done = "/" if target.startswith("/") else posixpath.dirname(here)
        return done

    def path(self, name: str) -> Path:
        """The file behind a name."""
        return self._below(self.follow(name))

    def _below(self, name: str) -> Path:
        return self.root / name.strip("/")

    def exists(self, name: str) -> bool:
        return self.path(name).exists()

    def text(self, name: str) -> str | None:
        """What a file holds, None where it cannot be read."""
        try:
            return self.path(name).read_text(errors="replace")
        except OSError:
            return None

    def holds(self, name: str, content: bytes) -> bool:
        """Whether `content` occurs in a file."""
        try:
            return content in self.path(name).read_bytes()
        except OSError:
            return False

    def names(self, folder: str, pattern: str) -> list[str]:
        """Names in a folder that match `pattern`, in order."""
        try:
            return sorted(f"{folder.rstrip('/')}/{p.name}" for p in self.path(folder).glob(pattern))
        except OSError:
            return []

    def group(self, gid: int) -> str:
        """The name of a group, its number where it has none."""
        for line in (self.text("/etc/group") or "").splitlines():
            fields = line.split(":")
            if len(fields) > 3 and fields[2] == str(gid):
                return fields[0]
        return str(gid)

    def members(self, gid: int) -> list[str]:
        """Users whom /etc/group puts into a group."""
        for line in (self.text("/etc/group") or "").splitlines():
            fields = line.split(":")
            if len(fields) > 3 and fields[2] == str(gid):
                return fields[3].strip().split(",")
        return []


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry in the password file, as in some containers
        return str(os.geteuid())
