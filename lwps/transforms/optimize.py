"""The transforms between tracing and profiling, in their fixed order."""

from collections.abc import Collection, Mapping

from lwps.core import Program
from lwps.plan.pins import labels
from lwps.transforms.fuse import fuse
from lwps.transforms.simplify import separate_outputs, simplify


def optimize(program: Program, apart: Collection[str] = (), pins: Mapping[str, str] | None = None) -> Program:
    """`program` simplified, its outputs in bytes of their own, elementwise chains fused.

    What comes out is what is profiled, placed and run. Eqns named in `apart` are not fused. `pins` as `place` takes
    them: no chain reaches across what a layer or a pattern among them pins.
    """
    simplified = separate_outputs(simplify(program))
    return fuse(simplified, apart, labels(simplified, pins or {}))
