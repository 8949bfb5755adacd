"""Data sets: readers of real files, and batches."""

from lwps.data.batches import batches, eval_batches
from lwps.data.dataset import DataError, Dataset, fit
from lwps.data.digits import digits
from lwps.data.idx import load_folder, read_idx

__all__ = ["DataError", "Dataset", "batches", "digits", "eval_batches", "fit", "load_folder", "read_idx"]
