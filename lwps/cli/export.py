"""`lwps export`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lwps.cli.terminal import out
from lwps.train import load_trained


def export(
    checkpoint: Annotated[Path, typer.Argument(help="A folder that `lwps train --checkpoint` made, or a file in it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The ONNX file to write.", show_default=False)],
    batch: Annotated[int | None, typer.Option(min=1, help="The one batch size of the model. Default: any.")] = None,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Take images as uint8, as files have them, and standardise them inside.")
    ] = False,
) -> None:
    """Write the inference program of a trained model as an ONNX model for other runtimes.

    Example: lwps export runs/1 -o digits.onnx
    """
    trained = load_trained(checkpoint)
    proto = trained.to_onnx(output, batch, pixels)
    origin, graph = trained.origin, proto.graph
    out.print(f"{origin.about['model']}, trained on {origin.data['name']} for {origin.step} steps", highlight=False)
    ports = " -> ".join(map(_port, (graph.input[0], graph.output[0])))
    out.print(f"{ports}; {len(graph.node)} nodes", highlight=False, markup=False)
    version = f"opset {proto.opset_import[0].version}, IR version {proto.ir_version}"
    out.print(f"{output}: {output.stat().st_size} bytes, {version}", highlight=False)


def _port(value: Any) -> str:
    sizes = (d.dim_param or str(d.dim_value) for d in value.type.tensor_type.shape.dim)
    return f"{value.name}[{', '.join(sizes)}]"
