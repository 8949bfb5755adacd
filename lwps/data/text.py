"""Plain text as a data set: windows of characters, and for each the characters that follow."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np

from lwps.data import order
from lwps.data.dataset import DataError, filled_up, fingerprint

TEST_SHARE = 0.1  # the end of the text


@attrs.frozen(eq=False)
class Text:
    """A text as numbers of its characters: `train_tokens` to train on, `test_tokens` (its last tenth) held out.

    An example is a window of `context` characters, its labels are the same characters one further on. In each epoch the
    windows lie end to end behind a beginning that is drawn anew, so every character is seen about once.
    """

    train_tokens: np.ndarray
    test_tokens: np.ndarray
    vocabulary: str
    context: int
    name: str
    kind: str = "plain text"

    unit: ClassVar[str] = "characters"

    @property
    def classes(self) -> int:
        return len(self.vocabulary)

    @property
    def count(self) -> int:
        """Windows of an epoch, wherever it begins."""
        return (len(self.train_tokens) - self.context) // self.context

    @property
    def example(self) -> tuple[tuple[int, ...], np.dtype]:
        return (self.context,), np.dtype(np.int32)

    @functools.cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.train_tokens, self.test_tokens, np.array([self.context]), encoded(self.vocabulary))

    def batch(self, step: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        begin = order.shift(self.context, seed, step // (self.count // size) if size <= self.count else 0)
        rows = order.rows(self.count, step, size, seed)
        return _windows(self.train_tokens, begin + rows * self.context, self.context)

    def test_batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        if size < 1:
            raise ValueError(f"test_batches: the size must be at least 1, got {size}")
        starts = np.arange(0, len(self.test_tokens) - self.context, self.context)
        return (
            filled_up(*_windows(self.test_tokens, starts[k : k + size], self.context), size)
            for k in range(0, len(starts), size)
        )

    def encode(self, text: str) -> np.ndarray:
        """The numbers int32[N] of characters; ValueError names one that the vocabulary lacks."""
        unknown = sorted(set(text) - set(self.vocabulary))
        if unknown:
            raise ValueError(f"encode: characters must be of the vocabulary, got {unknown[0]!r}")
        return np.array([self.vocabulary.index(c) for c in text], np.int32)

    def decode(self, tokens: np.ndarray) -> str:
        """The characters of numbers."""
        return "".join(self.vocabulary[int(k)] for k in tokens)


def _windows(tokens: np.ndarray, starts: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray]:
    at = starts[:, None] + np.arange(context)
    return tokens[at], tokens[at + 1]


def encoded(text: str) -> np.ndarray:
    """The code points of a text."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def load_text(path: str | Path, context: int = 64) -> Text:
    """The data set of a UTF-8 file; its characters are the vocabulary, in the order of their code points.

    DataError where it is no text, or too short for a window to train on and one to test on.
    """
    path = Path(path)
    if context < 1:
        raise ValueError(f"load_text: context must be at least 1 character, got {context}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: must be a file that can be read, got {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: must be text in UTF-8, got {error.reason} at byte {error.start}") from error
    points, tokens = np.unique(encoded(text), return_inverse=True)
    tokens = tokens.astype(np.int32)
    held_out = max(int(TEST_SHARE * len(tokens)), context + 1)
    if len(tokens) - held_out < 2 * context:
        raise DataError(
            f"{path}: must have at least {3 * context + 1} characters for windows of {context}, got {len(tokens)}"
        )
    return Text(
        tokens[:-held_out], tokens[-held_out:], points.astype("<u4").tobytes().decode("utf-32-le"), context, path.name
    )
