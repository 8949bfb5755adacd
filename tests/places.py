"""Where a primitive can run in tests: every processor, and each OpenCL device once more as if it were a GPU.

So the launches that GPUs get (groups, local memory, an element a work-item) are tested on machines without one.
"""

import attrs
import pytest

from lwps.core import Device
from lwps.testing import PROCESSORS, processors, run_primitive

GPU = Device("gpu", compute_units=4, max_work_group_size=256)
AS_GPU = tuple(f"{name} as gpu" for name in PROCESSORS if name.startswith("cl-cpu"))
PLACES = (*PROCESSORS, *AS_GPU)

on_each_processor = pytest.mark.parametrize("processor", PROCESSORS)
on_each_place = pytest.mark.parametrize("place", PLACES)
on_each_device = pytest.mark.parametrize("place", PLACES[1:])  # all but the host


def run(primitive, *ins, place, group=256, **params):
    """The results of a primitive at a place; `group` is the largest work-group that the pretended GPU allows."""
    if place not in AS_GPU:
        return run_primitive(primitive, *ins, processor=place, **params)
    name = place.removesuffix(" as gpu")
    *rest, _ = processors._opencl()[name]
    described = {name: (*rest, attrs.evolve(GPU, max_work_group_size=group))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processors, "_opencl", lambda: described)
        return run_primitive(primitive, *ins, processor=name, **params)
