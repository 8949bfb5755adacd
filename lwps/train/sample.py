"""Text that a trained model writes, a character at a time."""

from typing import Any

import numpy as np

from lwps import random
from lwps.api import jit
from lwps.data import Text
from lwps.nn import Layer
from lwps.runtime.machine import HOST, Machine


def sample(
    model: Layer,
    params: Any,
    state: Any,
    text: Text,
    length: int = 200,
    *,
    prompt: str = "",
    temperature: float = 0.8,
    seed: int = 0,
    machine: Machine | None = None,
) -> str:
    """`length` characters that `model` draws behind `prompt`; the same ones for one seed and the same parameters.

    `model` gives logits[N, T, classes] for tokens int32[N, T], those at a place from the tokens up to it. It sees the
    last `text.context` characters. A `temperature` below 1 prefers what is likely; 0 takes what is likeliest.
    ValueError for a prompt with characters that the text has not.
    """
    if temperature < 0:
        raise ValueError(f"sample: temperature must be at least 0, got {temperature}")
    step = jit(lambda *args: model.apply(*args, train=False)[0], placement=HOST, machine=machine)
    tokens = text.encode(prompt or ("\n" if "\n" in text.vocabulary else text.vocabulary[0])).tolist()
    begin, key = len(tokens), random.key(seed)
    for n in range(length):
        seen = tokens[-text.context :]
        window = np.array([seen + [0] * (text.context - len(seen))], np.int32)  # what is behind is not looked at
        logits = np.asarray(step(params, state, window))[0, len(seen) - 1]
        tokens.append(_drawn(logits, temperature, random.fold_in(key, n)))
    return text.decode(np.array(tokens[begin:], np.int32))


def _drawn(logits: np.ndarray, temperature: float, key: Any) -> int:
    if temperature == 0:
        return int(logits.argmax())
    return int(random.categorical(key, logits / np.float32(temperature)))
