"""The graph as ONNX's protobuf: the one module that imports onnx."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

try:
    import onnx
    from onnx import helper, numpy_helper
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"to_onnx: needs the package onnx, got {error}; pip install 'lwps[onnx]'") from None

from lwps.checkpoint.atomic import replacing
from lwps.export.graph import BATCH, Graph, Port
from lwps.export.inference import Dim

OPSET = 18  # of the operators: runtimes from 2023 on have it (ONNX Runtime 1.14)
IR_VERSION = 8  # of the file format: the one that came with that opset
LIMIT = 2**31 - 1  # bytes that one protobuf may have


def to_model(graph: Graph, name: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """The checked model; ValueError where it is larger than a file of the format may be."""
    nbytes = sum(value.nbytes for value in graph.initializers.values())
    if nbytes > LIMIT:
        raise ValueError(f"to_onnx: weights must be below 2 GiB together, got {nbytes} bytes")
    proto = helper.make_graph(
        [helper.make_node(n.op, n.ins, n.outs, n.name, **_attributes(n.attributes)) for n in graph.nodes],
        name,
        [_value_info(p) for p in graph.inputs],
        [_value_info(p) for p in graph.outputs],
        [numpy_helper.from_array(np.ascontiguousarray(v).reshape(v.shape), n) for n, v in graph.initializers.items()],
    )
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="lwps"
    )
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    return model


def write(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """The model as a file: what was there stays whole until the new one is. OSError names the file."""
    try:
        with replacing(Path(path)) as file:
            file.write(model.SerializeToString())
    except OSError as error:
        raise OSError(error.errno, f"must be a place that can be written, got {error.strerror}", str(path)) from error


def _attributes(attributes: Any) -> dict[str, Any]:
    return {k: _attribute(v) for k, v in attributes.items()}


def _attribute(value: Any) -> Any:
    if isinstance(value, np.dtype):
        return helper.np_dtype_to_tensor_dtype(value)
    return numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value


def _value_info(port: Port) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        port.name, helper.np_dtype_to_tensor_dtype(port.dtype), [_dimension(n) for n in port.shape]
    )


def _dimension(n: int | Dim) -> int | str | None:
    if isinstance(n, int):
        return n
    return BATCH if n == Dim(1, 0) else None
