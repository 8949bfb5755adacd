"""From pixels to a `Dataset`: checked, less their mean, by their standard deviation, of each channel."""

from collections.abc import Sequence

import numpy as np

from lwps.data.dataset import MOST_CLASSES, DataError, Dataset

_BLOCK = 1 << 20  # bincount makes 8-byte integers of its bytes


def standardised(
    train_pixels: np.ndarray,
    train_labels: np.ndarray,
    test_pixels: np.ndarray,
    test_labels: np.ndarray,
    name: str,
    *,
    kind: str = "arrays",
    class_names: Sequence[str] = (),
) -> Dataset:
    """The data set of pixels[N, H, W] or [N, H, W, C], uint8 or float, and integer labels[N].

    DataError, in the name of the set, where images have no label each, sizes differ, labels are no numbers of
    classes, or there is but one value.
    """
    _check(name, "training", train_pixels, train_labels)
    _check(name, "test", test_pixels, test_labels)
    train, test = _with_channels(train_pixels), _with_channels(test_pixels)
    if train.shape[1:] != test.shape[1:]:
        got = f"{list(train.shape[1:])} to train on and {list(test.shape[1:])} to test on"
        raise DataError(f"{name}: images must have one size and one number of channels, got {got}")
    mean, deviation = _moments(train)
    if not np.isfinite(mean).all() or not (deviation > 0).any():
        raise DataError(f"{name}: training images must have finite pixels of more than one value, got mean {mean}")
    deviation[deviation == 0] = 1  # a channel that says nothing
    return Dataset(
        _apply(train, mean, deviation),
        train_labels.astype(np.int32),
        _apply(test, mean, deviation),
        test_labels.astype(np.int32),
        max(int(max(train_labels.max(), test_labels.max())) + 1, len(class_names)),
        name,
        kind,
        tuple(mean.tolist()),
        tuple(deviation.tolist()),
        tuple(class_names),
    )


def _check(name: str, what: str, pixels: np.ndarray, labels: np.ndarray) -> None:
    got = f"{pixels.dtype}{list(pixels.shape)} and {labels.dtype}{list(labels.shape)}"
    if pixels.ndim not in (3, 4) or pixels.dtype.kind not in "uf" or labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise DataError(
            f"{name}: {what} images must be uint8 or float [N, H, W] or [N, H, W, C], labels integers [N], got {got}"
        )
    if pixels.size == 0:
        raise DataError(f"{name}: there must be images to train on and to test on, got {got} for {what}")
    if len(pixels) != len(labels):
        raise DataError(
            f"{name}: {what} images must have a label each, got {len(pixels)} images and {len(labels)} labels"
        )
    if labels.min() < 0 or labels.max() >= MOST_CLASSES:
        raise DataError(
            f"{name}: labels must be from 0 to {MOST_CLASSES - 1}, got {labels.min()} to {labels.max()} in {what}"
        )


def _with_channels(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., None] if pixels.ndim == 3 else pixels


def _moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, in float64."""
    if pixels.dtype != np.uint8:
        with np.errstate(all="ignore"):  # what is not finite is refused by the caller
            axes = (0, 1, 2)
            return pixels.mean(axes, np.float64), pixels.std(axes, np.float64)
    values = np.arange(256)
    shares = np.stack([_histogram(pixels[..., c]) for c in range(pixels.shape[-1])]) * pixels.shape[-1] / pixels.size
    mean = shares @ values
    return mean, np.sqrt(np.sum(shares * (values - mean[:, None]) ** 2, axis=1))


def _histogram(pixels: np.ndarray) -> np.ndarray:
    """How often each value of a byte occurs."""
    flat = pixels.reshape(-1)
    blocks = (np.bincount(flat[k : k + _BLOCK], minlength=256) for k in range(0, flat.size, _BLOCK))
    return sum(blocks, np.zeros(256))


def _apply(pixels: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8:
        return ((pixels - mean) / deviation).astype(np.float32)
    images = np.empty(pixels.shape, np.float32)
    for c in range(pixels.shape[-1]):
        np.take(((np.arange(256) - mean[c]) / deviation[c]).astype(np.float32), pixels[..., c], out=images[..., c])
    return images
