"""Measured seconds of eqns on each processor, and what hand-overs cost."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from lwps.core import Eqn, Program, format_param
from lwps.plan.files import FORMAT, PathLike, PlanError, check_header, load, many, save, seconds, table, text
from lwps.plan.near import did_you_mean


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


@attrs.frozen
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

    def of(self, program: Program) -> "Profile":
        """The rows of the eqns of `program` alone; those never measured are left out."""
        keys = dict.fromkeys(eqn_key(eqn) for eqn in program.eqns if eqn.runs)
        return attrs.evolve(self, seconds={key: self.seconds[key] for key in keys if key in self.seconds})

    def on(self, processors: Sequence[str]) -> "Profile":
        """What was measured of these processors alone; PlanError for one that was not."""
        for name in processors:
            if name not in self.processors:
                known = ", ".join(self.processors)
                near = did_you_mean(name, self.processors)
                raise PlanError(f"profile: processors must be among {known}, got {name!r}{near}")
        kept = tuple(p for p in self.processors if p in processors)
        return Profile(
            self.machine,
            self.memory,
            kept,
            {key: {p: row[p] for p in kept if p in row} for key, row in self.seconds.items()},
            {p: self.host_s[p] for p in kept if p in self.host_s},
            {pair: h for pair, h in self.handovers.items() if set(pair) <= set(kept)},
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "profile",
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
        """The profile that `to_json` wrote; PlanError names the field that is not as it wrote it."""
        check_header(data, "profile", FIELDS, ())
        rows = many(data["handovers"], "profile: handovers", _handover)
        return cls(
            text(data["machine"], "profile: machine"),
            text(data["memory"], "profile: memory"),
            many(data["processors"], "profile: processors", text),
            table(data["seconds"], "profile: seconds", _row),
            _row(data["host_s"], "profile: host_s"),
            dict(rows),
        )


FIELDS = ("machine", "memory", "processors", "seconds", "host_s", "handovers")


def _row(x: Any, where: str) -> dict[str, float]:
    return table(x, where, seconds)


def _handover(x: Any, where: str) -> tuple[tuple[str, str], Handover]:
    row = table(x, where, lambda value, where: value)
    if set(row) != {"source", "target", "latency_s", "s_per_byte"}:
        raise PlanError(f"{where} must have source, target, latency_s and s_per_byte, got {', '.join(row)}")
    ends = text(row["source"], f"{where} source"), text(row["target"], f"{where} target")
    return ends, Handover(seconds(row["latency_s"], f"{where} latency_s"), seconds(row["s_per_byte"], where))


def save_profile(profile: Profile, path: PathLike) -> None:
    """Write `profile` as JSON; at any time the file is the old one or the whole new one."""
    save(path, profile.to_json())


def load_profile(path: PathLike) -> Profile:
    """The profile in a file that `save_profile` or `lwps profile` wrote; PlanError names file and field."""
    return load(path, "profile", Profile.from_json)
