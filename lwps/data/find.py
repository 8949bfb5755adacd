"""What lies at a path, and its reader."""

import zipfile
from pathlib import Path

from lwps.data.cifar import load_cifar, version_in
from lwps.data.dataset import DataError, Dataset
from lwps.data.folder import SUFFIXES, Pictures, holds_pictures, load_pictures
from lwps.data.idx import DTYPES, PARTS, load_folder
from lwps.data.npz import load_npz
from lwps.data.text import Text, load_text

UNDERSTOOD = (
    "a folder of IDX files (MNIST) or of CIFAR's binary files, a folder with a folder of pictures for each class,"
    " an .npz file with images and labels, or a text file in UTF-8"
)
_ARCHIVES = {b"\x1f\x8b": "a gzip file", b"BZ": "a bzip2 file", b"\xfd7": "an xz file", b"7z": "a 7-zip file"}


def load(path: str | Path, *, pictures: Pictures = Pictures(), context: int = 64) -> Dataset | Text:  # noqa: B008
    """The data set at `path`, whatever it is; `kind` says what it was found to be.

    `pictures`: how pictures of a folder become one size. `context`: characters in a window of text. DataError says
    what was found and what is understood, or what is wrong with a file.
    """
    path = Path(path)
    try:
        return _of_folder(path, pictures) if path.is_dir() else _of_file(path, context)
    except OSError as error:
        raise DataError(f"{path}: must be {UNDERSTOOD}, got {error.strerror or error}") from error


def _of_folder(path: Path, pictures: Pictures) -> Dataset:
    inner = next((path / f for f in ("cifar-10-batches-bin", "cifar-100-binary") if (path / f).is_dir()), path)
    if version_in(inner):
        return load_cifar(inner)
    names = sorted(f.name for f in path.iterdir())
    if any(name.startswith(part.rpartition("-")[0]) for name in names for part in PARTS):
        return load_folder(path)
    if holds_pictures(path):
        return load_pictures(path, pictures)
    if any(name in ("data_batch_1", "cifar-10-batches-py", "cifar-100-python") for name in names):
        raise DataError(f"{path}: must hold the binary version of CIFAR, got the Python one, which is pickled")
    got = f"a folder with {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else "an empty folder"
    raise DataError(f"{path}: must be {UNDERSTOOD}, got {got}")


def _of_file(path: Path, context: int) -> Dataset | Text:
    with path.open("rb") as file:
        begin = file.read(4096)
    if begin[:4] == b"PK\3\4" and (path.suffix == ".npz" or _holds_arrays(path)):
        return load_npz(path)
    found = _ARCHIVES.get(begin[:2]) or ("a zip file" if begin[:2] == b"PK" else None)
    if found:
        raise DataError(f"{path}: must be {UNDERSTOOD}, got {found}; unpack it and give the folder")
    if begin[:2] == b"\0\0" and begin[2:3] and begin[2] in DTYPES:
        raise DataError(f"{path}: must be {UNDERSTOOD}, got one IDX file; give the folder of all four")
    if path.suffix.lower() in SUFFIXES:
        raise DataError(
            f"{path}: must be {UNDERSTOOD}, got one picture; give the folder that has a folder for each class"
        )
    if b"\0" in begin:
        raise DataError(f"{path}: must be {UNDERSTOOD}, got a file that begins with {begin[:4].hex(' ')}")
    return load_text(path, context)


def _holds_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.endswith(".npy") for name in file.namelist())
    except Exception:  # damaged: named by the reader if it is called .npz
        return False
