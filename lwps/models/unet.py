"""U-Net (Ronneberger, Fischer, Brox, "Convolutional networks for biomedical image segmentation", MICCAI 2015)."""

from collections.abc import Sequence

from lwps import nn


def unet(num_classes: int, widths: Sequence[int] = (16, 32, 64, 128)) -> nn.Layer:
    """images[N, H, W, C] -> logits[N, H, W, num_classes]: one for each pixel and class.

    `widths` are the features of each level, the largest images first; a level has half the height and width of the one
    above. Sides must be multiples of 2^(levels - 1). 482,754 parameters for two classes, C = 3 and the widths above;
    the paper's widths are (64, 128, 256, 512, 1024). As in most of today's, convolutions keep the size of their images
    and are followed by batch normalisation.
    """
    if len(widths) == 0:
        raise ValueError(f"unet: widths must name at least one level, got {tuple(widths)}")
    return nn.serial(levels=_level(widths), head=nn.conv2d(num_classes, 1))


def _level(widths: Sequence[int]) -> nn.Layer:
    """Two convolutions; if there are levels below, what those make of half the size is put beside, and two more."""
    width, *below = widths
    if not below:
        return _two_convolutions(width)
    inner = nn.serial(pool=nn.max_pool(2), below=_level(below), up=nn.conv2d_transpose(width, 2, 2))
    return nn.serial(down=_two_convolutions(width), inner=nn.skip(inner), merge=_two_convolutions(width))


def _two_convolutions(features: int) -> nn.Layer:
    return nn.serial(
        conv1=nn.conv2d(features, 3, bias=False),
        bn1=nn.batch_norm(),
        relu1=nn.relu(),
        conv2=nn.conv2d(features, 3, bias=False),
        bn2=nn.batch_norm(),
        relu2=nn.relu(),
    )
