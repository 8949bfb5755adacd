"""Models for other runtimes: an inference function as an ONNX file.

Needs the package onnx (`pip install 'lwps[onnx]'`). Models have opset 18 and IR version 8.
"""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lwps import tracing
from lwps.core import Eqn, Primitive, Program, ShapedArray
from lwps.export.affine import fold_affine
from lwps.export.arrays import ARRAYS
from lwps.export.attention import ATTENTION
from lwps.export.elementwise import ELEMENTWISE
from lwps.export.functions import FUNCTIONS
from lwps.export.graph import Emitter, Graph, NoForm
from lwps.export.inference import Inference, infer
from lwps.export.layers import LAYERS
from lwps.export.picks import PICKS
from lwps.tree import paths

__all__ = ["Emitter", "NoForm", "to_onnx"]

BUILDERS: Mapping[Primitive, Callable[..., None]] = ELEMENTWISE | FUNCTIONS | ARRAYS | PICKS | LAYERS | ATTENTION

RANDOM = "random numbers"
NO_FORM: Mapping[str, str] = {  # primitives that are refused, and why
    "batch_norm": "moments of the batch",
    "softmax_cross_entropy": "a loss",
    "resize_transpose": "a gradient",
    **dict.fromkeys(("arctan2", "cumprod"), "no operator"),
    **dict.fromkeys(("left_shift", "right_shift"), "operators for unsigned numbers only"),
    **dict.fromkeys(("random_bits", "random_block", "bits_to_uniform", "bits_to_symmetric", "bits_to_range"), RANDOM),
    **dict.fromkeys(("tail_log", "normal_quantile"), RANDOM),
}


def to_onnx(
    fn: Callable[..., Any] | Program,
    *args: Any,
    path: str | os.PathLike[str] | None = None,
    dynamic_batch: bool = False,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    builders: Mapping[Primitive, Callable[..., None]] | None = None,
) -> Any:
    """The ONNX model of `fn(*args)`, checked; also written to `path` if given.

    Arrays and numbers among the leaves of `args` are stored in the model, `ShapedArray`s are its inputs. Arrays keep
    the order of axes they have in lwps (images NHWC); inside, the model is NCHW. Batch normalisation with known
    moments is folded into the convolution before it.

    - `fn`: a function that can be traced, or a program (from `lwps.trace` or `lwps.optimize`) and its arguments
    - `dynamic_batch`: axis 0 of every input may have any size, one for all of them
    - `input_names`, `output_names`: by default the names of arguments and "output"
    - `metadata`: what else the model is to say of itself
    - `builders`: for primitives of your own, functions (emitter, eqn, **params) that emit ONNX nodes

    ValueError, listing all of them, where primitives have no ONNX form. Returns an `onnx.ModelProto` of opset 18 and
    IR version 8.
    """
    from lwps.export import model  # here, so that lwps is there without onnx

    leaves, _ = tracing.flatten(args)
    names = _input_names(fn, args, leaves, input_names)
    if dynamic_batch and any(isinstance(x, ShapedArray) and x.ndim == 0 for x in leaves):
        raise TypeError("to_onnx: with dynamic_batch inputs must have an axis 0, got one of no axes; use reshape")
    inference = fold_affine(infer(fn, args, names, dynamic_batch))
    outputs = _output_names(inference, output_names)
    graph = emit(inference, outputs, {**BUILDERS, **(builders or {})})
    proto = model.to_model(graph, getattr(fn, "__name__", "program"), metadata or {})
    if path is not None:
        model.write(proto, path)
    return proto


def emit(inference: Inference, output_names: Sequence[str], builders: Mapping[Primitive, Callable[..., None]]) -> Graph:
    """The graph of a program; ValueError lists every eqn that has no ONNX form."""
    emitter = Emitter(inference, output_names)
    program = inference.program
    refused: dict[str, str] = {}
    for name, eqn in zip(program.names, program.eqns, strict=True):
        if eqn.outs[0] in emitter.absorbed:
            continue
        emitter.begin(eqn.layer or eqn.primitive.name)
        try:
            _builder(eqn, builders)(emitter, eqn, **inference.params_of(eqn))
        except NoForm as reason:
            refused.setdefault(f"{eqn.primitive.name}{reason}", f"{eqn.primitive.name} ({name}{reason})")
            for var in eqn.outs:
                emitter.put(var, "refused")  # and on, to list all that have no form
    if refused:
        raise ValueError(
            f"to_onnx: every primitive must have an ONNX form, got none for {', '.join(refused.values())}; export the"
            " inference function (train=False), or say how in builders"
        )
    return emitter.finish()


def _builder(eqn: Eqn, builders: Mapping[Primitive, Callable[..., None]]) -> Callable[..., None]:
    if eqn.primitive not in builders:
        raise NoForm(NO_FORM.get(eqn.primitive.name, ""))
    return builders[eqn.primitive]


def _input_names(fn: Any, args: Sequence[Any], leaves: Sequence[Any], given: Sequence[str] | None) -> list[str]:
    """A name for each leaf: `params/conv1/w` by the function's parameters; the inputs' may be given."""
    found = ["/".join((_parameter(fn, int(k)), *path)) for k, *path in paths(tuple(args))]
    inputs = [k for k, x in enumerate(leaves) if isinstance(x, ShapedArray)]
    if given is not None:
        if len(set(given)) != len(inputs) or len(given) != len(inputs):
            raise ValueError(f"to_onnx: input_names must be {len(inputs)} different ones, got {list(given)}")
        for k, name in zip(inputs, given, strict=True):
            found[k] = name
    return found


def _parameter(fn: Any, k: int) -> str:
    if isinstance(fn, Program):
        return f"input_{k}"
    try:
        named = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):  # a builtin
        return f"input_{k}"
    plain = [p.name for p in named if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return plain[k] if k < len(plain) else f"input_{k}"


def _output_names(inference: Inference, given: Sequence[str] | None) -> list[str]:
    count = len(inference.program.outputs)
    if given is None:
        return ["output"] if count == 1 else [f"output_{k}" for k in range(count)]
    if len(set(given)) != count or len(given) != count:
        raise ValueError(f"to_onnx: output_names must be {count} different ones, got {list(given)}")
    return list(given)
