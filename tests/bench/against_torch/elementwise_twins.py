"""The elementwise names of `lwps.numpy` beside PyTorch's."""

from collections.abc import Callable
from typing import Any

import torch

from against_torch.judge import ELEMENTWISE, Twin, each
from against_torch.samples import (
    PAIRS,
    SHAPES,
    Draw,
    away_from_0,
    between,
    halves,
    integers,
    normal,
    positive,
    truths,
    wide,
    wide_to_30,
    with_specials,
    with_ties,
)


def unary(ours: Any, theirs: Any, draw: Callable[..., Draw] = normal) -> list[Twin]:
    return [each(ours, theirs, draw(shape), limit=ELEMENTWISE) for shape in SHAPES]


def binary(ours: Any, theirs: Any, first: Callable[..., Draw] = normal, second: Any = None) -> list[Twin]:
    return [each(ours, theirs, first(a), (second or first)(b), limit=ELEMENTWISE) for a, b in PAIRS]


whole, divisor, angle, share = integers(-9, 10), integers(1, 9), between(-30, 30), between(-0.99, 0.99)

# name -> its twins, given the op; a name that lwps does not have yet is passed over
TWINS: dict[str, Callable[[Any], list[Twin]]] = {
    "abs": lambda f: unary(f, torch.abs, wide),
    "absolute": lambda f: unary(f, torch.abs, wide),
    "fabs": lambda f: unary(f, torch.abs, wide),
    "negative": lambda f: unary(f, torch.neg),
    "positive": lambda f: unary(f, torch.positive),
    "reciprocal": lambda f: unary(f, torch.reciprocal, wide),
    "sign": lambda f: unary(f, torch.sign, with_ties),
    "square": lambda f: unary(f, torch.square, wide),
    "sqrt": lambda f: unary(f, torch.sqrt, positive),
    "cbrt": lambda f: unary(f, lambda x: torch.sign(x) * torch.abs(x) ** (1 / 3), wide),
    "exp": lambda f: unary(f, torch.exp, between(-80, 80)),
    "exp2": lambda f: unary(f, torch.exp2, between(-100, 100)),
    "expm1": lambda f: unary(f, torch.expm1, wide_to_30),
    "log": lambda f: unary(f, torch.log, positive),
    "log2": lambda f: unary(f, torch.log2, positive),
    "log10": lambda f: unary(f, torch.log10, positive),
    "log1p": lambda f: unary(f, torch.log1p, positive),
    "sin": lambda f: unary(f, torch.sin, angle),
    "cos": lambda f: unary(f, torch.cos, angle),
    "tan": lambda f: unary(f, torch.tan, angle),
    "arcsin": lambda f: unary(f, torch.arcsin, share),
    "arccos": lambda f: unary(f, torch.arccos, share),
    "arctan": lambda f: unary(f, torch.arctan, wide),
    "sinh": lambda f: unary(f, torch.sinh, wide_to_30),
    "cosh": lambda f: unary(f, torch.cosh, between(-40, 40)),
    "tanh": lambda f: unary(f, torch.tanh, wide_to_30),
    "arcsinh": lambda f: unary(f, torch.arcsinh, wide),
    "arccosh": lambda f: unary(f, torch.arccosh, between(1.01, 50)),
    "arctanh": lambda f: unary(f, torch.arctanh, share),
    "deg2rad": lambda f: unary(f, torch.deg2rad, angle),
    "radians": lambda f: unary(f, torch.deg2rad, angle),
    "rad2deg": lambda f: unary(f, torch.rad2deg, angle),
    "degrees": lambda f: unary(f, torch.rad2deg, angle),
    "floor": lambda f: unary(f, torch.floor, angle),
    "ceil": lambda f: unary(f, torch.ceil, angle),
    "trunc": lambda f: unary(f, torch.trunc, angle),
    "fix": lambda f: unary(f, torch.trunc, angle),
    "rint": lambda f: unary(f, torch.round, halves),
    "round": lambda f: unary(f, torch.round, halves),
    "isnan": lambda f: unary(f, torch.isnan, with_specials),
    "isinf": lambda f: unary(f, torch.isinf, with_specials),
    "isfinite": lambda f: unary(f, torch.isfinite, with_specials),
    "nan_to_num": lambda f: unary(
        lambda x: f(x, nan=1.0, posinf=2.0, neginf=3.0), lambda x: torch.nan_to_num(x, 1.0, 2.0, 3.0), with_specials
    ),
    "add": lambda f: binary(f, torch.add) + binary(f, torch.add, whole),
    "subtract": lambda f: binary(f, torch.sub) + binary(f, torch.sub, whole),
    "multiply": lambda f: binary(f, torch.mul) + binary(f, torch.mul, whole),
    "divide": lambda f: binary(f, torch.div, normal, wide),
    "true_divide": lambda f: binary(f, torch.div, normal, wide),
    "floor_divide": lambda f: binary(f, torch.floor_divide, whole, divisor),
    "mod": lambda f: binary(f, torch.remainder, whole, divisor) + binary(f, torch.remainder, normal, away_from_0),
    "remainder": lambda f: binary(f, torch.remainder, whole, integers(-9, 0)),
    "fmod": lambda f: binary(f, torch.fmod, whole, divisor),
    "divmod": lambda f: binary(f, lambda x, y: (torch.floor_divide(x, y), torch.remainder(x, y)), whole, divisor),
    "power": lambda f: (
        binary(f, torch.pow, positive, between(-3, 3))
        + [each(lambda x, n=n: f(x, n), lambda x, n=n: torch.pow(x, n), wide((5, 7))) for n in (-2, 0, 1, 2, 3, 7)]
    ),
    "float_power": lambda f: binary(f, torch.pow, positive, between(-3, 3)),
    "maximum": lambda f: binary(f, torch.maximum),
    "minimum": lambda f: binary(f, torch.minimum),
    "fmax": lambda f: binary(f, torch.fmax, with_specials, normal),
    "fmin": lambda f: binary(f, torch.fmin, with_specials, normal),
    "arctan2": lambda f: binary(f, torch.arctan2, wide),
    "hypot": lambda f: binary(f, torch.hypot, wide),
    "logaddexp": lambda f: binary(f, torch.logaddexp, angle),
    "logaddexp2": lambda f: binary(f, torch.logaddexp2, angle),
    "equal": lambda f: binary(f, torch.eq, with_ties),
    "not_equal": lambda f: binary(f, torch.ne, with_ties),
    "less": lambda f: binary(f, torch.lt, with_ties),
    "less_equal": lambda f: binary(f, torch.le, with_ties),
    "greater": lambda f: binary(f, torch.gt, with_ties),
    "greater_equal": lambda f: binary(f, torch.ge, with_ties),
    "isclose": lambda f: binary(f, torch.isclose, with_ties),
    "allclose": lambda f: binary(f, lambda x, y: torch.isclose(x, y).all(), with_ties),
    "array_equal": lambda f: [each(f, lambda x, y: (x == y).all(), with_ties((2,)), with_ties((2,)))],
    "logical_and": lambda f: binary(f, torch.logical_and, truths),
    "logical_or": lambda f: binary(f, torch.logical_or, truths),
    "logical_xor": lambda f: binary(f, torch.logical_xor, truths),
    "logical_not": lambda f: unary(f, torch.logical_not, truths),
    "bitwise_and": lambda f: binary(f, torch.bitwise_and, whole),
    "bitwise_or": lambda f: binary(f, torch.bitwise_or, whole),
    "bitwise_xor": lambda f: binary(f, torch.bitwise_xor, whole),
    "bitwise_not": lambda f: unary(f, torch.bitwise_not, whole),
    "invert": lambda f: unary(f, torch.bitwise_not, whole),
    "left_shift": lambda f: binary(f, torch.bitwise_left_shift, whole, integers(0, 9)),
    "right_shift": lambda f: binary(f, torch.bitwise_right_shift, whole, integers(0, 9)),
    "where": lambda f: [
        each(f, torch.where, truths(c), normal(a), normal(b))
        for c, a, b in (((7,), (7,), (7,)), ((5, 1), (130,), ()), ((2, 3), (2, 3), (1, 3)))
    ],
    "clip": lambda f: unary(lambda x: f(x, -0.5, 1.0), lambda x: torch.clip(x, -0.5, 1.0)),
    "astype": lambda f: unary(lambda x: f(x, "int32"), lambda x: x.to(torch.int32), angle),
}
