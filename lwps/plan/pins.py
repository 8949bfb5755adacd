"""Pins: eqns whose processor the user has decided, by name, by layer, or by a pattern of names."""

import fnmatch
from collections.abc import Mapping, Sequence

from lwps.core import Eqn, Program
from lwps.plan.files import PlanError
from lwps.plan.near import did_you_mean

WILD = frozenset("*?[")


def matches(pattern: str, name: str, layer: str) -> bool:
    """Whether `pattern` means the eqn `name` of `layer`.

    It is that name, the layer or one above it, or a pattern of names as `fnmatch` reads it (`*/backward/*`).
    """
    return pattern in (name, layer) or layer.startswith(f"{pattern}/") or fnmatch.fnmatchcase(name, pattern)


def pinned(program: Program, processors: Sequence[str], pins: Mapping[str, str]) -> dict[int, str]:
    """Eqn number -> the processor it is pinned to; of several pins that match, the last counts.

    A fused eqn is pinned as its members are where they agree. PlanError for a processor that is not among
    `processors`, and for a pin that matches nothing.
    """
    for pattern, processor in pins.items():
        if processor not in processors:
            known = f"must be pinned to one of {', '.join(processors)}"
            raise PlanError(f"pins: {pattern!r} {known}, got {processor!r}{did_you_mean(processor, processors)}")
    found: dict[int, str] = {}
    used: set[str] = set()
    for k, (name, eqn) in enumerate(zip(program.names, program.eqns, strict=True)):
        hits = _hits(pins, name, eqn)
        used.update(hits)
        if hits:
            found[k] = pins[hits[-1]]
    for pattern in pins:
        if pattern not in used:
            layers = (eqn.layer for eqn in program.eqns)
            near = did_you_mean(pattern, dict.fromkeys((*layers, *program.names)))
            raise PlanError(f"pins: {pattern!r} must match an eqn's name or be a layer{near}")
    return found


def _hits(pins: Mapping[str, str], name: str, eqn: Eqn) -> list[str]:
    """The pins that mean an eqn, the one that counts last: its own, else those of its members if these agree."""
    own = [p for p in pins if matches(p, name, eqn.layer)]
    if own:
        return own
    inner = [[p for p in _patterns(pins) if matches(p, *member)] for member in members_of(eqn)]
    agree = len({pins[hits[-1]] if hits else None for hits in inner}) == 1
    return [p for hits in inner for p in hits] if agree else []


def labels(program: Program, pins: Mapping[str, str]) -> dict[str, str]:
    """Eqn name -> processor, for what patterns and layers among `pins` match before fusing.

    Exact names are left out: they are those of fused programs, as plans list them. Later pins win.
    """
    patterns = _patterns(pins)
    rows = zip(program.names, program.eqns, strict=True)
    return {name: pins[p] for name, eqn in rows for p in patterns if matches(p, name, eqn.layer)}


def _patterns(pins: Mapping[str, str]) -> list[str]:
    """The pins that are no exact names."""
    return [p for p in pins if "#" not in p or WILD.intersection(p)]


def members_of(eqn: Eqn) -> list[tuple[str, str]]:
    """Names and layers of what a fused eqn is made of, without the constants filled into it."""
    body = eqn.params.get("body")
    if not isinstance(body, Program):
        return []
    rows = zip(body.names, body.eqns, strict=True)
    return [(name, e.layer) for name, e in rows if e.primitive.name != "full"]
