"""A convolutional autoencoder: images squeezed to a code of few channels and drawn again from it."""

from collections.abc import Sequence
from typing import Any

from lwps import nn


def conv_autoencoder(channels: int = 1, widths: Sequence[int] = (16, 32), code: int = 8) -> nn.Layer:
    """images[N, H, W, channels] -> images of the same shape, by way of [N, H / 2^k, W / 2^k, code] for k widths.

    The parts are named "encoder" and "decoder". Each has a convolution with batch normalisation for every width: of
    strides 2 on the way down, transposed on the way up. Sides must be multiples of 2^k. 14,409 parameters for one
    channel and the widths above. Train it with `optim.losses.mean_squared_error`; results have no bounds.
    """
    if len(widths) == 0:
        raise ValueError(f"conv_autoencoder: widths must name at least one layer, got {tuple(widths)}")
    down = [part for width in widths for part in (nn.conv2d(width, 3, 2), nn.batch_norm(), nn.relu())]
    up = [part for width in widths[::-1] for part in (nn.conv2d_transpose(width, 3, 2), nn.batch_norm(), nn.relu())]
    model = nn.serial(encoder=nn.serial(*down, nn.conv2d(code, 3)), decoder=nn.serial(*up, nn.conv2d(channels, 3)))

    def check(shape: Sequence[int]) -> None:
        if any(n % 2 ** len(widths) for n in shape[1:3]):
            raise TypeError(
                f"conv_autoencoder: sides of images must be multiples of {2 ** len(widths)}, got {tuple(shape)}"
            )

    def init(key: Any, aval: Any) -> tuple[Any, Any, Any]:
        check(aval.shape)
        return model.init(key, aval)

    def apply(params: Any, state: Any, x: Any, *, train: bool, key: Any = None) -> tuple[Any, Any]:
        check(x.shape)
        return model.apply(params, state, x, train=train, key=key)

    return nn.Layer(init, apply)
