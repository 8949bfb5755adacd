"""Models: functions of `lwps.nn`, by name."""

from collections.abc import Callable

from lwps.models.gpt import gpt
from lwps.models.lenet import lenet5
from lwps.models.mlp import mlp
from lwps.models.resnet import resnet18, resnet34
from lwps.nn import Layer

__all__ = ["MODELS", "build", "gpt", "lenet5", "mlp", "resnet18", "resnet34"]

SMALL = 64  # images of at most so many pixels a side would be gone behind ResNet's first two layers


def _stem(image_size: int) -> str:
    return "small" if image_size <= SMALL else "imagenet"


MODELS: dict[str, Callable[[int, int], Layer]] = {
    "mlp": lambda classes, image_size: mlp((256, 256, classes)),
    "lenet5": lambda classes, image_size: lenet5(classes, image_size),
    "resnet18": lambda classes, image_size: resnet18(classes, _stem(image_size)),
    "resnet34": lambda classes, image_size: resnet34(classes, _stem(image_size)),
}


def build(name: str, classes: int, image_size: int) -> Layer:
    """The model of this name for so many classes and images of `image_size` pixels a side."""
    if name not in MODELS:
        raise ValueError(f"build: the model must be one of {', '.join(MODELS)}, got {name!r}")
    return MODELS[name](classes, image_size)
