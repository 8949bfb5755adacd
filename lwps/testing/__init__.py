"""For tests of programs, primitives and placements: run things on every processor of this machine."""

from lwps.testing.processors import MEMORY_MODES, PROCESSORS, run_primitive

__all__ = ["MEMORY_MODES", "PROCESSORS", "run_primitive"]
