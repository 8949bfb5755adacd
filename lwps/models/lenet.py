"""LeNet-5 (LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998)."""

from lwps import nn


def lenet5(num_classes: int = 10, image_size: int = 28) -> nn.Layer:
    """images[N, 28 or 32, 28 or 32, C] -> logits[N, num_classes]; 61,706 parameters for ten classes and C = 1.

    The sizes of the paper (its images of 28 pixels stand in a frame of 32: `conv1` pads them by 2), with today's
    parts: relu for tanh, max-pool for its trained averages, every map of `conv2` from all of `conv1`, and logits for
    distances to drawn digits. Larger images work too and need more parameters.
    """
    if image_size < 28:
        raise ValueError(
            f"lenet5: images must have at least 28 pixels a side, got {image_size}; use data.fit(dataset, 28)"
        )
    return nn.serial(
        conv1=nn.conv2d(6, 5, padding=2 if image_size < 32 else 0),
        relu1=nn.relu(),
        pool1=nn.max_pool(2),
        conv2=nn.conv2d(16, 5, padding=0),
        relu2=nn.relu(),
        pool2=nn.max_pool(2),
        flatten=nn.flatten(),
        fc1=nn.linear(120),
        relu3=nn.relu(),
        fc2=nn.linear(84),
        relu4=nn.relu(),
        fc3=nn.linear(num_classes),
    )
