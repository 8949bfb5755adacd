"""How the weights of lwps's own layers begin, by default as torchvision's and PyTorch's do."""

import math
from collections.abc import Sequence
from typing import Any

from lwps.nn.initializers import variance_scaling
from lwps.ops import random

he_normal = variance_scaling(2.0, "fan_in", "normal")
he_normal_out = variance_scaling(2.0, "fan_out", "normal")  # torchvision's ResNet


def uniform_in(key: Any, shape: Sequence[int], fan: int | None = None) -> Any:
    """float32 numbers between -1 / sqrt(fan_in) and 1 / sqrt(fan_in), as PyTorch's Linear begins."""
    bound = 1 / math.sqrt(fan or max(1, math.prod(shape[:-1])))
    return random.uniform(key, shape, -bound, bound)
