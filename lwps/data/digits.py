"""The handwritten digits that come with lwps: 1,797 images of 8x8 pixels (source and licence: DIGITS.md)."""

from pathlib import Path

import numpy as np

from lwps.data.dataset import Dataset
from lwps.data.split import stratified
from lwps.data.standardise import standardised


def digits() -> Dataset:
    """images[N, 8, 8, 1] of ten digits: 1,438 to train on, 359 (a fifth of every class) to test on, always the same."""
    with np.load(Path(__file__).with_name("digits.npz")) as file:
        pixels, labels = file["images"], file["labels"]
    test = stratified(labels)
    return standardised(pixels[~test], labels[~test], pixels[test], labels[test], "UCI digits", kind="digits of lwps")
