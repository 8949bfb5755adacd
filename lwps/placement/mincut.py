"""The exact optimum of the serial objective for two processors: a minimum cut between them (Stone 1977).

Every eqn is a node between two terminals, the processors. An edge is paid if its tail is on the side of the first
processor and its head on that of the second: a terminal's edge to an eqn is what the eqn costs on the other
side. A hand-over must be paid once however many eqns read: its edge ends in a node of its own that is dragged
across by any of them over edges too dear to cut.
"""

import itertools
from collections.abc import Sequence

import attrs
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from lwps.placement.costs import NOWHERE, Costs, Flow
from lwps.plan import Placement, PlanError

# scipy's flows are int32, and larger capacities wrap around unseen. The best cut known so far becomes BOUND, so
# that no flow is larger; no edge is larger than UNCUTTABLE, so that two opposite ones still fit.
BOUND = 1 << 29
UNCUTTABLE = (1 << 30) - 1
SMALLEST_S = 1e-290  # keeps the scale finite


def mincut(costs: Costs) -> Placement:
    """A placement with the smallest possible objective; never above that of the better single processor.

    Exact up to the rounding of capacities to 29 bits of the optimum. PlanError for more than two processors.
    """
    if len(costs.processors) > 2:
        raise PlanError(
            f"mincut: places on two processors at a time, got {', '.join(costs.processors)};"
            " give it a profile with the host and one other"
        )
    singles = [costs.asked[:, p].tolist() for p in range(len(costs.processors))]
    best = min(singles, key=costs.objective_at)
    if len(costs.processors) == 2:
        best = _improve(costs, best)
    return Placement(costs.names(best), "mincut", costs.objective_at(best))


def _improve(costs: Costs, best: Sequence[int]) -> Sequence[int]:
    """Cut, and cut again on the finer scale that a much better result allows."""
    network = _network(costs)
    least = float(costs.seconds.min(axis=1).sum())  # paid by every placement, so no part of the network
    while True:
        bound = costs.objective_at(best) - least
        if bound <= 1e-13 * least:
            return best
        found = _cut(network, len(costs.program.eqns), bound, costs)
        above = costs.objective_at(found) - least
        if above < bound:
            best = found
        if above > bound / 2:
            return best


@attrs.define
class _Network:
    """Directed edges with capacities in seconds; parallel ones add up."""

    nodes: int
    tails: list[int] = attrs.Factory(list)
    heads: list[int] = attrs.Factory(list)
    seconds: list[float] = attrs.Factory(list)

    def link(self, tail: int, head: int, seconds: float) -> None:
        if seconds > 0:
            self.tails.append(tail)
            self.heads.append(head)
            self.seconds.append(seconds)


def _network(costs: Costs) -> _Network:
    """Eqn k is node k; the terminals of processors 0 and 1 follow, then the nodes of hand-overs."""
    count = len(costs.program.eqns)
    terminals = (count, count + 1)
    network = _Network(count + 2)
    extra = costs.seconds - costs.seconds.min(axis=1, keepdims=True)
    for k, (on_0, on_1) in enumerate(extra.tolist()):
        network.link(terminals[0], k, on_1)
        network.link(k, terminals[1], on_0)
    groups = [list(group) for _, group in itertools.groupby(costs.flows, key=lambda flow: flow.producer)]
    for source, target in ((0, 1), (1, 0)):
        for group in groups:
            _add_handovers(network, costs, group, source, target, terminals)
    return network


def _add_handovers(
    network: _Network, costs: Costs, group: Sequence[Flow], source: int, target: int, terminals: tuple[int, int]
) -> None:
    """What the results of one producer cost if it is on `source` and readers are on `target`."""
    producer = group[0].producer
    if producer is None and costs.host != source:
        return
    writer = terminals[costs.host] if producer is None else producer
    handover = costs.handover[source][target]
    crossing = []
    for flow in group:
        readers = list(flow.readers)
        if flow.read_by_host and costs.host == target:
            readers.append(terminals[target])
        if readers:
            value = _any_of(network, readers, source)
            _oriented(network, writer, value, flow.nbytes * handover.s_per_byte, source)
            crossing.append(value)
    if crossing:
        _oriented(network, writer, _any_of(network, crossing, source), handover.latency_s, source)


def _any_of(network: _Network, nodes: Sequence[int], source: int) -> int:
    """A node that is across from `source` as soon as one of `nodes` is."""
    if len(nodes) == 1:
        return nodes[0]
    hub = network.nodes
    network.nodes += 1
    for node in nodes:
        _oriented(network, hub, node, np.inf, source)
    return hub


def _oriented(network: _Network, near: int, far: int, seconds: float, source: int) -> None:
    """An edge that is cut if `near` is on the side of `source` and `far` across."""
    network.link(*((near, far) if source == 0 else (far, near)), seconds)


def _cut(network: _Network, count: int, bound: float, costs: Costs) -> list[int]:
    """The side of each eqn in a minimum cut, given that some cut costs `bound` seconds."""
    shape = (network.nodes, network.nodes)
    capacity = csr_array((network.seconds, (network.tails, network.heads)), shape=shape)
    capacity.sum_duplicates()  # in seconds: integers could leave their range
    scaled = np.rint(capacity.data * (BOUND / max(bound, SMALLEST_S)))
    capacity.data = np.minimum(scaled, UNCUTTABLE).astype(np.int32)
    flow = maximum_flow(capacity, count, count + 1).flow
    residual = csr_array(capacity - flow)
    residual.eliminate_zeros()
    near = breadth_first_order(residual, count, return_predecessors=False)
    side = np.ones(network.nodes, np.intp)
    side[near] = 0
    return np.where(costs.runs, side[:count], NOWHERE).tolist()
