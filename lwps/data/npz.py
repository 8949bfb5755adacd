"""`.npz` files: NumPy's zip of arrays, by the names under which images and labels go."""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from lwps.data.dataset import DataError, Dataset
from lwps.data.split import stratified
from lwps.data.standardise import standardised

# training images and labels, then those to test on, which may be missing
NAMES = (
    ("images", "labels", "test_images", "test_labels"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def load_npz(path: str | Path) -> Dataset:
    """The data set of an `.npz` with arrays `images` and `labels`, and maybe `test_images` and `test_labels`.

    The names `train_images` and `train_labels`, or `x_train`, `y_train`, `x_test` and `y_test`, are understood too.
    Images are unsigned integers or floats [N, H, W] or [N, H, W, C], labels integers [N] or [N, 1]. Without test
    images a fifth of each class is kept for testing, always the same. Nothing is unpickled. DataError says what
    is damaged or missing.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as file:
            members = {name.removesuffix(".npy"): name for name in file.namelist() if name.endswith(".npy")}
            train_x, train_y, test_x, test_y = _names(path, members)
            arrays = {n: _read(file, members[n]) for n in (train_x, train_y, test_x, test_y) if n in members}
    except OSError as error:
        raise DataError(f"{path}: must be a file that can be read, got {error.strerror or error}") from error
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy's reader of headers raise a dozen classes for damaged bytes
        raise DataError(f"{path}: must be a whole .npz file, got one that is truncated or damaged ({error})") from error
    pixels, labels = arrays[train_x], _flat(arrays[train_y])
    if test_x in arrays:
        test_pixels, test_labels = arrays[test_x], _flat(arrays[test_y])
    elif len(pixels) == len(labels):
        test = stratified(labels)
        pixels, labels, test_pixels, test_labels = pixels[~test], labels[~test], pixels[test], labels[test]
    else:
        test_pixels, test_labels = pixels[:0], labels[:0]
    return standardised(pixels, labels, test_pixels, test_labels, path.stem, kind="an .npz file")


def _names(path: Path, found: Mapping[str, str]) -> tuple[str, ...]:
    for names in NAMES:
        if names[0] in found and names[1] in found and (names[2] in found) == (names[3] in found):
            return names
    raise DataError(
        f"{path}: must have the arrays images and labels (and maybe test_images and test_labels),"
        f" got {', '.join(sorted(found)) or 'no arrays'}"
    )


def _read(file: zipfile.ZipFile, member: str) -> np.ndarray:
    """One array. Its header is believed only where the file has as many bytes, so that damage asks for no memory."""
    with file.open(member) as stream:
        shape, fortran, dtype = _header(stream)
        expected = math.prod(shape) * dtype.itemsize
        data = stream.read()
    if dtype.hasobject or len(data) != expected:
        raise ValueError(f"{member} must be {dtype} of {shape} in {expected} bytes, got {len(data)}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"the version of an array must be 1.0 or 2.0, got {version}")
    return _HEADERS[version](stream)


def _flat(labels: np.ndarray) -> np.ndarray:
    """Labels [N, 1] as [N]."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
