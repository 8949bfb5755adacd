"""Batches of an epoch: all of one size, since programs have static shapes."""

from collections.abc import Iterator

import numpy as np

from lwps.data.dataset import Examples


def batches(dataset: Examples, batch: int, seed: int, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(inputs[batch, ...], labels int32[batch, ...]) of the training examples in an order of this seed and epoch.

    What is left for less than a batch is dropped; another epoch drops others.
    """
    if not 1 <= batch <= dataset.count:
        raise ValueError(f"batches: batch must be from 1 to the {dataset.count} training {dataset.unit}, got {batch}")
    per_epoch = dataset.count // batch
    return (dataset.batch(epoch * per_epoch + k, batch, seed) for k in range(per_epoch))


def eval_batches(dataset: Examples, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(inputs, labels, mask) of all test examples in order; the mask is False where the last batch is filled up."""
    if batch < 1:
        raise ValueError(f"eval_batches: batch must be at least 1, got {batch}")
    return dataset.test_batches(batch)
