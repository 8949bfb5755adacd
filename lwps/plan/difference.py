"""What is different where a plan meets another program than it was made of."""

from collections.abc import Mapping, Sequence

from lwps.core import Program
from lwps.plan.plan import Plan, signatures

SHOWN = 3  # eqns of each kind


def difference(plan: Plan, program: Program) -> list[str]:
    """Lines that say how the eqns of `program` differ from those that `plan` lists; none if they do not."""
    old, new = plan.eqns, signatures(program)
    missing = [name for name in old if name not in new]
    added = [name for name in new if name not in old]
    changed = [name for name in new if name in old and old[name] != new[name]]
    lines = [
        *_lines("missing", missing, old),
        *_lines("new", added, new),
        *_lines("changed", changed, {name: f"{old[name]}\n    now {new[name]}" for name in changed}),
    ]
    if not lines and [*old] != [*new]:
        lines.append("the same eqns in another order")
    if not lines and program.fingerprint != plan.program:
        lines.append("the same eqns, but other constants, other donated arguments, or values that others read")
    return lines


def _lines(kind: str, names: Sequence[str], says: Mapping[str, str]) -> list[str]:
    if not names:
        return []
    rows = [f"  {name}: {says[name]}" for name in names[:SHOWN]]
    rest = [f"  and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return [f"{len(names)} {kind}", *rows, *rest]
