"""A trained model as a checkpoint has it: to be applied, or taken to another runtime."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from lwps import export
from lwps.checkpoint import CheckpointError, Checkpoints, read
from lwps.core import ShapedArray
from lwps.data import Dataset, Examples, Text
from lwps.nn import Layer
from lwps.ops.elementwise import astype, div, sub
from lwps.train.job import Job
from lwps.train.resume import Origin, origin_of


@attrs.frozen(eq=False)
class Trained:
    """A model with the parameters and the state of a checkpoint; `origin` says what it was trained on and how."""

    model: Layer
    params: Any
    state: Any
    origin: Origin

    def aval(self, batch: int) -> ShapedArray:
        """What `logits` takes: images float32[batch, H, W, C] as its data set has them, or tokens."""
        return ShapedArray((batch, *self.origin.data["shape"]), self.origin.data["dtype"])

    def logits(self, inputs: Any) -> Any:
        """What the model says to a batch; at once, or traced."""
        return self._logits(self.params, self.state, inputs)

    def _logits(self, params: Any, state: Any, inputs: Any) -> Any:
        logits, _ = self.model.apply(params, state, inputs, train=False)
        return logits

    def _logits_of_pixels(self, params: Any, state: Any, pixels: Any) -> Any:
        mean, deviation = (np.float32(self.origin.data[name]) for name in ("mean", "deviation"))
        return self._logits(params, state, div(sub(astype(pixels, "float32"), mean), deviation))

    def to_onnx(
        self, path: str | os.PathLike[str] | None = None, batch: int | None = None, pixels: bool = False
    ) -> Any:
        """The ONNX model of `logits`, also written to `path` if given; `batch` fixes the size, None allows any.

        With `pixels` its input is uint8 images [N, H, W, C] as files have them. What the model was trained on is in
        its metadata: classes or characters, and what pixels are shifted and divided by.
        """
        data = self.origin.data
        if pixels and "mean" not in data:
            raise ValueError(f"to_onnx: pixels are for models of images, got one of {data['kind']}; leave it out")
        aval = self.aval(batch or 1)
        return export.to_onnx(
            self._logits_of_pixels if pixels else self._logits,
            self.params,
            self.state,
            ShapedArray(aval.shape, "uint8") if pixels else aval,
            path=path,
            dynamic_batch=batch is None,
            input_names=["pixels" if pixels else "images" if "mean" in data else "tokens"],
            output_names=["logits"],
            metadata=self._metadata(),
        )

    def _metadata(self) -> dict[str, str]:
        data = {k: v for k, v in self.origin.data.items() if k not in ("fingerprint", "shape", "dtype")}
        about = {"model": self.origin.about["model"], "step": self.origin.step, **data}
        return {k: v if isinstance(v, str) else json.dumps(v) for k, v in about.items()}


def load_trained(path: str | os.PathLike[str]) -> Trained:
    """The model in a checkpoint of `lwps train`, a file or a folder of them (then the newest that is whole).

    CheckpointError where there is none, where it is damaged, or of a training of your own: `lwps.load` reads that.
    """
    path = Path(path)
    if path.is_dir():
        path = Checkpoints(path).newest().path
    origin = origin_of(path)
    try:
        job = Job(**origin.about)
    except TypeError:
        raise CheckpointError(
            f"{path}: must be a checkpoint of `lwps train`, got one that does not say its model; use lwps.load"
        ) from None
    tree = read(path).tree
    return Trained(job.build(_without_examples(origin.data)), tree["params"], tree["state"], origin)


def _without_examples(data: Mapping[str, Any]) -> Examples:
    """The data set that a checkpoint describes, with no examples in it: all that building a model asks of it."""
    none = np.zeros((0, *data["shape"]), data["dtype"])
    if "vocabulary" in data:
        return Text(
            none.reshape(-1), none.reshape(-1), data["vocabulary"], data["shape"][0], data["name"], data["kind"]
        )
    labels = np.zeros(0, np.int32)
    return Dataset(none, labels, none, labels, data["classes"], data["name"], data["kind"])
