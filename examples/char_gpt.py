"""A small GPT that learns to write like a module of the standard library, a character at a time.

python examples/char_gpt.py
"""

import textwrap

import numpy as np

import lwps
from lwps import data, models, optim
from lwps.train import sample

SOURCE = textwrap.__file__  # a text that comes with every Python


def train_step_of(model, opt):
    def train_step(params, state, opt_state, tokens, following, key):
        def loss_fn(params):
            logits, new_state = model.apply(params, state, tokens, train=True, key=key)
            losses = optim.losses.softmax_cross_entropy_with_integer_labels(logits, following)
            return losses.mean(), new_state

        (loss, new_state), grads = lwps.value_and_grad(loss_fn, has_aux=True)(params)
        updates, opt_state = opt.update(grads, opt_state, params)
        return optim.apply_updates(params, updates), new_state, opt_state, loss

    return train_step


def held_out_loss(model, params, state, text, batch):
    """Nats a character on the end of the text, which was not trained on."""

    @lwps.jit
    def evaluate(params, state, tokens, following, mask):
        logits, _ = model.apply(params, state, tokens, train=False)
        losses = optim.losses.softmax_cross_entropy_with_integer_labels(logits, following)
        return (losses * mask).sum(), mask.sum()

    rows = [evaluate(params, state, *rows) for rows in text.test_batches(batch)]
    return sum(float(loss) for loss, _ in rows) / sum(int(count) for _, count in rows)


def main(steps=400, batch=32, context=48, width=64, depth=2, heads=4, placement="auto"):
    text = data.load_text(SOURCE, context)
    model = models.gpt(text.classes, context, width, depth, heads, dropout_rate=0.1)
    schedule = optim.warmup_cosine_decay_schedule(0.0, 3e-3, min(20, steps - 1), steps)
    # weights of products decay; scales, shifts and embeddings do not
    opt = optim.chain(optim.clip_by_global_norm(1.0), optim.adamw(schedule, weight_decay=0.1, mask="body/blocks/*/w"))
    key = lwps.random.key(0)
    params, state, _ = model.init(key, lwps.ShapedArray((batch, context), "int32"))
    opt_state = opt.init(params)
    count = sum(np.size(x) for x in lwps.tree.leaves(params))
    print(f"{len(text.train_tokens)} characters of {text.name}, {text.classes} different ones; {count} parameters")

    step = lwps.jit(train_step_of(model, opt), placement=placement, donate_argnums=(0, 1, 2))
    losses = []
    for k in range(steps):
        tokens, following = text.batch(k, batch, seed=0)
        params, state, opt_state, loss = step(
            params, state, opt_state, tokens, following, lwps.random.fold_in(key, k)
        )  # a key of its own for each step: dropout draws anew
        losses.append(float(loss))
        if k % 50 == 0:
            print(f"step {k}: loss {losses[-1]:.3f}")
    held_out = held_out_loss(model, params, state, text, batch)
    print(f"held out: {held_out:.3f} nats a character, of {np.log(text.classes):.3f} for guessing")
    written = sample(model, params, state, text, length=min(steps, 200), prompt="    def ", temperature=0.7)
    print(f"    def {written}")
    return losses, held_out


if __name__ == "__main__":
    main()
