"""A two-layer perceptron from ops alone: trace, look, profile, place, run.

python examples/mlp_from_ops.py
"""

import numpy as np

import lwps
import lwps.numpy as lnp
from lwps.data import digits


def init(key, sizes=(64, 128, 10)):
    """He-normal weights, zero biases."""
    keys = lwps.random.split(key, len(sizes) - 1)
    return [
        {"w": lwps.random.normal(k, (m, n)) * np.float32(np.sqrt(2 / m)), "b": np.zeros(n, np.float32)}
        for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def logits_of(params, x):
    for k, layer in enumerate(params):
        with lwps.layer(f"dense{k}"):
            x = x @ layer["w"] + layer["b"]
            x = lnp.maximum(x, 0) if k < len(params) - 1 else x
    return x


def train_step(params, images, labels, lr):
    def loss_fn(params):
        losses = lwps.optim.losses.softmax_cross_entropy_with_integer_labels(logits_of(params, images), labels)
        return losses.mean()

    loss, grads = lwps.value_and_grad(loss_fn)(params)
    return lwps.tree.map(lambda p, g: p - lr * g, params, grads), loss


def main(epochs=20, batch=128):
    data = digits()
    images, labels = data.train_images.reshape(-1, 64), data.train_labels
    params, lr = init(lwps.random.key(0)), np.float32(0.1)

    # every stage by hand; lwps.jit(train_step, donate_argnums=(0,)) does the same behind one call
    program = lwps.optimize(lwps.trace(train_step, params, images[:batch], labels[:batch], lr, donate_argnums=(0,)))
    print(program)
    machine = lwps.Machine.detect()
    profile = lwps.profile(program, machine, (params, images[:batch], labels[:batch], lr))
    policy = "mincut" if len(machine.names) == 2 else "cpu"
    placement = lwps.place(program, profile, policy=policy)
    for name, processor in zip(program.names, placement.processors, strict=True):
        print(f"{processor or 'view':8} {name}")
    run = lwps.compile(program, placement, machine)

    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(len(images))
        for k in range(0, len(images) - batch + 1, batch):
            at = order[k : k + batch]
            params, loss = run(params, images[at], labels[at], lr)
        print(f"epoch {epoch}: loss {float(loss):.3f}")
    scores = logits_of([{k: np.asarray(v) for k, v in p.items()} for p in params], data.test_images.reshape(-1, 64))
    accuracy = float((scores.argmax(-1) == data.test_labels).mean())
    print(f"test accuracy {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
