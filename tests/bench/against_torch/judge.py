"""How an op and its twin in PyTorch are compared: errors in units of what rounding the inputs alone would do.

The truth is PyTorch in float64, at the same float32 inputs. Rounding of an input moves a result, too, by as much as the
problem is sensitive: the condition. It is measured: the largest move in `NUDGES` runs of the truth, in each of which
every input is moved up or down by half an ulp. One unit of error, for each element by itself, is

    half an ulp of the result + that move,

so that an op which rounds once at its beginning and once at its end has errors of at most about one unit, and one
that loses digits on the way has many. Allowed are `ELEMENTWISE` or `SUMS` units, or twice what PyTorch's own
float32 needs. To the unit of gradients, and of all but elementwise ops, half an ulp of the array's mean size is
added: sums cancel, and where a function saturates, as tanh does, its slope is a difference of numbers near 1.
Integers and truth values are compared exactly, NaN and infinities by their places.
"""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import torch

import lwps
from against_torch.samples import Draw
from lwps import tree
from lwps.core import DTYPES

CASES = 32  # of each op, at least
NUDGES = 8
ELEMENTWISE, SUMS = 8.0, 32.0  # units allowed; n terms added one by one may need the root of n, here of 1,200
HALF_ULP = 2.0**-24
SMALLEST = 2.0**-126  # below it float32 has fewer digits, and devices may have none

Sampler = Callable[[np.random.Generator], list[np.ndarray]]


@attrs.frozen(eq=False)
class Twin:
    """One op with one set of settings: as a function of arrays, as one of tensors, and what to call both with."""

    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    sample: Sampler
    gradient: bool = True
    limit: float = SUMS


def each(ours: Callable[..., Any], theirs: Callable[..., Any], *draws: Draw, **settings: Any) -> Twin:
    """A twin whose arguments are drawn one by one."""
    return Twin(ours, theirs, lambda rng: [draw(rng) for draw in draws], **settings)


@attrs.define
class Verdict:
    """What came of all cases of an op on one processor; errors in units, largest of all."""

    limit: float
    cases: int = 0
    value: float | None = None
    gradient: float | None = None
    torch_value: float = 0.0
    torch_gradient: float = 0.0
    on: set[str] = attrs.Factory(set)
    wrong: list[str] = attrs.Factory(list)

    @property
    def right(self) -> bool:
        return (
            not self.wrong
            and (self.value or 0) <= max(self.limit, 2 * self.torch_value)
            and (self.gradient or 0) <= max(self.limit, 2 * self.torch_gradient)
        )


def judge(twins: Sequence[Twin], processor: str) -> Verdict:
    """All cases of an op on one processor."""
    verdict = Verdict(max(twin.limit for twin in twins))
    for k, twin in enumerate(twins):
        step = compiled(twin, processor)
        for n in range(-(-CASES // len(twins))):
            try:
                _one_case(verdict, twin, step, np.random.default_rng((k, n)))
            except Exception as error:  # whatever it is, the other ops are judged, too
                verdict.wrong.append(f"settings {k}, case {n}: {type(error).__name__}: {error}"[:300])
                break
            verdict.cases += 1
            verdict.on |= set(step.compiled.placement.processors) - {None}
    return verdict


def _one_case(verdict: Verdict, twin: Twin, step: Any, rng: np.random.Generator) -> None:
    xs = twin.sample(rng)
    outs = map(np.asarray, _floats(_ours(twin, xs)))
    cts = [np.asarray(rng.standard_normal(y.shape), np.float32) for y in outs] if twin.gradient else []
    _compare(verdict, twin, step, xs, cts, rng)


def compiled(twin: Twin, processor: str) -> Any:
    """(inputs, cotangents) -> (results, cotangents of the inputs), placed."""

    def step(xs: Any, cts: Any) -> Any:
        outs = _ours(twin, xs)
        if not cts:
            return outs, []
        where = [k for k, x in enumerate(xs) if x.dtype.kind == "f"]

        def of_floats(*floats: Any) -> Any:
            filled = list(xs)
            for k, x in zip(where, floats, strict=True):
                filled[k] = x
            return _floats(_ours(twin, filled))

        return outs, lwps.vjp(of_floats, *(xs[k] for k in where))[1](cts)

    return lwps.jit(step, placement=processor)


def _ours(twin: Twin, xs: Sequence[Any]) -> list[Any]:
    return tree.leaves(twin.ours(*xs))


def _floats(xs: Sequence[Any]) -> list[Any]:
    return [x for x in xs if x.dtype.kind == "f"]


def _compare(verdict: Verdict, twin: Twin, step: Any, xs: Any, cts: Any, rng: np.random.Generator) -> None:
    got = [[np.asarray(y) for y in part] for part in step(xs, cts)]
    truth, single = (in_torch(twin, xs, cts, dtype) for dtype in (torch.float64, torch.float32))
    moved = [in_torch(twin, _nudged(xs, rng), _nudged(cts, rng), torch.float64) for _ in range(NUDGES)]
    for part, name in enumerate(("value", "gradient")):
        assert len(got[part]) == len(truth[part]), f"{len(got[part])} results, PyTorch has {len(truth[part])}"
        for k, (y, want) in enumerate(zip(got[part], truth[part], strict=True)):
            assert y.shape == want.shape, f"{name} {k} has the shape {y.shape}, PyTorch's {want.shape}"
            if want.dtype.kind != "f":
                assert np.array_equal(y, want), f"{name} {k} is {y}, PyTorch's {want}"
                setattr(verdict, name, getattr(verdict, name) or 0.0)
                continue
            with np.errstate(invalid="ignore"):  # infinities do not move
                move = np.max([np.abs(run[part][k] - want) for run in moved], 0)
                unit = HALF_ULP * np.abs(want) + SMALLEST + move
                if name == "gradient" or twin.limit == SUMS:
                    unit += HALF_ULP * np.mean(np.abs(want[np.isfinite(want)])) if want.size else 0
            _raise_to(verdict, name, _units(y, want, unit, f"{name} {k}"))
            _raise_to(verdict, f"torch_{name}", _units(single[part][k], want, unit, f"PyTorch's {name} {k}"))


def _raise_to(verdict: Verdict, name: str, units: float) -> None:
    setattr(verdict, name, max(getattr(verdict, name) or 0.0, units))


def _units(y: np.ndarray, want: np.ndarray, unit: np.ndarray, name: str) -> float:
    finite = np.isfinite(want)
    assert np.array_equal(y[~finite], want[~finite].astype(y.dtype), equal_nan=True), f"{name} is {y}, must be {want}"
    assert np.isfinite(y[finite]).all(), f"{name} is not finite: {y}, must be {want}"
    return float(np.max(np.abs(y[finite] - want[finite]) / unit[finite], initial=0))


def _nudged(xs: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Floats moved by half an ulp, up or down, as float64."""
    signs = [rng.choice((-1, 1), x.shape) for x in xs]
    return [x * (1 + HALF_ULP * s) if x.dtype.kind == "f" else x for x, s in zip(xs, signs, strict=True)]


def in_torch(twin: Twin, xs: Any, cts: Any, dtype: torch.dtype) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(results, cotangents of the float inputs) by PyTorch."""

    def tensor(x: np.ndarray) -> torch.Tensor:
        t = torch.from_numpy(np.array(x, np.int64 if x.dtype == np.uint32 else None))
        return t.to(dtype) if t.is_floating_point() else t

    ins = [tensor(x) for x in xs]
    floats = [x.requires_grad_(twin.gradient) for x in ins if x.is_floating_point()]
    with torch.set_grad_enabled(twin.gradient):
        outs = [y if isinstance(y, torch.Tensor) else torch.tensor(y) for y in tree.leaves(twin.theirs(*ins))]
    grads: list[Any] = []
    if cts:
        pairs = [(y, tensor(ct)) for y, ct in zip([y for y in outs if y.is_floating_point()], cts, strict=True)]
        pairs = [(y, ct) for y, ct in pairs if y.requires_grad]
        found: Sequence[Any] = [None] * len(floats)
        if pairs:
            found = torch.autograd.grad([y for y, _ in pairs], floats, [ct for _, ct in pairs], allow_unused=True)
        grads = [torch.zeros_like(x) if g is None else g for x, g in zip(floats, found, strict=True)]
    return tuple([y.detach().numpy() for y in part] for part in (outs, grads))  # type: ignore[return-value]


def dtypes_of(twin: Twin) -> list[str]:
    """The dtypes that the op takes in the place of its first input's."""
    xs = twin.sample(np.random.default_rng(0))
    if not xs:
        return []
    first, found = xs[0].dtype, []
    for dtype in DTYPES:
        avals = [lwps.ShapedArray(x.shape, dtype if x.dtype == first else x.dtype) for x in xs]
        try:
            lwps.trace(twin.ours, *avals)
        except (TypeError, ValueError):
            continue
        found.append(dtype.name)
    return found
