"""How weights begin: random numbers whose size keeps the variance of what flows through a layer.

The last axis of a weight is its outputs, the last but one its inputs; the axes before are a window.
"""

import math
from collections.abc import Sequence
from typing import Any

from lwps.ops import random
from lwps.ops.elementwise import mul


def fan_in(shape: Sequence[int]) -> int:
    """How many numbers a result is a sum of."""
    return max(1, math.prod(shape[:-1]))


def fan_out(shape: Sequence[int]) -> int:
    """How many results a number goes into, strides aside."""
    return max(1, math.prod(shape[:-2]) * shape[-1])


def he_normal(key: Any, shape: Sequence[int]) -> Any:
    """float32 normals of variance 2 / fan_in: keeps the variance forward through relu (He et al. 2015, section 2.2)."""
    return mul(random.normal(key, shape), math.sqrt(2 / fan_in(shape)))


def he_normal_out(key: Any, shape: Sequence[int]) -> Any:
    """float32 normals of variance 2 / fan_out: keeps the variance of cotangents, as torchvision's ResNet does."""
    return mul(random.normal(key, shape), math.sqrt(2 / fan_out(shape)))


def uniform_in(key: Any, shape: Sequence[int], fan: int | None = None) -> Any:
    """float32 numbers between -1 / sqrt(fan_in) and 1 / sqrt(fan_in), as PyTorch's Linear begins."""
    bound = 1 / math.sqrt(fan or fan_in(shape))
    return random.uniform(key, shape, -bound, bound)
