"""The transforms between tracing and profiling, in their fixed order."""

from collections.abc import Collection

from lwps.core import Program
from lwps.transforms.fuse import fuse
from lwps.transforms.simplify import separate_outputs, simplify


def optimize(program: Program, apart: Collection[str] = ()) -> Program:
    """`program` simplified, its outputs in bytes of their own, elementwise chains fused.

    What comes out is what is profiled, placed and run. Eqns named in `apart` are not fused.
    """
    return fuse(separate_outputs(simplify(program)), apart)
