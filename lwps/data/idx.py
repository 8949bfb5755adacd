"""IDX files, the format of MNIST and of what came after it: a magic number, the sizes, the bytes; gzipped or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from lwps.data.dataset import DataError, Dataset, standardised

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an IDX file; DataError says what is wrong with a file that is none."""
    path = Path(path)
    data = _bytes(path)
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
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _bytes(path: Path) -> bytes:
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
    _check_pair(folder, "training", train_images, train_labels)
    _check_pair(folder, "test", test_images, test_labels)
    if train_images.shape[1:] != test_images.shape[1:]:
        raise DataError(
            f"{folder}: images must have one size, got {train_images.shape[1:]} and {test_images.shape[1:]}"
        )
    return standardised(train_images, train_labels, test_images, test_labels, folder.resolve().name)


def _find(folder: Path, part: str) -> Path | None:
    stem, kind = part.rsplit("-", 1)
    names = [f"{stem}{mark}{kind}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _check_pair(folder: Path, what: str, images: np.ndarray, labels: np.ndarray) -> None:
    if images.ndim != 3 or labels.ndim != 1 or images.dtype != np.uint8 or labels.dtype != np.uint8:
        got = f"{images.dtype}{list(images.shape)} and {labels.dtype}{list(labels.shape)}"
        raise DataError(f"{folder}: {what} images must be uint8[N, H, W] and labels uint8[N], got {got}")
    if len(images) != len(labels) or len(images) == 0:
        raise DataError(
            f"{folder}: {what} images must have a label each, got {len(images)} images and {len(labels)} labels"
        )
