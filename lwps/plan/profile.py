"""Measured seconds of eqns on each processor, and what hand-overs cost."""

import hashlib
from collections.abc import Mapping
from typing import Any

import attrs

from lwps.core import Eqn, format_param
from lwps.plan.files import FORMAT, PlanError


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
