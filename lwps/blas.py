"""The library behind NumPy's matrix products, and how many threads it has."""

import attrs
import numpy as np

try:
    import threadpoolctl
except ModuleNotFoundError:  # comes with lwps[cli]
    threadpoolctl = None


@attrs.frozen
class Blas:
    """`library` with its version; `threads` is None where threadpoolctl is not there to tell."""

    library: str
    threads: int | None


def blas() -> Blas:
    """What NumPy is linked with, as threadpoolctl finds it in this process, else as NumPy was built."""
    if threadpoolctl is not None:
        libraries = sorted(threadpoolctl.threadpool_info(), key=lambda row: "numpy" not in row["filepath"])
        for found in libraries:  # NumPy's own before that of SciPy, which may be loaded or not
            if found["user_api"] == "blas":
                version = found["version"] or "of unknown version"
                return Blas(f"{found['internal_api']} {version}", found["num_threads"])
    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return Blas(f"{built['name']} {built.get('version', 'of unknown version')}", None)
