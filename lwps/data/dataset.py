"""What a data set is: examples to train on, others to test on, in the dtypes and the layout of models."""

import functools
import zlib
from collections.abc import Iterator
from typing import ClassVar, Protocol

import attrs
import numpy as np

from lwps.data import order

MOST_CLASSES = 1 << 16  # more are damage, not classes: every class costs a row of weights


class DataError(ValueError):
    """A data file is missing, damaged or not what it should be."""


class Examples(Protocol):
    """What training asks of a data set; `Dataset` (images) and `Text` (characters) are two."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def kind(self) -> str:
        """What its files were found to be."""

    @property
    def classes(self) -> int:
        """How many logits a model gives."""

    @property
    def unit(self) -> str:
        """What is counted: images, characters."""

    @property
    def count(self) -> int:
        """Training examples of an epoch."""

    @property
    def example(self) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and dtype of one input."""

    @property
    def fingerprint(self) -> str:
        """A hash of all examples: equal for equal data, wherever it lies."""

    def batch(self, step: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """(inputs[size, ...], labels int32[size, ...]) number `step` of a training with this seed."""

    def test_batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(inputs, labels, mask like labels) of all test examples in order; the mask is False where filled up."""


@attrs.frozen(eq=False)
class Dataset:
    """Images float32[N, H, W, C] with mean 0 and variance 1 of every channel over the training images, labels int32[N].

    An image is (pixels - `mean`) / `deviation`, one number of each a channel. `class_names` are empty where the
    files name none.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int
    name: str
    kind: str = "arrays"
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)
    class_names: tuple[str, ...] = ()

    unit: ClassVar[str] = "images"

    @property
    def count(self) -> int:
        return len(self.train_images)

    @property
    def example(self) -> tuple[tuple[int, ...], np.dtype]:
        return self.train_images.shape[1:], self.train_images.dtype

    @property
    def background(self) -> np.ndarray:
        """What images have where the pixels of the file were 0, one number a channel."""
        return (-np.array(self.mean) / np.array(self.deviation)).astype(np.float32)

    @functools.cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.train_images, self.train_labels, self.test_images, self.test_labels)

    def batch(self, step: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rows = order.rows(self.count, step, size, seed)
        return self.train_images[rows], self.train_labels[rows]

    def test_batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        if size < 1:
            raise ValueError(f"test_batches: the size must be at least 1, got {size}")
        return (
            filled_up(self.test_images[k : k + size], self.test_labels[k : k + size], size)
            for k in range(0, len(self.test_images), size)
        )


def filled_up(inputs: np.ndarray, labels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A batch of `size` with zeros behind the examples that there are, and the mask that is True for these."""
    missing = size - len(inputs)
    known = np.ones(labels.shape, bool)
    return tuple(  # type: ignore[return-value]
        np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)]) if missing else x
        for x in (inputs, labels, known)
    )


def fingerprint(*arrays: np.ndarray) -> str:
    """A hash of arrays: dtypes, shapes and bytes."""
    total = 0
    for x in arrays:
        total = zlib.crc32(f"{x.dtype}{x.shape}".encode(), total)
        total = zlib.crc32(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data, total)
    return f"{total:08x}"
