"""Files that are whole or not there: written aside, synced, renamed, and the folder synced."""

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

_ASIDE = ".lwps-tmp"  # ends the names of files that are being written


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes `path`'s place once the block has ended without an error and its bytes are on the disk.

    Whatever happens, `path` is the old file or the whole new one. OSError where it cannot be written; then
    nothing is left behind.
    """
    path = Path(os.path.realpath(path))  # the file behind a symbolic link is replaced, not the link
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_ASIDE}")
    try:
        with aside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Names in `folder` survive a power failure; nothing to do where folders cannot be opened (Windows)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def left_behind(folder: Path) -> Iterable[Path]:
    """Files that processes which were killed had begun to write."""
    return folder.glob(f".*{_ASIDE}")
