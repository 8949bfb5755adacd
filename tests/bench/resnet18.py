"""What the benches of ResNet-18 training share: a start from which float32 runs stay together, and batches."""

import numpy as np

import lwps
from lwps.core import ShapedArray
from lwps.data import batches, digits, fit
from lwps.models import resnet18

LR, MOMENTUM = 0.01, 0.9


def start(shape, classes=10, *, zero_residual=True):
    """(model, params, state) of ResNet-18 with the 32-pixel stem, by seed 0.

    With `zero_residual` the last batch-norm of each block begins at scale 0, so that a block begins as its shortcut
    (Goyal et al., "Accurate, large minibatch SGD", 2017, section 5.1; torchvision's `zero_init_residual`). Without,
    training amplifies rounding a hundredfold a step: PyTorch's own float32 and float64 losses are 3e-2 apart at step 3.
    """
    model = resnet18(classes, stem="small")
    params, state, _ = model.init(lwps.random.key(0), ShapedArray(shape, "float32"))
    if zero_residual:
        leaves, structure = lwps.tree.flatten(params)
        paths = lwps.tree.paths(params)
        leaves = [x * 0 if path[-2:] == ("bn2", "scale") else x for path, x in zip(paths, leaves, strict=True)]
        params = lwps.tree.unflatten(structure, leaves)
    return model, params, state


def random_batches(steps, batch, channels=3):
    """Images of normals and labels, by seed 0: no two values alike, so that a relu's kink meets one value at a time."""
    rng = np.random.default_rng(0)
    for _ in range(steps):
        yield rng.standard_normal((batch, 32, 32, channels), np.float32), rng.integers(0, 10, batch, np.int32)


def digits_batches(steps, batch):
    """The digits that lwps ships, enlarged to 32 pixels. Whole areas of one value sit at a kink together."""
    rows = batches(fit(digits(), 32), batch, seed=0, epoch=0)
    return [row for _, row in zip(range(steps), rows, strict=False)]
