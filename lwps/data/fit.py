"""Larger images for models that want them."""

from typing import Any

import attrs
import numpy as np

from lwps.data.dataset import Dataset


def fit(dataset: Dataset, size: int) -> Dataset:
    """The data set with images of `size` x `size`: pixels repeated a whole number of times, and a frame."""
    return attrs.evolve(
        dataset,
        train_images=fit_images(dataset.train_images, size, dataset.background),
        test_images=fit_images(dataset.test_images, size, dataset.background),
    )


def fit_images(images: np.ndarray, size: int, background: Any = 0.0) -> np.ndarray:
    """`images[N, H, W, C]` as [N, size, size, C], the picture in the middle of a frame of `background`."""
    n, height, width, channels = images.shape
    if size < max(height, width):
        raise ValueError(f"fit: size must be at least that of the images, {height}x{width}, got {size}")
    times = size // max(height, width)
    large = images.repeat(times, axis=1).repeat(times, axis=2)
    framed = np.full((n, size, size, channels), background, images.dtype)
    top, left = (size - height * times) // 2, (size - width * times) // 2
    framed[:, top : top + height * times, left : left + width * times] = large
    return framed
