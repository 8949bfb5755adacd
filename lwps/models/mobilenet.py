"""MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov, Chen, "Inverted residuals and linear bottlenecks", CVPR 2018).

Layers are named, sized, padded and begun as torchvision's; but the classifier begins as `nn.linear` does.
"""

from lwps import nn
from lwps.nn.initial import he_normal_out

# expansion, features, blocks, strides of the first: table 2 of the paper
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
FIRST, LAST = 32, 1280  # features of the stem and behind the stages
SMALL_STEM = 2  # stages, the stem being one, that keep the size of small images


def mobilenet_v2(num_classes: int = 1000, stem: str = "imagenet", width: float = 1.0, dropout: float = 0.2) -> nn.Layer:
    """images[N, H, W, C] -> logits[N, num_classes]; 3,504,872 parameters for 1000 classes and C = 3.

    `stem`: "imagenet" leaves 1/32 of H and W; "small", for images of 64 pixels or less, has no strides in the stem and
    in the first stage that has them, and leaves 1/8. `width` multiplies all features but the last, which do not become
    fewer. Training needs a key, for the dropout before the classifier.
    """
    if stem not in ("imagenet", "small"):
        raise ValueError(f"mobilenet_v2: stem must be 'imagenet' or 'small', got {stem!r}")
    if not width > 0:
        raise ValueError(f"mobilenet_v2: width must be above 0, got {width}")
    keep = stem == "small"  # the size of the images, in the stem and at the first strides
    features = _rounded(FIRST * width)
    blocks = [_conv(features, 3, 1 if keep else 2)]
    for stage, (expansion, wanted, depth, strides) in enumerate(STAGES, 1):
        for k in range(depth):
            steps = strides if k == 0 and not (keep and stage <= SMALL_STEM) else 1
            blocks.append(_block(features, _rounded(wanted * width), expansion, steps))
            features = _rounded(wanted * width)
    blocks.append(_conv(_rounded(LAST * max(1.0, width)), 1, 1))
    return nn.serial(
        features=nn.serial(*blocks),
        avgpool=nn.global_avg_pool(),
        classifier=nn.serial(nn.dropout(dropout), nn.linear(num_classes)),
    )


def _rounded(features: float) -> int:
    """The nearest multiple of 8, at least 8, and not below nine tenths of what was asked for."""
    found = max(8, int(features + 4) // 8 * 8)
    return found + 8 if found < 0.9 * features else found


def _conv(features: int, size: int, strides: int) -> nn.Layer:
    conv = nn.conv2d(features, size, strides, padding=size // 2, bias=False, initial_weights=he_normal_out)
    return nn.serial(conv, nn.batch_norm(), nn.relu6())


def _block(inputs: int, outputs: int, expansion: int, strides: int) -> nn.Layer:
    """An inverted residual: expanded by a 1x1 convolution, one window a channel, and projected without activation."""
    expanded = [_conv(inputs * expansion, 1, 1)] if expansion != 1 else []
    depthwise = nn.depthwise_conv2d(3, strides, padding=1, bias=False, initial_weights=he_normal_out)
    body = nn.serial(
        conv=nn.serial(
            *expanded,
            nn.serial(depthwise, nn.batch_norm(), nn.relu6()),
            nn.conv2d(outputs, 1, bias=False, initial_weights=he_normal_out),
            nn.batch_norm(),
        )
    )
    return nn.residual(body, after=lambda x: x) if strides == 1 and inputs == outputs else body
