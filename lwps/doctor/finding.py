"""What the doctor says: one thing looked at, how it is, and the command that mends it."""

import attrs

STATUSES = ("ok", "warn", "fail")


@attrs.frozen
class Finding:
    """`fail`: it keeps a device from working; `warn`: it may, or costs time; `fix`: a command, or what to do."""

    topic: str
    status: str = attrs.field(validator=attrs.validators.in_(STATUSES))
    says: str
    fix: str | None = None


@attrs.frozen
class Seen:
    """An OpenCL device that was found: its processor's name, what it is, and its limits in bytes."""

    name: str
    description: str
    gpu: bool
    memory: int
    largest_allocation: int


def ok(topic: str, says: str) -> Finding:
    return Finding(topic, "ok", says)


def warn(topic: str, says: str, fix: str | None = None) -> Finding:
    return Finding(topic, "warn", says, fix)


def fail(topic: str, says: str, fix: str) -> Finding:
    return Finding(topic, "fail", says, fix)
