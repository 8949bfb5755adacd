"""A small GPT on characters of Python's standard library by lwps and by PyTorch, from the same weights: losses.

    pip install torch  (a CPU build will do), then
    python tests/bench/gpt_vs_torch.py

The text is that of the top-level modules of the standard library that runs this script, sorted by name and cut at
1,500,000 characters; the last tenth is held out. Both take the same 300 batches of 16 rows of 64 characters, with AdamW
(rate 1e-3 after 20 steps of warm-up, decay 0.1 of matrices only), in float32. Prints the mean loss of the last 20 steps
and that of 20 batches of held-out text. Exits with 1 where one of lwps is more than 2 % above that of PyTorch.
"""

import argparse
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn as tnn
from torch.nn import functional

import lwps
from lwps import models, optim
from lwps.core import ShapedArray

CHARACTERS = 1_500_000
RATE, DECAY, WARMUP, LIMIT = 1e-3, 0.1, 20, 1.02


def standard_library():
    """The text as numbers of characters, training and held out, and how many characters there are."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"), key=lambda path: path.name)
    text = "".join(path.read_text(encoding="utf-8") for path in files)[:CHARACTERS]
    alphabet = sorted(set(text))
    number = {c: i for i, c in enumerate(alphabet)}
    tokens = np.fromiter((number[c] for c in text), np.int32, len(text))
    cut = len(tokens) * 9 // 10
    return tokens[:cut], tokens[cut:], len(alphabet)


def batches(tokens, count, rows, length, seed):
    """So many batches of rows that begin anywhere, one token longer than what the model reads."""
    rng = np.random.default_rng(seed)
    for starts in rng.integers(0, len(tokens) - length, (count, rows)):
        yield np.stack([tokens[i : i + length + 1] for i in starts])


# --- lwps ----------------------------------------------------------------------------------------------


class Ours:
    """Training and evaluation as two programs."""

    def __init__(self, settings, rows, length, placement):
        self.model = models.gpt(**settings)
        self.params, self.state, _ = self.model.init(lwps.random.key(0), ShapedArray((rows, length), "int32"))
        rates = optim.linear_schedule(RATE / WARMUP, RATE, WARMUP - 1)
        optimizer = optim.adamw(rates, weight_decay=DECAY, mask=lambda path, p: p.ndim == 2)
        self.opt_state = optimizer.init(self.params)

        def train(params, opt_state, tokens):
            loss, grads = lwps.value_and_grad(self.loss)(params, tokens)
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return optim.apply_updates(params, updates), opt_state, loss

        self._train = lwps.jit(train, placement=placement, donate_argnums=(0, 1))
        self._loss = lwps.jit(self.loss, placement=placement)

    def loss(self, params, tokens):
        logits, _ = self.model.apply(params, self.state, tokens[:, :-1], train=False)
        return optim.losses.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

    def step(self, tokens):
        self.params, self.opt_state, loss = self._train(self.params, self.opt_state, tokens)
        return float(loss)

    def evaluate(self, tokens):
        return float(self._loss(self.params, tokens))


# --- PyTorch -------------------------------------------------------------------------------------------


class Block(tnn.Module):
    """A causal block with the norm before each branch, as GPT-2's."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.mlp_norm = tnn.LayerNorm(width), tnn.LayerNorm(width)
        self.qkv, self.out = tnn.Linear(width, 3 * width), tnn.Linear(width, width)
        self.up, self.down = tnn.Linear(width, 4 * width), tnn.Linear(4 * width, width)

    def forward(self, x):
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.out(y)
        return x + self.down(functional.gelu(self.up(self.mlp_norm(x)), approximate="tanh"))


class Net(tnn.Module):
    """The twin of `models.gpt` with tied weights."""

    def __init__(self, vocab, length, width, depth, heads):
        super().__init__()
        self.embedding, self.positions = tnn.Embedding(vocab, width), tnn.Embedding(length, width)
        self.blocks = tnn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = tnn.LayerNorm(width)

    def forward(self, tokens):
        x = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.embedding.weight.T


def copied(params, net):
    """Puts lwps's weights into the twin."""
    body = params["body"]
    pairs = [(net.embedding, params["embedding"]), (net.positions, body["positions"]), (net.norm, body["norm"])]
    for block, ours in zip(net.blocks, body["blocks"].values(), strict=True):
        attention, mlp = ours["attention"], ours["mlp"]
        pairs += [(block.attention_norm, attention["norm"]), (block.mlp_norm, mlp["norm"])]
        pairs += [(block.qkv, attention["attend"]["qkv"]), (block.out, attention["attend"]["out"])]
        pairs += [(block.up, mlp["up"]), (block.down, mlp["down"])]
    with torch.no_grad():
        for module, own in pairs:
            for name, value in own.items():
                target = module.weight if name in ("w", "scale") else module.bias
                value = value.T if isinstance(module, tnn.Linear) and value.ndim == 2 else value
                target.copy_(torch.from_numpy(np.array(value)))
    assert sum(p.numel() for p in net.parameters()) == sum(p.size for p in lwps.tree.leaves(params))


class Peer:
    """The same training by PyTorch."""

    def __init__(self, settings, params):
        self.net = Net(**settings)
        copied(params, self.net)
        groups = [
            {"params": [p for p in self.net.parameters() if p.ndim == 2], "weight_decay": DECAY},
            {"params": [p for p in self.net.parameters() if p.ndim != 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=RATE)
        self.rates = torch.optim.lr_scheduler.LinearLR(self.optimizer, 1 / WARMUP, 1, WARMUP - 1)

    def loss(self, tokens):
        x = torch.from_numpy(tokens).long()
        return functional.cross_entropy(self.net(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())

    def step(self, tokens):
        self.optimizer.zero_grad()
        loss = self.loss(tokens)
        loss.backward()
        self.optimizer.step()
        self.rates.step()
        return loss.item()

    def evaluate(self, tokens):
        with torch.no_grad():
            return self.loss(tokens).item()


# --- both ----------------------------------------------------------------------------------------------


def timed(run, tokens):
    start = time.perf_counter()
    loss = run(tokens)
    return loss, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--placement", default="auto")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    options = parser.parse_args()
    train, held_out, vocab = standard_library()
    shape = {name: getattr(options, name) for name in ("length", "width", "depth", "heads")}
    ours = Ours({"vocab": vocab, **shape}, options.rows, options.length, options.placement)
    peer = Peer({"vocab": vocab, **shape}, ours.params)
    count = sum(p.size for p in lwps.tree.leaves(ours.params))
    print(f"{len(train)} characters of {vocab} kinds to train on, {len(held_out)} held out; {count} parameters")

    losses, seconds = [], []
    for k, tokens in enumerate(batches(train, options.steps, options.rows, options.length, seed=1)):
        pairs = [timed(side.step, tokens) for side in (ours, peer)]
        losses.append([loss for loss, _ in pairs])
        seconds.append([s for _, s in pairs])
        if k % 50 == 0 or k == options.steps - 1:
            print(f"step {k}: lwps {losses[-1][0]:.4f}  PyTorch {losses[-1][1]:.4f}", flush=True)
    checks = list(batches(held_out, 20, options.rows, options.length, seed=2))
    last = np.mean(losses[-20:], axis=0)
    held = np.mean([[side.evaluate(tokens) for side in (ours, peer)] for tokens in checks], axis=0)
    print(f"mean of the last 20 steps: lwps {last[0]:.4f}  PyTorch {last[1]:.4f}  ratio {last[0] / last[1]:.4f}")
    print(f"held-out text:             lwps {held[0]:.4f}  PyTorch {held[1]:.4f}  ratio {held[0] / held[1]:.4f}")
    each = np.median(np.array(seconds[5:]) * 1e3, axis=0)
    print(f"median step, taken in turns: lwps {each[0]:.1f} ms ({options.placement})  PyTorch {each[1]:.1f} ms")
    return bool(last[0] > LIMIT * last[1] or held[0] > LIMIT * held[1])


if __name__ == "__main__":
    sys.exit(main())
