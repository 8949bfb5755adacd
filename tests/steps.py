"""Small training steps that tests run through every stage."""

import itertools

import numpy as np

import lwps
from lwps import optim
from lwps.ops import elementwise as ew
from lwps.ops.matmul import matmul


def mlp_params(sizes=(6, 5, 3), seed=0):
    rng = np.random.default_rng(seed)
    return [
        {"w": rng.standard_normal((m, n), np.float32) * 0.5, "b": rng.standard_normal(n, np.float32) * 0.1}
        for m, n in itertools.pairwise(sizes)
    ]


def mlp(params, x):
    for k, layer in enumerate(params):
        with lwps.layer(f"dense{k}"):
            x = ew.add(matmul(x, layer["w"]), layer["b"])
            if k < len(params) - 1:
                x = ew.tanh(x)
    return x


def mlp_step(params, momenta, x, y, lr):
    def loss_fn(params):
        return ew.square(mlp(params, x) - y).mean()

    loss, grads = lwps.value_and_grad(loss_fn)(params)
    opt = optim.sgd(lr, momentum=0.9)
    updates, momenta = opt.update(grads, momenta, params)
    return optim.apply_updates(params, updates), momenta, loss


def mlp_args(batch=4, sizes=(6, 5, 3), seed=0):
    rng = np.random.default_rng(seed + 1)
    params = mlp_params(sizes, seed)
    x = rng.standard_normal((batch, sizes[0]), np.float32)
    y = rng.standard_normal((batch, sizes[-1]), np.float32)
    return params, optim.sgd(0.1, momentum=0.9).init(params), x, y, np.float32(0.1)
