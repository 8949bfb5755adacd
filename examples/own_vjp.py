"""A gradient of your own with `lwps.custom_vjp`: the value passes as it is, its cotangent is kept within a norm.

Put between the steps of a recurrent network it keeps gradients from exploding on their way back through time. Clipping
after the fact (`optim.clip_by_global_norm`) comes too late for that: where the cotangents have overflowed there is
nothing left to scale.
"""

import numpy as np

import lwps
import lwps.numpy as lnp


def bounded(limit):
    """The function x -> x whose cotangent is scaled down to the norm `limit` where it is larger."""

    @lwps.custom_vjp
    def identity(x):
        return x

    def forward(x):
        return x, ()  # the value, and what the backward function wants to know of it: nothing

    def backward(residuals, ct):
        norm = lnp.sqrt((ct * ct).sum())
        return (ct * (limit / lnp.maximum(norm, limit)),)  # one cotangent for each argument

    identity.defvjp(forward, backward)
    return identity


def slopes(steps, between=lambda h: h):
    """The gradient of a sum by the first state of a network of so many steps, whose weights are too large."""
    rng = np.random.default_rng(0)
    h = rng.standard_normal(32, np.float32) / 100
    w = rng.standard_normal((32, 32), np.float32) / 2

    def loss(h):
        for _ in range(steps):
            h = between(h @ w)
        return h.sum()

    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(lwps.jit(lwps.grad(loss), placement="cpu")(h))


def main(steps=(1, 5, 20, 100)):
    print("steps   norm of the gradient   with bounded(1.0)")
    rows = [(n, np.linalg.norm(slopes(n)), np.linalg.norm(slopes(n, bounded(1.0)))) for n in steps]
    for row in rows:
        print("{:5} {:22.3g} {:19.3g}".format(*row))
    return rows


if __name__ == "__main__":
    main()
