"""CIFAR-10 and CIFAR-100 in their binary version: records of one or two labels and 3 x 32 x 32 bytes.

https://www.cs.toronto.edu/~kriz/cifar.html
"""

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np

from lwps.data.dataset import DataError, Dataset
from lwps.data.idx import bytes_of
from lwps.data.standardise import standardised

SIDE, CHANNELS = 32, 3


@attrs.frozen
class Version:
    """What the files of a CIFAR are called, and what a record of them is."""

    name: str
    train: tuple[str, ...]
    test: str
    labels: int  # bytes in front of the pixels; the last of them is the class
    classes: int
    class_names: str

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.train, self.test)


VERSIONS = (
    Version("CIFAR-10", tuple(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin", 1, 10, "batches.meta.txt"),
    Version("CIFAR-100", ("train.bin",), "test.bin", 2, 100, "fine_label_names.txt"),
)


def version_in(folder: Path) -> Version | None:
    """The CIFAR of which some file lies in `folder`."""
    return next((v for v in VERSIONS if any((folder / file).is_file() for file in v.files)), None)


def load_cifar(folder: str | Path) -> Dataset:
    """The data set of CIFAR-10's six `.bin` files, or of CIFAR-100's two (its 100 fine labels).

    DataError lists missing files, and says where a file has no whole records or a label that is no class.
    """
    folder = Path(folder)
    version = version_in(folder)
    missing = [file for file in (version or VERSIONS[0]).files if not (folder / file).is_file()]
    if version is None or missing:
        raise DataError(f"{folder}: must hold the binary files of CIFAR, got no {', no '.join(missing)}")
    parts = [_read(folder / file, version) for file in version.files]
    pixels, labels = (np.concatenate([part[k] for part in parts[:-1]]) for k in (0, 1))
    return standardised(
        pixels, labels, *parts[-1], version.name, kind="CIFAR's binary files", class_names=_names(folder, version)
    )


def _read(path: Path, version: Version) -> tuple[np.ndarray, np.ndarray]:
    """(pixels uint8[N, 32, 32, 3], labels uint8[N]) of one file."""
    data = np.frombuffer(bytes_of(path), np.uint8)
    record = version.labels + CHANNELS * SIDE * SIDE
    if data.size == 0 or data.size % record:
        raise DataError(f"{path}: must have whole records of {record} bytes, got {data.size}: the file is truncated")
    rows = data.reshape(-1, record)
    labels = rows[:, version.labels - 1]
    if labels.max() >= version.classes:
        at = int(labels.argmax())
        raise DataError(
            f"{path}: labels must be from 0 to {version.classes - 1}, got {labels[at]} in record {at}: damaged"
        )
    return rows[:, version.labels :].reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1), labels


def _names(folder: Path, version: Version) -> Sequence[str]:
    """The names of the classes, where the file that lists them is there and has one for each."""
    try:
        names = (folder / version.class_names).read_text("utf-8").split()
    except (OSError, UnicodeDecodeError):
        return ()
    return names if len(names) == version.classes else ()
