"""The environment variables that lwps knows, read and set in this one place; imported before NumPy is.

OpenBLAS's idle threads spin for 2^OPENBLAS_THREAD_TIMEOUT clock cycles before they sleep, by default 2^26 (about
25 ms), and so take a core from the OpenCL device that runs on the same cores: right behind a `cpu` step the step of
a `cl-cpu` took 98 ms instead of 68. With 2^20 cycles mixed plans still took 14 % and more beyond their prediction, with
2^4, the least, 5 to 10 %; it cost the `cpu` 2 % at most. A value that the user has set is kept. It only works if NumPy
has not been imported before.
"""

import os
from pathlib import Path

CACHE = "LWPS_CACHE_DIR"  # the folder of measurements; empty: keep none
BLAS_SPIN = "OPENBLAS_THREAD_TIMEOUT"

os.environ.setdefault(BLAS_SPIN, "4")


def cache_folder(default: str) -> Path | None:
    """Where measurements are kept, None where the user wants none kept."""
    named = os.environ.get(CACHE)
    return None if named == "" else Path(named or default)
