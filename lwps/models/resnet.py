"""ResNet-18 and -34 (He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016).

Layers are named, sized, padded and begun as torchvision's, so that its figures can be compared.
"""

from collections.abc import Sequence

from lwps import nn
from lwps.nn.initial import he_normal_out

WIDTHS = (64, 128, 256, 512)


def resnet18(num_classes: int = 1000, stem: str = "imagenet") -> nn.Layer:
    """images[N, H, W, C] -> logits[N, num_classes]; 11,689,512 parameters for 1000 classes and C = 3.

    `stem`: "imagenet" begins with a 7x7 convolution and a max-pool that leave a quarter of H and W; "small", for
    images of 64 pixels or less, with a 3x3 convolution that leaves them.
    """
    return _resnet((2, 2, 2, 2), num_classes, stem)


def resnet34(num_classes: int = 1000, stem: str = "imagenet") -> nn.Layer:
    """As `resnet18`, deeper: 21,797,672 parameters for 1000 classes and C = 3."""
    return _resnet((3, 4, 6, 3), num_classes, stem)


def _resnet(depths: Sequence[int], num_classes: int, stem: str) -> nn.Layer:
    stages = {
        f"layer{k}": _stage(width, depth, strides=1 if k == 1 else 2)
        for k, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True), 1)
    }
    return nn.serial(**_stem(stem), **stages, avgpool=nn.global_avg_pool(), fc=nn.linear(num_classes))


def _stem(kind: str) -> dict[str, nn.Layer]:
    if kind == "imagenet":
        return {
            "conv1": _conv(64, 7, 2),
            "bn1": nn.batch_norm(),
            "relu": nn.relu(),
            "maxpool": nn.max_pool(3, 2, padding=1),
        }
    if kind == "small":
        return {"conv1": _conv(64, 3, 1), "bn1": nn.batch_norm(), "relu": nn.relu()}
    raise ValueError(f"resnet: stem must be 'imagenet' or 'small', got {kind!r}")


def _stage(width: int, depth: int, strides: int) -> nn.Layer:
    return nn.serial(_block(width, strides), *(_block(width, 1) for _ in range(1, depth)))


def _block(width: int, strides: int) -> nn.Layer:
    body = nn.serial(
        conv1=_conv(width, 3, strides),
        bn1=nn.batch_norm(),
        relu=nn.relu(),
        conv2=_conv(width, 3, 1),
        bn2=nn.batch_norm(),
    )
    shortcut = nn.serial(_conv(width, 1, strides), nn.batch_norm()) if strides > 1 else None
    return nn.residual(body, shortcut)


def _conv(features: int, size: int, strides: int) -> nn.Layer:
    return nn.conv2d(features, size, strides, padding=size // 2, bias=False, initial_weights=he_normal_out)
