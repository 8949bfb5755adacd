"""Models: functions of `lwps.nn`; those that classify images are in `MODELS` by name."""

from collections.abc import Callable

from lwps.models.autoencoder import conv_autoencoder
from lwps.models.gpt import gpt
from lwps.models.lenet import lenet5
from lwps.models.mlp import mlp
from lwps.models.mobilenet import mobilenet_v2
from lwps.models.resnet import resnet18, resnet34, resnet50, resnet101, resnet152, resnext50
from lwps.models.unet import unet
from lwps.nn import Layer

__all__ = [
    "MODELS",
    "TEXT_MODELS",
    "build",
    "build_text",
    "conv_autoencoder",
    "gpt",
    "lenet5",
    "mlp",
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50",
    "unet",
]

SMALL = 64  # images of at most so many pixels a side would be gone behind the first layers of larger models


def _stem(image_size: int) -> str:
    return "small" if image_size <= SMALL else "imagenet"


MODELS: dict[str, Callable[[int, int], Layer]] = {
    "mlp": lambda classes, image_size: mlp((256, 256, classes)),
    "lenet5": lambda classes, image_size: lenet5(classes, image_size),
    "resnet18": lambda classes, image_size: resnet18(classes, _stem(image_size)),
    "resnet34": lambda classes, image_size: resnet34(classes, _stem(image_size)),
    "resnet50": lambda classes, image_size: resnet50(classes, _stem(image_size)),
    "resnet101": lambda classes, image_size: resnet101(classes, _stem(image_size)),
    "resnet152": lambda classes, image_size: resnet152(classes, _stem(image_size)),
    "resnext50": lambda classes, image_size: resnext50(classes, _stem(image_size)),
    "mobilenet_v2": lambda classes, image_size: mobilenet_v2(classes, _stem(image_size)),
}


def build(name: str, classes: int, image_size: int) -> Layer:
    """The model of this name for so many classes and images of `image_size` pixels a side."""
    if name not in MODELS:
        raise ValueError(f"build: the model must be one of {', '.join(MODELS)}, got {name!r}")
    return MODELS[name](classes, image_size)


# of the classes and the length of a text, as `MODELS` are of classes and image sizes
TEXT_MODELS: dict[str, Callable[[int, int], Layer]] = {
    "gpt": lambda vocab, length: gpt(vocab, length, width=128, depth=4, heads=4),
}


def build_text(name: str, vocab: int, length: int) -> Layer:
    """The model of this name for texts of `vocab` different characters, `length` of which it sees at once."""
    if name not in TEXT_MODELS:
        raise ValueError(f"build_text: the model must be one of {', '.join(TEXT_MODELS)}, got {name!r}")
    return TEXT_MODELS[name](vocab, length)
