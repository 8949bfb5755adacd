"""Training steps of ResNet-18 (32-pixel stem) by lwps and by PyTorch, from the same weights: the losses.

    pip install torch  (a CPU build will do), then
    python -m tests.bench.resnet18_vs_torch [--placement auto] [--memory copy] [--steps 10] [--digits] [--plain-init]

Ten steps on images of normals in batches of 16; 10 classes, lr 0.01, momentum 0.9, seed 0. The last batch-norm of each
block begins at scale 0 (torchvision's `zero_init_residual`). Exits with 1 where a loss differs by more than 1e-3 from
PyTorch's. PyTorch's own run in float64 is printed beside it, since two float32 runs part where rounding decides on
which side of a relu's kink a value falls: with `--digits` whole areas of one value sit at a kink together, and
PyTorch's float32 is 5e-3 from its float64; with `--plain-init` (all scales 1) 4e-2, and nothing can be compared.
"""

import argparse
import sys

import numpy as np
import torch
from torch import nn as tnn

import lwps
from lwps.train import train_step_of
from tests.bench.resnet18 import LR, MOMENTUM, digits_batches, random_batches, start


class Block(tnn.Module):
    """The basic residual block of He et al., 2015."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = tnn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = tnn.BatchNorm2d(cout)
        self.conv2 = tnn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = tnn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = tnn.Sequential(tnn.Conv2d(cin, cout, 1, stride, bias=False), tnn.BatchNorm2d(cout))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Net(tnn.Module):
    """ResNet-18 with a 3x3 stem for small images."""

    def __init__(self, channels, classes):
        super().__init__()
        self.conv1, self.bn1 = tnn.Conv2d(channels, 64, 3, 1, 1, bias=False), tnn.BatchNorm2d(64)
        widths = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
        for k, (cin, cout, stride) in enumerate(widths, 1):
            setattr(self, f"layer{k}", tnn.Sequential(Block(cin, cout, stride), Block(cout, cout, 1)))
        self.fc = tnn.Linear(512, classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        for k in range(1, 5):
            x = getattr(self, f"layer{k}")(x)
        return self.fc(x.mean((2, 3)))


def named_leaves(params, prefix=()):
    """(path, array) of a nested dict of arrays."""
    for key, value in params.items():
        if isinstance(value, dict):
            yield from named_leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), np.asarray(value)


def load_weights(net, params):
    """Copy lwps's parameters into the PyTorch net, by name."""
    targets = {**dict(net.named_parameters())}
    names = {"w": "weight", "scale": "weight", "b": "bias", "bias": "bias", "weight": "weight"}
    seen = set()
    for path, value in named_leaves(params):
        name = ".".join((*path[:-1], names[path[-1]]))
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T if value.ndim == 2 else value
        target = targets[name]
        assert tuple(target.shape) == value.shape, (name, target.shape, value.shape)
        with torch.no_grad():
            target.copy_(torch.from_numpy(np.ascontiguousarray(value)))
        seen.add(name)
    assert seen == set(targets), set(targets) - seen


class Peer:
    """The same training by PyTorch."""

    def __init__(self, params, dtype, channels):
        self.net = Net(channels, 10).to(dtype)
        load_weights(self.net, params)
        self.dtype = dtype
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=LR, momentum=MOMENTUM)

    def step(self, images, labels):
        self.optimizer.zero_grad()
        x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(self.dtype)
        loss = tnn.functional.cross_entropy(self.net(x), torch.from_numpy(labels).long())
        loss.backward()
        self.optimizer.step()
        return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--placement", default="auto")
    parser.add_argument("--memory", default=None)
    parser.add_argument("--digits", action="store_true", help="the digits that lwps ships instead of normals")
    parser.add_argument("--plain-init", action="store_true", help="all scales of batch-norm begin at 1")
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    data = list(digits_batches(options.steps, 16) if options.digits else random_batches(options.steps, 16))
    model, params, state = start(data[0][0].shape, zero_residual=not options.plain_init)
    peers = [Peer(params, dtype, data[0][0].shape[-1]) for dtype in (torch.float32, torch.float64)]

    def optimizer(lr):
        return lwps.optim.sgd(lr, MOMENTUM)

    machine = lwps.Machine.detect(memory=options.memory)
    step = lwps.jit(
        train_step_of(model, optimizer), placement=options.placement, donate_argnums=(0, 1, 2), machine=machine
    )
    opt_state = optimizer(LR).init(params)
    worst = 0.0
    for k, (images, labels) in enumerate(data):
        params, state, opt_state, loss, _ = step(params, state, opt_state, images, labels, np.float32(LR))
        single, double = (peer.step(images, labels) for peer in peers)
        worst = max(worst, abs(float(loss) - single))
        print(
            f"step {k}: lwps {float(loss):.6f}  PyTorch {single:.6f}, in float64 {double:.6f}"
            f"  from float64: lwps {abs(float(loss) - double):.1e}, PyTorch {abs(single - double):.1e}"
        )
    print(f"lwps from PyTorch: at most {worst:.1e} (limit 1e-3), placement {options.placement}, {machine.describe()}")
    return worst > 1e-3


if __name__ == "__main__":
    sys.exit(main())
