"""Arrays that compiled steps return and take back without a copy."""

from typing import Any

import numpy as np

from lwps.core import ShapedArray
from lwps.runtime.memory import Slot


class DonationError(RuntimeError):
    """An array was used after its memory was given away, or cannot be given away now."""


class Array:
    """A handle to values in memory that the processors share. NumPy reads it without a copy."""

    __slots__ = ("_slot", "aval")

    def __init__(self, slot: Slot, aval: ShapedArray) -> None:
        self._slot: Slot | None = slot
        self.aval = aval

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return self.aval.ndim

    @property
    def size(self) -> int:
        return self.aval.size

    @property
    def nbytes(self) -> int:
        return self.aval.nbytes

    @property
    def donated(self) -> bool:
        """Whether its memory was given away."""
        return self._slot is None

    def slot(self) -> Slot:
        """The memory behind it; DonationError if that was given away."""
        if self._slot is None:
            raise DonationError(
                f"array: a donated array must not be used again, got {self.aval};"
                " use what the step returned in its place"
            )
        return self._slot

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        view = self.slot().export(self.aval)
        if copy or (dtype is not None and np.dtype(dtype) != view.dtype):
            return view.astype(dtype or view.dtype)
        return view

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"len: a 0-d array has no length, got {self.aval}")
        return self.shape[0]

    def __float__(self) -> float:
        return float(np.asarray(self))

    def __int__(self) -> int:
        return int(np.asarray(self))

    def __index__(self) -> int:
        return np.asarray(self).__index__()

    def __bool__(self) -> bool:
        return bool(np.asarray(self))

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else format(str(self), spec)

    def item(self) -> Any:
        """The one element as a Python number."""
        return np.asarray(self).item()

    def tolist(self) -> Any:
        return np.asarray(self).tolist()

    def __repr__(self) -> str:
        return f"Array({self.aval}, donated)" if self.donated else f"Array({np.asarray(self)!r})"

    __str__ = __repr__
