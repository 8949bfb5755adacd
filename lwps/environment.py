"""The environment variables that lwps knows, read and set in this one place; imported before NumPy is.

OpenBLAS's idle threads spin for 2^OPENBLAS_THREAD_TIMEOUT clock cycles before they sleep, by default 2^26 (about
25 ms), and so take a core from the OpenCL device that runs on the same cores: right behind a `cpu` step the step of
a `cl-cpu` took 98 ms instead of 68. With 2^20 cycles mixed plans still took 14 % and more beyond their prediction, with
2^4, the least, 5 to 10 %; it cost the `cpu` 2 % at most. A value that the user has set is kept. It only works if NumPy
has not been imported before.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

CACHE = "LWPS_CACHE_DIR"
HANG = "LWPS_HANG_S"
BLAS_SPIN = "OPENBLAS_THREAD_TIMEOUT"


class Variable(NamedTuple):
    """An environment variable and what it does, in a sentence."""

    name: str
    does: str


OWN = (
    Variable(CACHE, "The folder of measurements and receipts; empty: keep none. Default: the user's cache folder."),
    Variable(HANG, "Seconds after which a kernel that has not ended is named on stderr; 0: never. Default: 30."),
    Variable(
        BLAS_SPIN, "How long OpenBLAS's idle threads spin, as a power of two of cycles. lwps sets 4 unless it is set."
    ),
)
OTHERS = (  # read by the libraries below lwps; `lwps doctor` shows those that are set
    Variable("OCL_ICD_VENDORS", "The folder of `.icd` files that the OpenCL loader reads, or one such file."),
    Variable("OPENCL_VENDOR_PATH", "The same for ocl-icd where `OCL_ICD_VENDORS` is not set: a folder."),
    Variable("OCL_ICD_FILENAMES", "Drivers for Khronos's loader. The loader in PyOpenCL's wheel does not read it."),
    Variable("OCL_ICD_DEBUG", "ocl-icd says what it loads; 15: all of it."),
    Variable(
        "RUSTICL_ENABLE", "Mesa's drivers that rusticl may show, comma-separated: panfrost, freedreno, iris, radeonsi."
    ),
    Variable("POCL_DEVICES", "PoCL's devices."),
    Variable("POCL_MEMORY_LIMIT", "Gigabytes that PoCL's device says it has."),
    Variable("POCL_MAX_PTHREAD_COUNT", "Threads of PoCL's device."),
    Variable("POCL_CACHE_DIR", "Where PoCL keeps built kernels."),
    Variable("OPENBLAS_NUM_THREADS", "Threads of NumPy's matrix products with OpenBLAS."),
    Variable("MKL_NUM_THREADS", "The same with MKL."),
    Variable("OMP_NUM_THREADS", "The same where the library uses OpenMP."),
    Variable("LD_LIBRARY_PATH", "Folders that libraries, drivers among them, are looked for in first."),
)

os.environ.setdefault(BLAS_SPIN, "4")


def cache_folder(default: str) -> Path | None:
    """Where measurements are kept, None where the user wants none kept."""
    named = os.environ.get(CACHE)
    return None if named == "" else Path(named or default)


def hang_s() -> float:
    """Seconds after which a kernel that has not ended is named."""
    named = os.environ.get(HANG, "")
    try:
        return float(named or 30)
    except ValueError:
        return 30.0


def all_set() -> Mapping[str, str]:
    """The environment of this process as it is now."""
    return dict(os.environ)
