"""Training that is cut off and goes on: what a file must hold so that it ends with the bits of one that ran through.

python examples/save_resume.py
"""

import tempfile
from pathlib import Path

import numpy as np

import lwps
from lwps import nn, optim
from lwps.data import digits

BATCH, SEED = 64, 0


def model_and_optimizer():
    model = nn.serial(nn.conv2d(8, 3), nn.batch_norm(), nn.relu(), nn.global_avg_pool(), nn.linear(10))
    return model, optim.adamw(1e-2)


def train_step(params, state, opt_state, images, labels):
    model, opt = model_and_optimizer()

    def loss_fn(params):
        logits, new_state = model.apply(params, state, images, train=True)
        losses = optim.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), new_state

    (loss, new_state), grads = lwps.value_and_grad(loss_fn, has_aux=True)(params)
    updates, opt_state = opt.update(grads, opt_state, params)
    return optim.apply_updates(params, updates), new_state, opt_state, loss


def begin():
    """The values that a step takes and gives: parameters, running moments, the optimizer's moments."""
    model, opt = model_and_optimizer()
    params, state, _ = model.init(lwps.random.key(SEED), lwps.ShapedArray((BATCH, 8, 8, 1), "float32"))
    return params, state, opt.init(params)


def run(values, first, last, placement):
    """The values after the steps from `first` on, and the loss of each; which examples a step takes is its number's."""
    data = digits()
    step = lwps.jit(train_step, placement=placement, donate_argnums=(0, 1, 2))
    losses = []
    for k in range(first, last):
        *values, loss = step(*values, *data.batch(k, BATCH, SEED))
        losses.append(float(loss))
    return values, losses


def main(steps=60, placement="cpu"):
    # the same placement in both runs: processors round differently
    through, losses = run(begin(), 0, steps, placement)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.safetensors"
        half = steps // 2
        values, before = run(begin(), 0, half, placement)
        lwps.save(path, values, step=half, seed=SEED)
        print(f"saved after step {half}: {path.stat().st_size} bytes")
        del values

        # as in a new process: the structure comes from the code, the numbers from the file
        values, step = lwps.load(path, like=list(begin())), lwps.load_metadata(path)["step"]
        resumed, after = run(values, step, steps, placement)

    same = [np.array_equal(x, y) for x, y in zip(lwps.tree.leaves(through), lwps.tree.leaves(resumed), strict=True)]
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}; {sum(same)} of {len(same)} arrays have the same bits")
    return losses, before + after, all(same)


if __name__ == "__main__":
    main()
