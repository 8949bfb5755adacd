"""Batches: all of one size, since programs have static shapes."""

from collections.abc import Iterator

import numpy as np

from lwps.data.dataset import Dataset


def batches(dataset: Dataset, batch: int, seed: int, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(images float32[batch, H, W, C], labels int32[batch]) of the training images in an order of this seed and epoch.

    What is left for less than a batch is dropped; another epoch drops others.
    """
    count = len(dataset.train_images)
    if not 1 <= batch <= count:
        raise ValueError(f"batches: batch must be from 1 to the {count} training images, got {batch}")
    order = np.random.default_rng((seed, epoch)).permutation(count)
    return (_take(dataset, order[k : k + batch]) for k in range(0, count - batch + 1, batch))


def _take(dataset: Dataset, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return dataset.train_images[rows], dataset.train_labels[rows]


def eval_batches(dataset: Dataset, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(images, labels, mask bool[batch]) of all test images in order; the mask is False where the last is filled up."""
    if batch < 1:
        raise ValueError(f"eval_batches: batch must be at least 1, got {batch}")
    count = len(dataset.test_images)
    return (_filled_up(dataset, k, batch) for k in range(0, count, batch))


def _filled_up(dataset: Dataset, start: int, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    images, labels = dataset.test_images[start : start + batch], dataset.test_labels[start : start + batch]
    missing = batch - len(images)
    return (
        np.concatenate([images, np.zeros((missing, *images.shape[1:]), images.dtype)]),
        np.concatenate([labels, np.zeros(missing, labels.dtype)]),
        np.arange(batch) < len(images),
    )
