"""Data sets: readers of real files, and batches."""

from lwps.data.batches import batches, eval_batches
from lwps.data.cifar import load_cifar
from lwps.data.dataset import DataError, Dataset, Examples
from lwps.data.digits import digits
from lwps.data.find import load
from lwps.data.fit import fit
from lwps.data.folder import Pictures, load_pictures
from lwps.data.idx import load_folder, read_idx
from lwps.data.npz import load_npz
from lwps.data.text import Text, load_text

__all__ = [
    "DataError",
    "Dataset",
    "Examples",
    "Pictures",
    "Text",
    "batches",
    "digits",
    "eval_batches",
    "fit",
    "load",
    "load_cifar",
    "load_folder",
    "load_npz",
    "load_pictures",
    "load_text",
    "read_idx",
]
