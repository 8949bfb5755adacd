"""Hypothesis profiles for all tests (`--hypothesis-profile=thorough` for the long run), and the check of vjp rules."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from lwps.core import Primitive

# no deadline: the first example of a shape builds a kernel
settings.register_profile(
    "default", deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "thorough", deadline=None, max_examples=300, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")


def _is_float(x: Any) -> bool:
    return x.dtype.kind == "f"


@pytest.fixture(scope="session")
def check_vjp() -> Callable[..., None]:
    """`check_vjp(primitive, *ins, seed=0, step=1e-6, **params)`: its vjp rule against central differences."""

    def check(primitive: Primitive, *ins: np.ndarray, seed: int = 0, step: float = 1e-6, **params: Any) -> None:
        rng = np.random.default_rng(seed)
        ins = tuple(x.astype(np.float64) if _is_float(x) else x for x in ins)
        outs = primitive.bind(*ins, **params)
        cts = [rng.standard_normal(y.shape) if _is_float(y) else None for y in outs]
        towards = [rng.standard_normal(x.shape) if _is_float(x) else None for x in ins]

        def along(t: float) -> list[np.ndarray]:
            moved = [x if d is None else x + t * d for x, d in zip(ins, towards, strict=True)]
            return list(primitive.bind(*moved, **params))

        ahead, behind = along(step), along(-step)
        rows = zip(cts, ahead, behind, strict=True)
        measured = sum(np.sum(ct * (a - b)) for ct, a, b in rows if ct is not None) / (2 * step)
        assert primitive.vjp is not None
        in_cts = primitive.vjp(cts, ins, outs, tuple(_is_float(x) for x in ins), **params)
        for x, ct in zip(ins, in_cts, strict=True):
            assert ct is None or (ct.shape, ct.dtype) == (x.shape, x.dtype)
        pairs = zip(in_cts, towards, strict=True)
        ruled = sum(np.sum(ct * d) for ct, d in pairs if ct is not None and d is not None)
        scale = 1 + sum(np.sum(np.abs(ct * d)) for ct, d in zip(in_cts, towards, strict=True) if ct is not None)
        assert abs(ruled - measured) <= 1e-5 * scale, f"{primitive.name}: {ruled} by its rule, {measured} measured"

    return check
