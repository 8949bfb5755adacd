"""A recurrent network that adds: of a sequence of numbers, the sum of the two that are marked (Hochreiter 1997).

python examples/gru_adding.py
"""

import numpy as np

import lwps
import lwps.numpy as lnp
from lwps import nn, optim


def sequences(rng, batch, length):
    """x[batch, length, 2], numbers from 0 to 1 and marks, and the sums y[batch] of the two numbers marked."""
    numbers = rng.uniform(0, 1, (batch, length)).astype(np.float32)
    marks = np.zeros((batch, length), np.float32)
    rows = np.arange(batch)
    marks[rows, rng.integers(0, length // 2, batch)] = 1
    marks[rows, rng.integers(length // 2, length, batch)] = 1
    return np.stack([numbers, marks], -1), (numbers * marks).sum(1)


def model_of(features):
    """Sequences [N, T, 2] to a number for each step [N, T, 1]; the last one is the answer."""
    return nn.serial(gru=nn.gru(features), out=nn.linear(1))


def train_step_of(model, opt):
    def train_step(params, state, opt_state, x, y):
        def loss_fn(params):
            every_step, new_state = model.apply(params, state, x, train=True)
            return lnp.mean((every_step[:, -1, 0] - y) ** 2), new_state

        (loss, new_state), grads = lwps.value_and_grad(loss_fn, has_aux=True)(params)
        updates, opt_state = opt.update(grads, opt_state, params)
        return optim.apply_updates(params, updates), new_state, opt_state, loss

    return train_step


def main(steps=800, batch=64, length=16, features=32, placement="auto"):
    rng = np.random.default_rng(0)
    model = model_of(features)
    opt = optim.chain(optim.clip_by_global_norm(1.0), optim.adam(1e-2))  # a loop of steps may make gradients explode
    params, state, _ = model.init(lwps.random.key(0), lwps.ShapedArray((batch, length, 2), "float32"))
    opt_state = opt.init(params)
    step = lwps.jit(train_step_of(model, opt), placement=placement, donate_argnums=(0, 1, 2))
    losses = []
    for k in range(steps):
        params, state, opt_state, loss = step(params, state, opt_state, *sequences(rng, batch, length))
        losses.append(float(loss))
        if k % 100 == 0:
            print(f"step {k}: mean squared error {losses[-1]:.4f}")
    print(f"always answering 1 has {1 / 6:.4f}, the network {np.mean(losses[-20:]):.4f}")
    program = step.compiled.program
    print(f"{length} steps of the network are {len(program.eqns)} eqns, placed as {step.compiled.placement.counts()}")
    return losses


if __name__ == "__main__":
    main()
