"""A U-Net that finds discs and boxes in noise: pictures made up as they are needed, a class for each pixel.

python examples/unet_shapes.py
"""

import numpy as np

import lwps
from lwps import models, optim

CLASSES = ("nothing", "disc", "box")
MARKS = ".o#"


def pictures(rng, batch, size):
    """(images float32[batch, size, size, 1], classes int32[batch, size, size]): a disc and a box, and noise."""
    rows, columns = np.arange(size)[:, None], np.arange(size)[None, :]
    # one in the left half, the other in the right one
    side = rng.permuted(np.array([[1, 3]] * batch), axis=1).T[..., None, None] * (size // 4)
    middle = rng.integers(size // 4, size - size // 4, (2, batch, 1, 1))
    extent = rng.integers(size // 8, size // 4, (2, batch, 1, 1))
    down, right = np.abs(rows - middle), np.abs(columns - side)
    disc = down[0] ** 2 + right[0] ** 2 <= extent[0] ** 2
    box = np.maximum(down[1], right[1]) < extent[1]
    classes = np.where(box, 2, np.where(disc, 1, 0)).astype(np.int32)
    # both are equally bright: only their outlines tell them apart
    images = (classes > 0) + 0.3 * rng.standard_normal(classes.shape)
    return images[..., None].astype(np.float32), classes


def train_step_of(model, opt):
    def train_step(params, state, opt_state, images, classes):
        def loss_fn(params):
            logits, new_state = model.apply(params, state, images, train=True)
            losses = optim.losses.softmax_cross_entropy_with_integer_labels(logits, classes)
            return losses.mean(), new_state

        (loss, new_state), grads = lwps.value_and_grad(loss_fn, has_aux=True)(params)
        updates, opt_state = opt.update(grads, opt_state, params)
        return optim.apply_updates(params, updates), new_state, opt_state, loss

    return train_step


def overlaps(found, classes):
    """Of each class: pixels found rightly, by pixels that are found or are there (intersection over union)."""
    pairs = [(found == k, classes == k) for k in range(len(CLASSES))]
    return [float((a & b).sum() / max(1, (a | b).sum())) for a, b in pairs]


def drawn(*classes):
    """Classes side by side, in characters."""
    return "\n".join("   ".join("".join(MARKS[k] for k in row) for row in rows) for rows in zip(*classes, strict=True))


def main(steps=300, batch=16, size=32, widths=(8, 16, 32), placement="auto"):
    rng = np.random.default_rng(0)
    model, opt = models.unet(len(CLASSES), widths), optim.adam(5e-3)
    params, state, _ = model.init(lwps.random.key(0), lwps.ShapedArray((batch, size, size, 1), "float32"))
    opt_state = opt.init(params)
    step = lwps.jit(train_step_of(model, opt), placement=placement, donate_argnums=(0, 1, 2))
    for k in range(steps):
        params, state, opt_state, loss = step(params, state, opt_state, *pictures(rng, batch, size))
        if k % 50 == 0:
            print(f"step {k}: loss {float(loss):.3f}")

    segment = lwps.jit(lambda params, state, x: model.apply(params, state, x, train=False)[0].argmax(-1))
    images, classes = pictures(rng, batch, size)
    found = np.array(segment(params, state, images))
    print("what is there, and what was found:")
    print(drawn(classes[0], found[0]))
    shares = overlaps(found, classes)
    print("overlap:", ", ".join(f"{name} {share:.2f}" for name, share in zip(CLASSES, shares, strict=True)))
    return shares


if __name__ == "__main__":
    main()
