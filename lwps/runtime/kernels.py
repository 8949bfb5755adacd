"""Kernels: from an eqn to built OpenCL kernels with their launches."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import pyopencl as cl

from lwps.core import Device, Launch, Operand, Primitive, ShapedArray
from lwps.ops import fused
from lwps.ops.fused import chain_of, fused_p
from lwps.ops.generate import chain_supported, read_source


class KernelBuildError(RuntimeError):
    """An OpenCL driver refused a kernel; the message has its log and the numbered source."""


@attrs.frozen(eq=False)
class Recipe:
    """How an eqn runs on a device: source text, launches in order, operands."""

    source: str
    launches: tuple[Launch, ...]
    scratch: tuple[ShapedArray, ...]


def recipe(
    device: Device, primitive: Primitive, ins: Sequence[ShapedArray], params: Mapping[str, Any]
) -> Recipe | None:
    """The first variant that applies (or the generated kernel); None where only the host can."""
    outs = primitive.aval(*ins, **params)
    operands = _operands("out", outs), _operands("in", ins)
    if primitive.elementwise or primitive is fused_p:
        body = params["body"] if primitive is fused_p else chain_of(primitive, ins, params)
        if not chain_supported(body):
            return None
        launches = fused.launch(device, *operands, (), body=body)
        return Recipe(fused.source(device, body=body), launches, ())
    for variant in primitive.opencl:  # type: ignore[union-attr]
        if all(a.dtype != np.float64 for a in (*ins, *outs)) and variant.applies(device, *ins, **params):
            scratch = variant.scratch(*ins, **params)
            launches = variant.launch(device, *operands, _operands("scratch", scratch), **params)
            return Recipe(read_source(variant.package, variant.file), launches, scratch)
    return None


def _operands(kind: str, avals: Sequence[ShapedArray]) -> tuple[Operand, ...]:
    return tuple(Operand(kind, i, a) for i, a in enumerate(avals))


class KernelCache:
    """Built programs of one context by (source, options): each is built once a process."""

    def __init__(self, context: cl.Context) -> None:
        self.context = context
        self._programs: dict[tuple[str, str], cl.Program] = {}

    def kernel(self, source: str, options: str, name: str) -> cl.Kernel:
        """A new kernel object, for one eqn's arguments."""
        key = source, options
        if key not in self._programs:
            self._programs[key] = self._build(source, options)
        return cl.Kernel(self._programs[key], name)

    def _build(self, source: str, options: str) -> cl.Program:
        program = cl.Program(self.context, source)
        try:
            with warnings.catch_warnings():  # remarks of a compiler that kernels cannot mend
                warnings.simplefilter("ignore", cl.CompilerWarning)
                return program.build(["-w", *options.split()], cache_dir=False)
        except cl.RuntimeError as error:
            numbered = "\n".join(f"{k:4} {line}" for k, line in enumerate(source.split("\n"), 1))
            raise KernelBuildError(f"kernel: must build with options {options!r}, got\n{error}\n{numbered}") from error
