"""Decisions as JSON files: the format number, and the error that names what does not fit."""

import hashlib
from collections.abc import Iterable

FORMAT = 1  # of the JSON files; a reader refuses others


class PlanError(ValueError):
    """A placement, profile or plan does not fit the program or the machine it is used with."""


def digest(parts: Iterable[str]) -> str:
    """A short hash of texts, for the keys of files."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
