"""Decisions as values beside the program: placement, profile, schedule, memory plan, instructions."""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from lwps.core import Eqn, Program, format_param

FORMAT = 1  # of the JSON files; a reader refuses others


class PlanError(ValueError):
    """A placement, profile or plan does not fit the program or the machine it is used with."""


@attrs.frozen
class Placement:
    """The processor of every eqn of a program, in order; None for eqns that only make views."""

    processors: tuple[str | None, ...]
    policy: str = "by hand"
    objective_s: float | None = None  # seconds a step as the policy's own objective counts them

    @classmethod
    def everywhere(cls, program: Program, processor: str) -> "Placement":
        return cls(tuple(processor if eqn.runs else None for eqn in program.eqns), processor)

    def counts(self) -> dict[str, int]:
        """Eqns on each processor."""
        return dict(Counter(p for p in self.processors if p is not None))

    def to_json(self, program: Program) -> dict[str, Any]:
        rows = {n: p for n, p in zip(program.names, self.processors, strict=True) if p is not None}
        return {"format": FORMAT, "program": program.fingerprint, "policy": self.policy, "placement": rows}


def placement_from_json(data: Mapping[str, Any], program: Program) -> Placement:
    """The placement that `Placement.to_json` wrote; PlanError names what does not fit."""
    rows = data.get("placement")
    if data.get("format") != FORMAT or not isinstance(rows, Mapping):
        raise PlanError(f"placement: must be a JSON object of format {FORMAT}, got format {data.get('format')!r}")
    return placement_of(rows, program, str(data.get("policy", "by hand")))


def placement_of(rows: Mapping[str, str], program: Program, policy: str = "by hand") -> Placement:
    """A placement from {eqn name: processor}; every eqn that runs must be named."""
    wanted = [n for n, eqn in zip(program.names, program.eqns, strict=True) if eqn.runs]
    missing, extra = sorted(set(wanted) - set(rows)), sorted(set(rows) - set(program.names))
    if missing or extra:
        raise PlanError(
            f"placement: must name every eqn that runs, got no processor for {missing[:3]}"
            f" and unknown names {extra[:3]}"
        )
    return Placement(
        tuple(rows.get(n) if e.runs else None for n, e in zip(program.names, program.eqns, strict=True)), policy
    )


def check_placement(program: Program, placement: Placement, processors: Sequence[str]) -> None:
    """Raise PlanError unless each eqn that runs, and no other, has one of `processors`."""
    if len(placement.processors) != len(program.eqns):
        raise PlanError(
            f"placement: must have a processor for each of {len(program.eqns)} eqns, got {len(placement.processors)}"
        )
    for name, eqn, processor in zip(program.names, program.eqns, placement.processors, strict=True):
        if eqn.runs and processor not in processors:
            raise PlanError(f"placement: {name} must be on one of {', '.join(processors)}, got {processor!r}")
        if not eqn.runs and processor is not None:
            raise PlanError(f"placement: {name} only makes a view and runs nowhere, got {processor!r}; leave it out")


# --- measured costs -----------------------------------------------------------------------------


def eqn_key(eqn: Eqn) -> str:
    """What the seconds of an eqn depend on: primitive, avals, params. Long params enter by their hash."""
    params = " ".join(f"{k}={format_param(v)}" for k, v in sorted(eqn.params.items()))
    if len(params) > 80:
        params = "#" + hashlib.sha256(params.encode()).hexdigest()[:16]
    return f"{eqn.primitive.name} {' '.join(map(str, eqn.in_avals))} {params}".strip()


@attrs.frozen
class Handover:
    """What making a value readable on another processor costs: latency once, then seconds a byte."""

    latency_s: float
    s_per_byte: float

    def seconds(self, nbytes: int) -> float:
        return self.latency_s + nbytes * self.s_per_byte


@attrs.frozen(eq=False)
class Profile:
    """Measured seconds of eqns on each processor of one machine, and what hand-overs cost there.

    `seconds[key][processor]` is the time the processor itself is busy (for an OpenCL device from its
    events); a processor that is missing there cannot run the eqn. `host_s[processor]` is what the host
    spends to start one eqn there. `handovers[source, target]` are per direction.
    """

    machine: str
    memory: str
    processors: tuple[str, ...]
    seconds: Mapping[str, Mapping[str, float]]
    host_s: Mapping[str, float]
    handovers: Mapping[tuple[str, str], Handover]

    def eqn_s(self, eqn: Eqn, processor: str) -> float:
        """Seconds of `eqn` on `processor`, infinity where it cannot run; PlanError if never measured."""
        row = self.seconds.get(eqn_key(eqn))
        if row is None:
            raise PlanError(f"profile: has no measurement of {eqn}; profile this program on {self.machine} first")
        return row.get(processor, float("inf"))

    def handover_s(self, source: str, target: str, nbytes: int) -> float:
        return 0.0 if source == target else self.handovers[source, target].seconds(nbytes)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "machine": self.machine,
            "memory": self.memory,
            "processors": list(self.processors),
            "seconds": {k: dict(v) for k, v in self.seconds.items()},
            "host_s": dict(self.host_s),
            "handovers": [
                {"source": s, "target": t, "latency_s": h.latency_s, "s_per_byte": h.s_per_byte}
                for (s, t), h in self.handovers.items()
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Profile":
        if data.get("format") != FORMAT:
            raise PlanError(f"profile: must be a JSON object of format {FORMAT}, got {data.get('format')!r}")
        try:
            handovers = {
                (h["source"], h["target"]): Handover(h["latency_s"], h["s_per_byte"]) for h in data["handovers"]
            }
            return cls(
                data["machine"], data["memory"], tuple(data["processors"]), data["seconds"], data["host_s"], handovers
            )
        except (KeyError, TypeError) as error:
            raise PlanError(f"profile: must have the fields that Profile.to_json writes, got {error!r}") from error


# --- memory and instructions --------------------------------------------------------------------


@attrs.frozen
class Range:
    """Bytes `start` to `stop` of a space (`arena0@shared`, `slot3@cpu`) and the value they hold there."""

    space: str
    start: int
    stop: int
    value: int


@attrs.frozen
class Run:
    """Run eqn number `eqn`: at once on the host, enqueued on an OpenCL processor."""

    eqn: int
    processor: str
    reads: tuple[Range, ...]
    writes: tuple[Range, ...]


@attrs.frozen
class Copy:
    """Enqueue on `processor`'s queue a copy of a value to another space."""

    processor: str
    reads: tuple[Range, ...]
    writes: tuple[Range, ...]


@attrs.frozen
class Wait:
    """The host waits until instruction number `upto`, and all before it on that queue, has ended."""

    processor: str
    upto: int


@attrs.frozen
class Flush:
    """What was enqueued on `processor` begins without waiting for more."""

    processor: str


Instruction = Run | Copy | Wait | Flush


@attrs.frozen
class Schedule:
    """The order in which eqns are started: positions in the program."""

    order: tuple[int, ...]


@attrs.frozen
class MemoryPlan:
    """Where values live: (value, space family) -> (chunk, offset) in bytes, and the size of each chunk.

    A value is the number of its storage. A space family is `shared`, or a processor's name
    where memory is not shared. Scratch of eqn `k` has the value `-1 - k * 64 - i`.
    """

    places: Mapping[tuple[int, str], tuple[int, int]]
    chunks: Mapping[str, tuple[int, ...]]
    peak_live: Mapping[str, int]

    @functools.cached_property
    def nbytes(self) -> int:
        return sum(sum(sizes) for sizes in self.chunks.values())


def canonical_json(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), default=_jsonable)


def _jsonable(x: Any) -> Any:
    return x.item() if isinstance(x, np.generic) else str(x)


def digest(parts: Iterable[str]) -> str:
    """A short hash of texts, for the keys of files."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
