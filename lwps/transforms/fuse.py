"""Chains of elementwise eqns joined into one eqn each: one kernel, one pass over memory."""

import heapq
from collections.abc import Collection, Mapping, Sequence

import attrs

from lwps.core import Eqn, Program, Var
from lwps.ops.elementwise import full_p
from lwps.ops.fused import fused_p
from lwps.transforms.simplify import drop_dead

MAX_MEMBERS = 32
MAX_OPERANDS = 24  # devices may allow as few as 1024 bytes of kernel arguments


def fuse(program: Program, apart: Collection[str] = (), pins: Mapping[str, str] | None = None) -> Program:
    """Elementwise eqns of one phase and one shape that feed each other, as `fused` eqns.

    Names in `apart` stay eqns of their own. `pins` maps names to processors: eqns of different ones, and those
    that have one and those that have none, are not joined. Constants filled with a number are taken
    into every chain that reads them.
    """
    groups = _Groups(program, set(apart), pins or {})
    for k in range(len(program.eqns)):
        groups.add(k)
    return _emit(program, groups)


@attrs.define
class _Group:
    members: list[int]
    needs: int = 0  # bit g: depends on group g, through any number of others


class _Groups:
    """The partition of a program's eqns into chains, grown one eqn at a time."""

    def __init__(self, program: Program, apart: set[str], pins: Mapping[str, str]) -> None:
        self.program = program
        self.pins = [pins.get(name) for name in program.names]
        self.apart = apart
        self.groups: list[_Group] = []
        self.group_of: dict[int, int] = {}
        self.writer = {v: k for k, eqn in enumerate(program.eqns) for v in eqn.outs}
        self.users, self.fills = _users(program), _fills(program)

    def add(self, k: int) -> None:
        """Eqn `k` as a group of its own, then joined with the groups of its producers where that is right."""
        sources = sorted({self.group_of[self.writer[v]] for v in self.program.eqns[k].ins if v in self.writer})
        mine = len(self.groups)
        needs = 0
        for g in sources:
            needs |= self.groups[g].needs | 1 << g
        self.groups.append(_Group([k], needs))
        self.group_of[k] = mine
        if self._joinable(k):
            for g in reversed(sources):
                if self._fits(mine, g):
                    self._join(mine, g)

    def _joinable(self, k: int) -> bool:
        eqn = self.program.eqns[k]
        return eqn.primitive.elementwise and eqn.primitive is not full_p and self.program.names[k] not in self.apart

    def _fits(self, g: int, h: int) -> bool:
        """Whether two groups may become one: alike, not too large, and nothing in between."""
        a, b = self.groups[g].members, self.groups[h].members
        first, second = self.program.eqns[a[0]], self.program.eqns[b[0]]
        return (
            self._joinable(b[0])
            and first.phase == second.phase
            and self.pins[a[0]] == self.pins[b[0]]
            and first.outs[0].aval.shape == second.outs[0].aval.shape
            and len(a) + len(b) <= MAX_MEMBERS
            and self._operands([*a, *b]) <= MAX_OPERANDS
            and not self._between(g, h)
            and not self._between(h, g)
        )

    def _between(self, g: int, h: int) -> bool:
        """Whether a third group needs `h` and is needed by `g`: a chain of both would wait for itself."""
        others = self.groups[g].needs & ~(1 << g | 1 << h)
        return any(others >> x & 1 and group.needs >> h & 1 for x, group in enumerate(self.groups))

    def _operands(self, members: Sequence[int]) -> int:
        """How many arrays the chain reads and writes: not what stays inside, nor numbers that it fills in itself."""
        eqns = [self.program.eqns[m] for m in members]
        written = {v for eqn in eqns for v in eqn.outs}
        read = {v for eqn in eqns for v in eqn.ins} - written - self.fills.keys()
        return len(read) + sum(not self.users.get(v, set()).issubset(members) for v in written)

    def _join(self, g: int, h: int) -> None:
        """All of `h` into `g`; `h` stays behind empty."""
        into, emptied = self.groups[g], self.groups[h]
        for k in emptied.members:
            self.group_of[k] = g
        into.members = sorted([*into.members, *emptied.members])
        into.needs = (into.needs | emptied.needs) & ~(1 << g | 1 << h)
        emptied.members, emptied.needs = [], 0
        for other in self.groups:
            if other is not into and other.needs & (1 << g | 1 << h):
                other.needs = (other.needs | into.needs | 1 << g) & ~(1 << h)


def _emit(program: Program, groups: _Groups) -> Program:
    """The groups in an order that runs, as early as their last member stood."""
    direct = [
        {groups.group_of[groups.writer[v]] for k in group.members for v in program.eqns[k].ins if v in groups.writer}
        - {g}
        for g, group in enumerate(groups.groups)
    ]
    # a group that was joined to another has no members left and takes no part
    readers: list[list[int]] = [[] for _ in direct]
    for g, sources in enumerate(direct):
        for s in sources:
            readers[s].append(g)
    waiting = [len(sources) for sources in direct]
    ready = [(groups.groups[g].members[-1], g) for g, n in enumerate(waiting) if n == 0 and groups.groups[g].members]
    heapq.heapify(ready)
    eqns: list[Eqn] = []
    used, fills = _users(program), _fills(program)
    while ready:
        _, g = heapq.heappop(ready)
        eqns.append(_fused(program, groups.groups[g].members, used, fills))
        for r in readers[g]:
            waiting[r] -= 1
            if waiting[r] == 0:
                heapq.heappush(ready, (groups.groups[r].members[-1], r))
    return drop_dead(attrs.evolve(program, eqns=tuple(eqns)))


def _users(program: Program) -> dict[Var, set[int]]:
    """For every value the eqns that read it; -1 stands for the program's outputs."""
    users: dict[Var, set[int]] = {v: {-1} for v in program.outputs}
    for k, eqn in enumerate(program.eqns):
        for v in eqn.ins:
            users.setdefault(v, set()).add(k)
    return users


def _fused(program: Program, members: Sequence[int], used: dict[Var, set[int]], fills: dict[Var, Eqn]) -> Eqn:
    eqns = [program.eqns[k] for k in members]
    shapes = ((), eqns[0].outs[0].aval.shape)
    read_fills = {v for eqn in eqns for v in eqn.ins if v in fills and v.aval.shape in shapes}
    if not eqns[0].primitive.elementwise or eqns[0].primitive is full_p or (len(eqns) == 1 and not read_fills):
        return eqns[0]
    written = {v for eqn in eqns for v in eqn.outs}
    outs = tuple(v for eqn in eqns for v in eqn.outs if used.get(v, set()) - set(members))
    ins = tuple(dict.fromkeys(v for eqn in eqns for v in eqn.ins if v not in written and v not in read_fills))
    body = _body(
        [*(fills[v] for v in dict.fromkeys(v for e in eqns for v in e.ins) if v in read_fills), *eqns], ins, outs
    )
    last = eqns[-1]
    return Eqn(fused_p, ins, outs, {"body": body}, eqns[0].layer, last.phase, last.source)


def _fills(program: Program) -> dict[Var, Eqn]:
    """Eqns whose result is one known number everywhere: a chain makes it in a register."""
    return {eqn.outs[0]: eqn for eqn in program.eqns if eqn.primitive is full_p}


def _body(eqns: Sequence[Eqn], ins: tuple[Var, ...], outs: tuple[Var, ...]) -> Program:
    """A program of its own, with vars of its own: the same chain elsewhere is the same text."""
    own = {v: Var(v.aval) for v in (*ins, *(v for eqn in eqns for v in eqn.outs))}
    members = tuple(
        attrs.evolve(eqn, ins=tuple(own[v] for v in eqn.ins), outs=tuple(own[v] for v in eqn.outs)) for eqn in eqns
    )
    return Program(tuple(own[v] for v in ins), members, tuple(own[v] for v in outs))
