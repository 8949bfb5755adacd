"""A denoising autoencoder: digits squeezed to 16 numbers, and drawn again without the noise that was put on them.

python examples/autoencoder.py
"""

import numpy as np

import lwps
from lwps import nn, optim
from lwps.data import digits

CODE = 16  # numbers that a digit of 64 pixels is squeezed to
NOISE = 0.5  # standard deviation of what is put on pixels of standard deviation 1
GREYS = " .:-=+*#%@"


def autoencoder():
    """x[N, 64] -> y[N, 64]."""
    encoder = nn.serial(nn.linear(64), nn.tanh(), nn.linear(CODE))
    decoder = nn.serial(nn.linear(64), nn.tanh(), nn.linear(64))
    return nn.serial(encoder=encoder, decoder=decoder)


def train_step_of(model, opt):
    def train_step(params, state, opt_state, x, key):
        noisy = x + NOISE * lwps.random.normal(key, x.shape)

        def loss_fn(params):
            y, new_state = model.apply(params, state, noisy, train=True)
            return optim.losses.mean_squared_error(y, x).mean(), new_state

        (loss, new_state), grads = lwps.value_and_grad(loss_fn, has_aux=True)(params)
        updates, opt_state = opt.update(grads, opt_state, params)
        return optim.apply_updates(params, updates), new_state, opt_state, loss

    return train_step


def drawn(*images):
    """Images of 8x8 pixels side by side, in characters."""
    low, high = min(x.min() for x in images), max(x.max() for x in images)
    levels = [((x - low) / (high - low) * (len(GREYS) - 1)).astype(int).reshape(8, 8) for x in images]
    return "\n".join("   ".join("".join(GREYS[v] for v in x[row]) for x in levels) for row in range(8))


def main(steps=600, batch=128, placement="auto"):
    data = digits()
    train, test = data.train_images.reshape(-1, 64), data.test_images.reshape(-1, 64)
    model, opt, key = autoencoder(), optim.adam(3e-3), lwps.random.key(0)
    params, state, _ = model.init(key, lwps.ShapedArray((batch, 64), "float32"))
    step = lwps.jit(train_step_of(model, opt), placement=placement, donate_argnums=(0, 1, 2))
    opt_state = opt.init(params)
    rng = np.random.default_rng(0)
    for k in range(steps):
        x = train[rng.integers(0, len(train), batch)]
        params, state, opt_state, loss = step(params, state, opt_state, x, lwps.random.fold_in(key, k))
        if k % 100 == 0:
            print(f"step {k}: loss {float(loss):.3f}")
    noisy = test + NOISE * rng.standard_normal(test.shape, np.float32)
    params = lwps.tree.map(np.asarray, params)
    y, _ = model.apply(params, state, noisy, train=False)
    error = float(np.mean((y - test) ** 2))
    print("digits, with noise, and drawn again from", CODE, "numbers:")
    for k in range(3):
        print(drawn(test[k], noisy[k], y[k]), end="\n\n")
    print(f"mean squared error: {error:.3f}; of the noise itself {NOISE**2:.3f}")
    return error


if __name__ == "__main__":
    main()
