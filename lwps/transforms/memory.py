"""Where values live: lifetimes from the order, offsets in an arena, results over inputs that die."""

from collections.abc import Mapping, Sequence

import attrs

from lwps.core import Program, ShapedArray, Var, donation_pairs, storage_roots
from lwps.plan import MemoryPlan, Placement, Schedule

SHARED, HOST = "shared", "cpu"

# How host and devices come to see the same bytes. `coherent`: they just do. `mapped`: one side at a time, the host
# while it has a range mapped. `apart`: each has bytes of its own, and values are copied.
SHARINGS = ("coherent", "mapped", "apart")


def sharing_of(mode: str) -> str:
    """What a machine's memory mode means for plans, one of SHARINGS."""
    return {"svm-fine": "coherent", "copy": "apart"}.get(mode, "mapped")


@attrs.frozen(eq=False)
class Values:
    """The values of a program that have bytes: numbers for root vars, and their lives in the order run.

    `number[var]` is that of the storage a var lies in. `writer` and `last_read` are positions in the
    order: -1 for what is there before the first eqn, `len(order)` for what must outlive the last.
    `homes[value]` are the families that it is written or read in, its writer's first; `spaces[value]` those in which it
    has bytes. They differ where memory is mapped: there a value that host and devices touch has one place for both.
    """

    number: Mapping[Var, int]
    roots: tuple[Var, ...]
    writer: tuple[int, ...]
    last_read: Mapping[tuple[int, str], int]
    homes: tuple[tuple[str, ...], ...]
    spaces: tuple[tuple[str, ...], ...]
    slots: Mapping[int, str]  # values outside the arena: in3, const0, out2

    def last_touch(self, value: int, space: str) -> int:
        """The position of the last eqn that reads the bytes of `value` in this family of spaces, -1 for none."""
        readers = self.homes[value] if len(self.spaces[value]) == 1 else (space,)
        return max((self.last_read.get((value, h), -1) for h in readers), default=-1)


def family(processor: str, sharing: str) -> str:
    """The family of spaces that a processor works in."""
    if sharing == "apart" or (sharing == "mapped" and processor == HOST):
        return processor
    return SHARED


def values_of(program: Program, placement: Placement, schedule: Schedule, sharing: str) -> Values:
    """Number the storages of `program` and follow them through the schedule."""
    root_of = storage_roots(program)
    roots = tuple(dict.fromkeys(root_of.values()))
    index = {v: k for k, v in enumerate(roots)}
    number = {v: index[r] for v, r in root_of.items()}
    position = {k: i for i, k in enumerate(schedule.order)}
    homes: list[dict[str, None]] = [{} for _ in roots]
    writer = [-1] * len(roots)
    last_read: dict[tuple[int, str], int] = {}
    for k, eqn in enumerate(program.eqns):
        processor = placement.processors[k]
        if processor is None:
            continue
        for v in eqn.outs:
            writer[number[v]] = position[k]
            homes[number[v]] = {family(processor, sharing): None}
    _arrivals(program, number, writer, homes, sharing)
    for k in schedule.order:
        eqn, processor = program.eqns[k], placement.processors[k]
        if processor is None:
            continue
        for v in eqn.ins:
            where = family(processor, sharing)
            homes[number[v]][where] = None
            last_read[number[v], where] = max(position[k], last_read.get((number[v], where), -1))
    spaces = [tuple(h) for h in homes]
    if sharing == "mapped":
        spaces = _mapped_spaces(program, number, spaces)
    if sharing == "apart":
        homes = [_through_host(h) for h in homes]
        spaces = [tuple(h) for h in homes]
    return Values(number, roots, tuple(writer), last_read, _tuples(homes), tuple(spaces), _slots(program, number))


def _tuples(homes: Sequence[Mapping[str, None]]) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, homes))


def _mapped_spaces(
    program: Program, number: Mapping[Var, int], homes: Sequence[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """One place for each value: plain memory of the host if only the host touches it, else memory that can be mapped.

    A donated input and the output that replaces it may share bytes, so they are of one kind.
    """
    shared = [SHARED in h for h in homes]
    pairs = [(number[program.outputs[o]], number[program.inputs[i]]) for o, i in donation_pairs(program).items()]
    for _ in pairs:  # a value may be in two pairs
        for a, b in pairs:
            shared[a] = shared[b] = shared[a] or shared[b]
    return [(SHARED,) if s else (HOST,) if h else () for s, h in zip(shared, homes, strict=True)]


def _through_host(homes: dict[str, None]) -> dict[str, None]:
    """Copies go between the host and one device: a value of one device that another reads is on the host too."""
    first = next(iter(homes), None)
    if first is None or all(h in (first, HOST) for h in homes) or first == HOST:
        return homes
    return dict.fromkeys((first, HOST, *homes))


def _arrivals(
    program: Program,
    number: Mapping[Var, int],
    writer: Sequence[int],
    homes: list[dict[str, None]],
    sharing: str,
) -> None:
    """Inputs arrive on the host; donated ones where the output that replaces them was written."""
    for v in (*program.inputs, *(c for c, _ in program.consts)):
        homes[number[v]] = {family(HOST, sharing): None}
    for o, i in donation_pairs(program).items():
        out = number[program.outputs[o]]
        if writer[out] >= 0:
            homes[number[program.inputs[i]]] = {next(iter(homes[out])): None}


def _slots(program: Program, number: Mapping[Var, int]) -> dict[int, str]:
    slots = {number[v]: f"in{k}" for k, v in enumerate(program.inputs)}
    slots.update({number[v]: f"const{k}" for k, (v, _) in enumerate(program.consts)})
    for k, v in enumerate(program.outputs):
        slots.setdefault(number[v], f"out{k}")
    return slots


def in_place_outputs(program: Program, values: Values, schedule: Schedule) -> dict[int, int]:
    """Output position -> donated input position whose bytes it is written over, where that is safe.

    Safe: no eqn after the writer reads the input, and the writer itself may work in place.
    """
    pairs = {}
    for o, i in donation_pairs(program).items():
        old, new = values.number[program.inputs[i]], values.number[program.outputs[o]]
        if old == new:
            pairs[o] = i
            continue
        last = max((p for (v, _), p in values.last_read.items() if v == old), default=-1)
        kept = any(values.number[v] == old for v in program.outputs)
        if not kept and values.roots[new].aval.nbytes == values.roots[old].aval.nbytes:
            at = values.writer[new]
            if last < at or (last == at and _may_overwrite(program, values, schedule.order[at], new, old)):
                pairs[o] = i
    return pairs


def _may_overwrite(program: Program, values: Values, k: int, new: int, old: int) -> bool:
    """Whether eqn `k` may write storage `new` over storage `old`, which it reads."""
    eqn = program.eqns[k]
    outs = [j for j, v in enumerate(eqn.outs) if values.number[v] == new]
    reads = [j for j, v in enumerate(eqn.ins) if values.number[v] == old]
    if eqn.primitive.alias is None:
        return False
    rows = eqn.primitive.alias(*eqn.in_avals, **eqn.params)
    allowed = {(row.out, row.inp) for row in rows if row.kind == "overwrite"}
    return all((outs[0], j) in allowed for j in reads)


def plan_memory(
    program: Program,
    values: Values,
    schedule: Schedule,
    scratch: Mapping[int, tuple[str, Sequence[ShapedArray]]],
    *,
    alignment: int = 128,
    chunk_limit: int = 1 << 62,
) -> MemoryPlan:
    """Offsets for all values outside slots, and for `scratch` (eqn -> space family, avals).

    Lives that do not overlap share bytes; a result takes over an input that ends with its eqn where the
    alias rule allows. Largest first, at the lowest offset that is free.
    """
    blocks = _blocks(program, values, schedule)
    for k, (where, avals) in scratch.items():
        at = schedule.order.index(k)
        for j, aval in enumerate(avals):
            blocks.append(_Block([scratch_value(k, j)], where, aval.nbytes, at, at))
    places: dict[tuple[int, str], tuple[int, int]] = {}
    chunks: dict[str, list[int]] = {}
    peak: dict[str, int] = {}
    for where in dict.fromkeys(b.where for b in blocks):
        mine = [b for b in blocks if b.where == where]
        chunks[where] = _place(mine, places, alignment, chunk_limit)
        peak[where] = _peak_live(mine, len(schedule.order))
    return MemoryPlan(places, {w: tuple(c) for w, c in chunks.items()}, peak)


def scratch_value(eqn: int, index: int) -> int:
    """The value number of a scratch array."""
    return -1 - eqn * 64 - index


@attrs.define
class _Block:
    """Bytes with a life; several values in turn where each is written over the one before."""

    values: list[int]
    where: str
    nbytes: int
    start: int
    stop: int


def _blocks(program: Program, values: Values, schedule: Schedule) -> list[_Block]:
    blocks: list[_Block] = []
    current: dict[tuple[int, str], _Block] = {}
    order = sorted((values.writer[v], v) for v in range(len(values.roots)) if v not in values.slots)
    for at, value in order:
        if at < 0:
            continue  # only a view of nothing; never written
        for where in values.spaces[value]:
            # what is copied elsewhere must stay until its copy is made, right behind its writer
            stop = max(at, values.last_touch(value, where))
            nbytes = values.roots[value].aval.nbytes
            block = _taken_over(program, values, schedule, current, value, where, at)
            if block is None:
                block = _Block([value], where, nbytes, at, stop)
                blocks.append(block)
            else:
                block.values.append(value)
                block.stop = stop
            current[value, where] = block
    return blocks


def _taken_over(
    program: Program,
    values: Values,
    schedule: Schedule,
    current: Mapping[tuple[int, str], _Block],
    value: int,
    where: str,
    at: int,
) -> _Block | None:
    """The block of an input of the writer that ends here and may be overwritten."""
    k = schedule.order[at]
    if where != values.spaces[value][0]:
        return None  # a copy, not written by the eqn
    for v in program.eqns[k].ins:
        old = values.number[v]
        block = current.get((old, where))
        if (
            block is not None
            and block.values[-1] == old
            and block.stop == at
            and block.nbytes == values.roots[value].aval.nbytes
            and _may_overwrite(program, values, k, value, old)
        ):
            return block
    return None


def _place(
    blocks: Sequence[_Block], places: dict[tuple[int, str], tuple[int, int]], alignment: int, chunk_limit: int
) -> list[int]:
    """Give every block a chunk and an offset; the sizes of the chunks."""
    placed: list[list[tuple[int, int, _Block]]] = []  # a list a chunk: offset, end, block
    for block in sorted(blocks, key=lambda b: (-b.nbytes, b.start)):
        size = max(alignment, -(-block.nbytes // alignment) * alignment)
        if size > chunk_limit:
            raise MemoryError(
                f"memory: the largest allocation must hold {size} bytes for one value, got a limit of {chunk_limit}"
            )
        chunk, offset = 0, 0
        for chunk in range(len(placed) + 1):
            if chunk == len(placed):
                placed.append([])
            offset = _lowest_gap(placed[chunk], block, size)
            if offset + size <= chunk_limit:
                break
        placed[chunk].append((offset, offset + size, block))
        for value in block.values:
            places[value, block.where] = (chunk, offset)
    return [max(end for _, end, _ in chunk) for chunk in placed]


def _lowest_gap(placed: Sequence[tuple[int, int, _Block]], block: _Block, size: int) -> int:
    offset = 0
    for start, end, other in sorted(placed, key=lambda row: row[0]):
        if other.start <= block.stop and block.start <= other.stop:
            if start - offset >= size:
                return offset
            offset = max(offset, end)
    return offset


def _peak_live(blocks: Sequence[_Block], n: int) -> int:
    """The largest sum of live bytes at any eqn: no plan can need less."""
    change = [0] * (n + 2)
    for block in blocks:
        change[block.start] += block.nbytes
        change[block.stop + 1] -= block.nbytes
    live = peak = 0
    for delta in change:
        live += delta
        peak = max(peak, live)
    return peak


def check_memory_plan(program: Program, values: Values, schedule: Schedule, plan: MemoryPlan) -> None:
    """Raise ValueError if two values that are alive at once share bytes without leave."""
    rows = []
    for (value, where), (chunk, offset) in plan.places.items():
        if value < 0:
            continue
        at = values.writer[value]
        stop = max(values.last_touch(value, where), at)
        rows.append((where, chunk, offset, offset + values.roots[value].aval.nbytes, at, stop, value))
    for i, a in enumerate(rows):
        for b in rows[i + 1 :]:
            same = a[:2] == b[:2] and a[2] < b[3] and b[2] < a[3]
            if same and a[4] <= b[5] and b[4] <= a[5]:
                first, second = (a, b) if a[4] <= b[4] else (b, a)
                over = second[4] == first[5] and _may_overwrite(
                    program, values, schedule.order[second[4]], second[6], first[6]
                )
                if not over:
                    raise ValueError(
                        f"memory plan: values {first[6]} and {second[6]} must not share bytes while both live"
                    )
