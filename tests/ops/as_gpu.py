"""Running primitives on every processor, and GPUs' kernels on OpenCL devices that are none."""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import pytest

from lwps import testing
from lwps.core import Primitive
from lwps.testing import processors

AS_GPU = " as a GPU"
RUNNERS = (*testing.PROCESSORS, *(p + AS_GPU for p in testing.PROCESSORS if p.startswith("cl-cpu")))
on_each_runner = pytest.mark.parametrize("runner", RUNNERS)


def run(runner: str, primitive: Primitive, *ins: Any, **params: Any) -> Sequence[np.ndarray]:
    """The results of a primitive on a processor, or on one that is told to be a GPU."""
    if not runner.endswith(AS_GPU):
        return testing.run_primitive(primitive, *ins, processor=runner, **params)
    return run_described(primitive, *ins, type="gpu", max_work_group_size=64, **params)


def run_described(
    primitive: Primitive,
    *ins: Any,
    type: str = "cpu",
    max_work_group_size: int = 1024,
    compute_units: int = 2,
    **params: Any,
) -> Sequence[np.ndarray]:
    """The results on the first OpenCL CPU device, with another description of it."""
    changes = {"type": type, "max_work_group_size": max_work_group_size, "compute_units": compute_units}
    described = {name: (*found[:3], attrs.evolve(found[3], **changes)) for name, found in processors._opencl().items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processors, "_opencl", lambda: described)
        return testing.run_primitive(primitive, *ins, processor="cl-cpu", **params)
