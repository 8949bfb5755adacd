"""Chains of elementwise eqns joined into one eqn each: one kernel, one pass over memory."""

import heapq
from collections.abc import Collection, Sequence

import attrs

from lwps.core import Eqn, Program, Var
from lwps.ops.elementwise import full_p
from lwps.ops.fused import fused_p
from lwps.transforms.simplify import drop_dead

MAX_MEMBERS = 32
MAX_OPERANDS = 24  # devices may allow as few as 1024 bytes of kernel arguments


def fuse(program: Program, apart: Collection[str] = ()) -> Program:
    """Elementwise eqns of one phase and one shape that feed each other, as `fused` eqns.

    Names in `apart` stay eqns of their own (those pinned to a processor). Constants filled with a number are taken into every
    chain that reads them.
    """
    groups = _Groups(program, {name for name in apart})
    for k in range(len(program.eqns)):
        groups.add(k)
    return _emit(program, groups)


@attrs.define
class _Group:
    members: list[int]
    needs: int = 0  # bit g: depends on group g, through any number of others


class _Groups:
    """The partition of a program's eqns into chains, grown one eqn at a time."""

    def __init__(self, program: Program, apart: set[str]) -> None:
        self.program = program
        self.apart = apart
        self.groups: list[_Group] = []
        self.group_of: dict[int, int] = {}
        self.writer = {v: k for k, eqn in enumerate(program.eqns) for v in eqn.outs}

    def add(self, k: int) -> None:
        """Put eqn `k` into the last chain of its producers' that can take it, or into a new group."""
        sources = {self.group_of[self.writer[v]] for v in self.program.eqns[k].ins if v in self.writer}
        candidates = [g for g in sorted(sources, reverse=True) if self._fits(k, g, sources)]
        if candidates:
            self._join(k, candidates[0], sources)
        else:
            self.group_of[k] = len(self.groups)
            self.groups.append(_Group([k], self._needs(sources)))

    def _needs(self, sources: Collection[int]) -> int:
        needs = 0
        for g in sources:
            needs |= self.groups[g].needs | 1 << g
        return needs

    def _fits(self, k: int, g: int, sources: Collection[int]) -> bool:
        group, eqn = self.groups[g], self.program.eqns[k]
        first = self.program.eqns[group.members[0]]
        return (
            self._joinable(k)
            and self._joinable(group.members[0])
            and first.phase == eqn.phase
            and first.outs[0].aval.shape == eqn.outs[0].aval.shape
            and len(group.members) < MAX_MEMBERS
            and self._operands([*group.members, k]) <= MAX_OPERANDS
            # nothing between the chain and this eqn may depend on the chain
            and not self._needs([s for s in sources if s != g]) >> g & 1
        )

    def _joinable(self, k: int) -> bool:
        eqn = self.program.eqns[k]
        return eqn.primitive.elementwise and eqn.primitive is not full_p and self.program.names[k] not in self.apart

    def _operands(self, members: Sequence[int]) -> int:
        written = {v for m in members for v in self.program.eqns[m].outs}
        return len({v for m in members for v in self.program.eqns[m].ins} | written)

    def _join(self, k: int, g: int, sources: Collection[int]) -> None:
        self.group_of[k] = g
        self.groups[g].members.append(k)
        gained = self._needs([s for s in sources if s != g])
        for other in self.groups:
            if other is self.groups[g] or other.needs >> g & 1:
                other.needs |= gained


def _emit(program: Program, groups: _Groups) -> Program:
    """The groups in an order that runs, as early as their last member stood."""
    direct = [
        {groups.group_of[groups.writer[v]] for k in group.members for v in program.eqns[k].ins if v in groups.writer}
        - {g}
        for g, group in enumerate(groups.groups)
    ]
    readers: list[list[int]] = [[] for _ in direct]
    for g, sources in enumerate(direct):
        for s in sources:
            readers[s].append(g)
    waiting = [len(sources) for sources in direct]
    ready = [(groups.groups[g].members[-1], g) for g, n in enumerate(waiting) if n == 0]
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
    body = _body([*(fills[v] for v in dict.fromkeys(v for e in eqns for v in e.ins) if v in read_fills), *eqns], ins, outs)
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

