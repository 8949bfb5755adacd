"""What a data set is: images and labels to train on, others to test on, in the dtypes and the layout of models."""

import attrs
import numpy as np


class DataError(ValueError):
    """A data file is missing, damaged or not what it should be."""


@attrs.frozen(eq=False)
class Dataset:
    """Images float32[N, H, W, C] with mean 0 and variance 1 over the training images, labels int32[N].

    `background` is the value that the images have where the pixels of the file were 0.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int
    name: str
    background: float = 0.0


def standardised(
    train_pixels: np.ndarray, train_labels: np.ndarray, test_pixels: np.ndarray, test_labels: np.ndarray, name: str
) -> Dataset:
    """The data set of pixels uint8[N, H, W]: less the mean of the training pixels, by their standard deviation."""
    values = np.arange(256)
    share = _histogram(train_pixels) / max(1, train_pixels.size)
    mean = share @ values
    deviation = np.sqrt(share @ (values - mean) ** 2)
    if not deviation > 0:
        raise DataError(f"{name}: training images must have more than one grey value, got {train_pixels.shape} of one")
    image_of = ((values - mean) / deviation).astype(np.float32)
    return Dataset(
        image_of[train_pixels][..., None],
        train_labels.astype(np.int32),
        image_of[test_pixels][..., None],
        test_labels.astype(np.int32),
        int(max(train_labels.max(), test_labels.max(initial=0))) + 1,
        name,
        float(image_of[0]),
    )


def _histogram(pixels: np.ndarray) -> np.ndarray:
    """How often each value of a byte occurs; in blocks, since bincount makes 8-byte integers of them."""
    flat = pixels.reshape(-1)
    return sum(
        (np.bincount(flat[k : k + (1 << 20)], minlength=256) for k in range(0, flat.size, 1 << 20)), np.zeros(256)
    )


def fit(dataset: Dataset, size: int) -> Dataset:
    """The data set with images of `size` x `size`: pixels repeated a whole number of times, and a frame."""
    return attrs.evolve(
        dataset,
        train_images=fit_images(dataset.train_images, size, dataset.background),
        test_images=fit_images(dataset.test_images, size, dataset.background),
    )


def fit_images(images: np.ndarray, size: int, background: float = 0.0) -> np.ndarray:
    """`images[N, H, W, C]` as [N, size, size, C], the picture in the middle of the frame."""
    n, height, width, channels = images.shape
    if size < max(height, width):
        raise ValueError(f"fit: size must be at least that of the images, {height}x{width}, got {size}")
    times = size // max(height, width)
    large = images.repeat(times, axis=1).repeat(times, axis=2)
    framed = np.full((n, size, size, channels), background, images.dtype)
    top, left = (size - height * times) // 2, (size - width * times) // 2
    framed[:, top : top + height * times, left : left + width * times] = large
    return framed
