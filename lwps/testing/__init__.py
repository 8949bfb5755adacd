"""For tests of programs, primitives and placements: run things on every processor of this machine."""

from lwps.testing.processors import PROCESSORS, run_primitive

__all__ = ["PROCESSORS", "run_primitive"]
