"""ResNets (He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016), and ResNeXt-50.

Layers are named, sized, padded and begun as torchvision's, so that its figures can be compared. Where a block of three
convolutions has strides, the 3x3 one has them (which NVIDIA calls v1.5; in the paper the first 1x1 one).
"""

from collections.abc import Callable, Sequence

from lwps import nn
from lwps.nn.initial import he_normal_out

Block = Callable[[int, int, bool], nn.Layer]  # (width, strides, whether it is the first of its stage)

EXPANSION = 4  # of the channels behind a bottleneck


def resnet18(num_classes: int = 1000, stem: str = "imagenet", width: int = 64) -> nn.Layer:
    """images[N, H, W, C] -> logits[N, num_classes]; 11,689,512 parameters for 1000 classes and C = 3.

    `stem`: "imagenet" begins with a 7x7 convolution and a max-pool that leave a quarter of H and W; "small", for
    images of 64 pixels or less, with a 3x3 convolution that leaves them. `width`: channels of the stem and of the first
    of four stages; each stage has twice those of the one before.
    """
    return _resnet((2, 2, 2, 2), num_classes, stem, width, _basic)


def resnet34(num_classes: int = 1000, stem: str = "imagenet", width: int = 64) -> nn.Layer:
    """As `resnet18`, deeper: 21,797,672 parameters for 1000 classes and C = 3."""
    return _resnet((3, 4, 6, 3), num_classes, stem, width, _basic)


def resnet50(num_classes: int = 1000, stem: str = "imagenet", width: int = 64) -> nn.Layer:
    """As `resnet34`, of bottlenecks (1x1, 3x3, 1x1): 25,557,032 parameters for 1000 classes and C = 3."""
    return _resnet((3, 4, 6, 3), num_classes, stem, width, _bottleneck)


def resnet101(num_classes: int = 1000, stem: str = "imagenet", width: int = 64) -> nn.Layer:
    """As `resnet50`, deeper: 44,549,160 parameters for 1000 classes and C = 3."""
    return _resnet((3, 4, 23, 3), num_classes, stem, width, _bottleneck)


def resnet152(num_classes: int = 1000, stem: str = "imagenet", width: int = 64) -> nn.Layer:
    """As `resnet101`, deeper: 60,192,808 parameters for 1000 classes and C = 3."""
    return _resnet((3, 8, 36, 3), num_classes, stem, width, _bottleneck)


def resnext50(num_classes: int = 1000, stem: str = "imagenet", width: int = 64, groups: int = 32) -> nn.Layer:
    """As `resnet50`, with twice the channels in each 3x3 convolution, in `groups`: 25,028,904 parameters.

    ResNeXt-50 32x4d of Xie, Girshick, Dollar, Tu, He, "Aggregated residual transformations", CVPR 2017.
    """
    block: Block = lambda width, strides, first: _bottleneck(width, strides, first, 2 * width, groups)
    return _resnet((3, 4, 6, 3), num_classes, stem, width, block)


def _resnet(depths: Sequence[int], num_classes: int, stem: str, width: int, block: Block) -> nn.Layer:
    stages = {
        f"layer{k}": _stage(block, width * 2 ** (k - 1), depth, strides=1 if k == 1 else 2)
        for k, depth in enumerate(depths, 1)
    }
    return nn.serial(**_stem(stem, width), **stages, avgpool=nn.global_avg_pool(), fc=nn.linear(num_classes))


def _stem(kind: str, width: int) -> dict[str, nn.Layer]:
    if kind == "imagenet":
        return {
            "conv1": _conv(width, 7, 2),
            "bn1": nn.batch_norm(),
            "relu": nn.relu(),
            "maxpool": nn.max_pool(3, 2, padding=1),
        }
    if kind == "small":
        return {"conv1": _conv(width, 3, 1), "bn1": nn.batch_norm(), "relu": nn.relu()}
    raise ValueError(f"resnet: stem must be 'imagenet' or 'small', got {kind!r}")


def _stage(block: Block, width: int, depth: int, strides: int) -> nn.Layer:
    return nn.serial(block(width, strides, True), *(block(width, 1, False) for _ in range(1, depth)))


def _basic(width: int, strides: int, first: bool) -> nn.Layer:
    body = nn.serial(
        conv1=_conv(width, 3, strides),
        bn1=nn.batch_norm(),
        relu=nn.relu(),
        conv2=_conv(width, 3, 1),
        bn2=nn.batch_norm(),
    )
    return nn.residual(body, _shortcut(width, strides) if strides > 1 else None)


def _bottleneck(width: int, strides: int, first: bool, inner: int | None = None, groups: int = 1) -> nn.Layer:
    inner = inner or width
    body = nn.serial(
        conv1=_conv(inner, 1, 1),
        bn1=nn.batch_norm(),
        relu=nn.relu(),
        conv2=_conv(inner, 3, strides, groups),
        bn2=nn.batch_norm(),
        relu2=nn.relu(),
        conv3=_conv(EXPANSION * width, 1, 1),
        bn3=nn.batch_norm(),
    )
    return nn.residual(body, _shortcut(EXPANSION * width, strides) if first else None)


def _shortcut(features: int, strides: int) -> nn.Layer:
    return nn.serial(_conv(features, 1, strides), nn.batch_norm())


def _conv(features: int, size: int, strides: int, groups: int = 1) -> nn.Layer:
    return nn.conv2d(
        features, size, strides, padding=size // 2, bias=False, initial_weights=he_normal_out, groups=groups
    )
