"""Models beside torchvision's of the same name: logits, running statistics and gradients from the same weights.

    pip install torch torchvision  (CPU builds will do), then
    python tests/bench/models_vs_torch.py [--batch 4] [--image-size 64] [NAME ...]

Errors are distances from torchvision's model in float64, by the norm of what is compared; behind each that of its
float32. Exits with 1 where lwps is more than ten times as far, or where parameters have other names or shapes. At a
relu's kink rounding decides which way a gradient goes, so one run may have no such element and another a few:
gradients are let be within a tenth.
"""

import argparse
import sys

import numpy as np
import torch
from torchvision.models.mobilenetv2 import mobilenet_v2
from torchvision.models.resnet import resnet18, resnet34, resnet50, resnet101, resnet152, resnext50_32x4d

import lwps
from lwps import models, tree

# dropout draws other numbers in each, so it is left out
MODELS = {
    "resnet18": (models.resnet18, resnet18),
    "resnet34": (models.resnet34, resnet34),
    "resnet50": (models.resnet50, resnet50),
    "resnet101": (models.resnet101, resnet101),
    "resnet152": (models.resnet152, resnet152),
    "resnext50": (models.resnext50, resnext50_32x4d),
    "mobilenet_v2": (lambda: models.mobilenet_v2(dropout=0.0), lambda: mobilenet_v2(dropout=0.0)),
}
NAMES = {"w": "weight", "b": "bias", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}

FLOORS = {"logits": 1e-7, "state": 1e-7, "gradients": 1e-2}  # what PyTorch's float32 is taken to be apart at least


def named(values):
    """(torchvision's name, value in PyTorch's order of axes) of every leaf of params, state or gradients."""
    for path, value in zip(tree.paths(values), tree.leaves(values), strict=True):
        value = np.array(value)
        turned = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
        yield ".".join((*path[:-1], NAMES[path[-1]])), turned


def loaded(make, params, state, dtype):
    """Their model with our weights; RuntimeError where names or shapes differ."""
    net = make()
    weights = {k: torch.from_numpy(np.ascontiguousarray(v)) for part in (params, state) for k, v in named(part)}
    counts = {k: v for k, v in net.state_dict().items() if k.endswith("num_batches_tracked")}
    net.load_state_dict({**counts, **weights})
    return net.to(dtype)


def by_torch(net, x, ct, train):
    """Logits, gradients by name, and the state behind them."""
    dtype = next(net.parameters()).dtype
    net.train(train)
    y = net(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(dtype))
    net.zero_grad()
    (y * torch.from_numpy(ct).to(dtype)).sum().backward()
    return {
        "logits": y.detach().numpy(),
        "gradients": {k: p.grad.numpy() for k, p in net.named_parameters()},
        "state": {k: v.numpy() for k, v in net.named_buffers() if not k.endswith("tracked")},
    }


def by_lwps(model, params, state, x, ct, train, processor):
    def step(params, state, x, ct):
        def loss(params):
            y, new_state = model.apply(params, state, x, train=train)
            return (y * ct).sum(), (y, new_state)

        (_, (y, new_state)), grads = lwps.value_and_grad(loss, has_aux=True)(params)
        return y, grads, new_state

    y, grads, new_state = lwps.jit(step, placement=processor)(params, state, x, ct)
    return {"logits": np.asarray(y), "gradients": dict(named(grads)), "state": dict(named(new_state))}


def distance(found, wanted):
    """By the norm of what is wanted, over all arrays."""
    if not isinstance(wanted, dict):
        found, wanted = {"": found}, {"": wanted}
    apart = sum(np.sum((found[k].astype(np.float64) - wanted[k]) ** 2) for k in wanted)
    return float(np.sqrt(apart / sum(np.sum(v**2.0) for v in wanted.values())))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)}; default: all")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=64)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((options.batch, options.image_size, options.image_size, 3), np.float32)
    ct = rng.standard_normal((options.batch, 1000), np.float32)
    wrong = 0
    for name in options.names or MODELS:
        ours, theirs = MODELS[name]
        model = ours()
        params, state, _ = model.init(lwps.random.key(0), lwps.ShapedArray(x.shape, "float32"))
        for train in (False, True):
            double, single = (
                by_torch(loaded(theirs, params, state, dtype), x, ct, train) for dtype in (torch.float64, torch.float32)
            )
            for processor in lwps.default_machine().names:
                found = by_lwps(model, params, state, x, ct, train, processor)
                cells = []
                for part, wanted in double.items():
                    mine, theirs_32 = distance(found[part], wanted), distance(single[part], wanted)
                    wrong += mine > 10 * max(theirs_32, FLOORS[part])
                    cells.append(f"{part} {mine:.1e} ({theirs_32:.1e})")
                print(f"{name:12} {'train' if train else 'eval':5} {processor:6} {'  '.join(cells)}", flush=True)
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
