"""The handwritten digits that come with lwps: 1,797 images of 8x8 pixels (source and licence: DIGITS.md)."""

from pathlib import Path

import numpy as np

from lwps.data.dataset import Dataset, standardised

TEST_SHARE = 0.2
SEED = 20210328


def digits() -> Dataset:
    """images[N, 8, 8, 1] of ten digits: 1,438 to train on, 359 (a fifth of every class) to test on, always the same."""
    with np.load(Path(__file__).with_name("digits.npz")) as file:
        pixels, labels = file["images"], file["labels"]
    test = _stratified(labels)
    return standardised(pixels[~test], labels[~test], pixels[test], labels[test], "UCI digits")


def _stratified(labels: np.ndarray) -> np.ndarray:
    """A mask of the test images: as near to a fifth of each class as whole images allow."""
    rng = np.random.default_rng(SEED)
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        mask[members[: round(TEST_SHARE * len(members))]] = True
    return mask
