"""IDX files, the format of MNIST and of what came after it: a magic number, the sizes, the bytes; gzipped or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from lwps.data.dataset import DataError, Dataset
from lwps.data.standardise import standardised

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
KIND = "IDX files"
PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an IDX file; DataError says what is wrong with a file that is none."""
    path = Path(path)
    data = bytes_of(path)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in DTYPES:
        raise DataError(
            f"{path}: an IDX file must begin with 0, 0, a known dtype and a number of axes, got {data[:4].hex(' ')}"
        )
    dtype, axes = np.dtype(DTYPES[data[2]]), data[3]
    start = 4 + 4 * axes
    if len(data) < start:
        raise DataError(
            f"{path}: a header of {axes} axes must have {start} bytes, got {len(data)}: the file is truncated"
        )
    shape = struct.unpack(f">{axes}I", data[4:start])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        what = "is truncated" if len(data) < expected else "has more than its header says"
        raise DataError(f"{path}: {dtype} of {shape} must have {expected} bytes, got {len(data)}: the file {what}")
    try:
        return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
    except ValueError as error:  # more axes than NumPy has, or longer ones
        raise DataError(f"{path}: the header must name an array, got {dtype} of {axes} axes ({error})") from error


def bytes_of(path: Path) -> bytes:
    """What is in a file, or in a gzipped one; DataError where it cannot be had."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: must be a file that can be read, got {error.strerror}") from error
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: must be a whole gzip file, got one that is truncated or damaged ({error})") from error


def load_folder(folder: str | Path) -> Dataset:
    """The data set of the four files that MNIST and Fashion-MNIST come as, with or without `.gz`.

    `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`
    (or `.idx3-ubyte`). DataError lists the missing ones.
    """
    folder = Path(folder)
    found = [_find(folder, part) for part in PARTS]
    missing = [f"{part}-ubyte[.gz]" for part, path in zip(PARTS, found, strict=True) if path is None]
    if missing:
        raise DataError(f"{folder}: must hold the four files of MNIST, got no {', no '.join(missing)}")
    train_images, train_labels, test_images, test_labels = (read_idx(path) for path in found if path is not None)
    return standardised(train_images, train_labels, test_images, test_labels, folder.resolve().name, kind=KIND)


def _find(folder: Path, part: str) -> Path | None:
    stem, kind = part.rsplit("-", 1)
    names = [f"{stem}{mark}{kind}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)
