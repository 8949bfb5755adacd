"""Policies: functions from costs to a placement, and `place`, which takes any of them by name."""

import itertools
from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np

from lwps.core import Eqn, Program, Var, storage_roots
from lwps.placement.costs import NOWHERE, Costs, Flow, cost_table, handover_s
from lwps.placement.mincut import mincut
from lwps.plan import Placement, PlanError, Profile, check_placement, did_you_mean, placement_of

UserPolicy = Callable[[Program, Profile], Placement | Mapping[str, str] | Sequence[str | None]]


def place(
    program: Program,
    profile: Profile,
    policy: str | UserPolicy = "mincut",
    pins: Mapping[str, str] | None = None,
) -> Placement:
    """Where each eqn of `program` runs, by the seconds in `profile`, with `objective_s` filled in.

    `policy`: a processor's name (all there; what it cannot run falls to the host), a name in `POLICIES`, or a
    function of (program, profile) that returns a Placement, {eqn name: processor}, or a processor for every eqn.
    `pins` as in `cost_table`. PlanError for an unknown policy, or a placement where an eqn cannot run.
    """
    costs = cost_table(program, profile, pins)
    placement = _by_user(policy, program, profile) if callable(policy) else _by_name(policy, costs)
    check_placement(program, placement, costs.processors)
    _check_can_run(costs, placement)
    return attrs.evolve(placement, objective_s=costs.objective(placement.processors))


def _by_name(policy: str, costs: Costs) -> Placement:
    if policy in costs.processors:
        return everything_on(costs, policy)
    if policy not in POLICIES:
        known = (*costs.processors, *POLICIES)
        near = did_you_mean(policy, known)
        raise PlanError(f"place: policy must be one of {', '.join(known)} or a function, got {policy!r}{near}")
    return POLICIES[policy](costs)


def _by_user(policy: UserPolicy, program: Program, profile: Profile) -> Placement:
    result, name = policy(program, profile), getattr(policy, "__name__", "by hand")
    if isinstance(result, Placement):
        return result
    if isinstance(result, Mapping):
        return placement_of(result, program, name)
    if isinstance(result, Sequence) and not isinstance(result, str):
        return Placement(tuple(result), name)
    wanted = "a Placement, a mapping from eqn names or a sequence of processors"
    raise PlanError(f"place: policy {name} must return {wanted}, got {result!r}")


def _check_can_run(costs: Costs, placement: Placement) -> None:
    for k, p in enumerate(costs.positions(placement.processors)):
        if p != NOWHERE and not np.isfinite(costs.seconds[k, p]):
            able = [name for name, s in zip(costs.processors, costs.seconds[k], strict=True) if np.isfinite(s)]
            name, got = costs.program.names[k], placement.processors[k]
            raise PlanError(
                f"placement: {name} must be where it can run and is pinned ({', '.join(able)}), got {got!r}"
            )


def _placement(costs: Costs, at: Sequence[int], policy: str) -> Placement:
    return Placement(costs.names(at), policy, costs.objective_at(at))


# --- one eqn at a time --------------------------------------------------------------------------


def everything_on(costs: Costs, processor: str) -> Placement:
    """All eqns on one processor; those that it cannot run fall to the host, pinned ones stay where they are pinned."""
    return _placement(costs, costs.asked[:, costs.processors.index(processor)].tolist(), processor)


def independent(costs: Costs) -> Placement:
    """Each eqn where it is fastest, hand-overs ignored: the naive baseline. Ties go to the first processor."""
    at = np.where(costs.runs, costs.seconds.argmin(axis=1), NOWHERE)
    return _placement(costs, at.tolist(), "independent")


# --- one layer at a time ------------------------------------------------------------------------


@attrs.frozen(eq=False)
class LayerEqns:
    """The eqns of one layer that do work: those of its forward, and those of its backward with its updates."""

    layer: str
    forward: tuple[int, ...]
    backward: tuple[int, ...]


State = tuple[int, int]  # processors of a layer's forward and backward, by position


def layers_of(program: Program) -> tuple[LayerEqns, ...]:
    """The layers in the order of their first eqns; eqns without a layer are a group of their own.

    Update eqns belong to the layer whose backward wrote what they read, directly or through other updates: the name
    that the optimizer gives them is that of a parameter.
    """
    names = _layer_names(program)
    found: dict[str, tuple[list[int], list[int]]] = {}
    for k, eqn in enumerate(program.eqns):
        if eqn.runs:
            found.setdefault(names[k], ([], []))[eqn.phase != "forward"].append(k)
    return tuple(LayerEqns(name, tuple(f), tuple(b)) for name, (f, b) in found.items())


def _layer_names(program: Program) -> list[str]:
    root_of = storage_roots(program)
    gradient_of: dict[Var, str] = {}  # the layer of values that its backward wrote, or updates made of them
    names = []
    for eqn in program.eqns:
        name = eqn.layer if eqn.phase == "backward" else _layer_behind(eqn, root_of, gradient_of)
        names.append(name or eqn.layer)
        if name:
            gradient_of.update(dict.fromkeys(eqn.outs, name))
    return names


def _layer_behind(eqn: Eqn, root_of: Mapping[Var, Var], gradient_of: Mapping[Var, str]) -> str:
    if eqn.phase != "update":
        return ""
    return next((gradient_of[root_of[v]] for v in eqn.ins if root_of[v] in gradient_of), "")


def layerwise(costs: Costs) -> Placement:
    """For each layer on its own the best of the pairs (p for forward, q for backward).

    A pair costs f(p) + b(q) + the hand-over of what backward reads from forward of that layer; updates count
    with backward. After Ha, Kim, Moon, Jeong, Sensors 21(7):2364, 2021, as its abstract reads.
    """
    at = [NOWHERE] * len(costs.program.eqns)
    from_producer = _by_producer(costs)
    for layer in layers_of(costs.program):
        read = _read_by_backward(layer, from_producer)
        state = min(_states(costs), key=lambda s, layer=layer, read=read: _layer_s(costs, layer, s, read))  # type: ignore[misc]
        _assign(at, costs, layer, state)
    return _placement(costs, at, "layerwise")


def _states(costs: Costs) -> list[State]:
    count = range(len(costs.processors))
    return [(p, q) for p in count for q in count]


def _by_producer(costs: Costs) -> dict[int | None, list[Flow]]:
    found: dict[int | None, list[Flow]] = {}
    for flow in costs.flows:
        found.setdefault(flow.producer, []).append(flow)
    return found


def _read_by_backward(layer: LayerEqns, from_producer: Mapping[int | None, Sequence[Flow]]) -> list[Flow]:
    """What forward of a layer writes, with only its backward as readers."""
    backward = set(layer.backward)
    flows = [flow for k in layer.forward for flow in from_producer.get(k, ())]
    return [
        attrs.evolve(flow, readers=tuple(r for r in flow.readers if r in backward), read_by_host=False)
        for flow in flows
    ]


def _assign(at: list[int], costs: Costs, layer: LayerEqns, state: State) -> None:
    for eqns, p in zip((layer.forward, layer.backward), state, strict=True):
        for k in eqns:
            at[k] = costs.asked[k, p]


def _layer_s(costs: Costs, layer: LayerEqns, state: State, flows: Sequence[Flow]) -> float:
    """Seconds of a layer's eqns, and of the hand-overs of `flows` among them."""
    at = [NOWHERE] * len(costs.program.eqns)
    _assign(at, costs, layer, state)
    return costs.eqns_s((*layer.forward, *layer.backward), at) + handover_s(costs, flows, at)


# --- a chain of layers --------------------------------------------------------------------------


def layerwise_chain(costs: Costs) -> Placement:
    """The pairs of all layers together, with the hand-overs within layers, between neighbours, and with the host.

    Dynamic programming over the layers in program order. Hand-overs around the step (an update's to the next step's
    forward) lie within a layer and so are counted. The best choice of pairs if the layers are a chain: if every
    value has its readers in its own layer and one neighbour; hand-overs between layers further apart are left out.
    """
    layers, states = layers_of(costs.program), _states(costs)
    flows = _flows_of_layers(costs, layers)
    alone = [[_layer_s(costs, x, s, f) for s in states] for x, f in zip(layers, flows, strict=True)]
    best, cheapest = alone[:1], []
    for k in range(1, len(layers)):
        shared = _shared_s(costs, layers[k - 1 : k + 1], flows[k - 1 : k + 1], states)
        upto = np.array(best[-1])[:, None] + shared + np.array(alone[k])
        cheapest.append(upto.argmin(axis=0).tolist())
        best.append(upto.min(axis=0).tolist())
    at = [NOWHERE] * len(costs.program.eqns)
    for layer, s in zip(layers, _walk_back(best, cheapest), strict=True):
        _assign(at, costs, layer, states[s])
    return _placement(costs, at, "layerwise-chain")


def _flows_of_layers(costs: Costs, layers: Sequence[LayerEqns]) -> list[list[Flow]]:
    """For each layer the values that it writes, and the inputs that it reads."""
    from_producer = _by_producer(costs)
    found = []
    for layer in layers:
        eqns = (*layer.forward, *layer.backward)
        inputs = [flow for flow in from_producer.get(None, ()) if not set(eqns).isdisjoint(flow.readers)]
        found.append([*inputs, *(flow for k in eqns for flow in from_producer.get(k, ()))])
    return found


def _shared_s(
    costs: Costs, layers: Sequence[LayerEqns], flows: Sequence[Sequence[Flow]], states: Sequence[State]
) -> np.ndarray:
    """[state of the first, state of the second]: hand-overs of two layers beyond those that each has alone."""
    both = list(dict.fromkeys(itertools.chain(*flows)))
    shared = np.empty((len(states), len(states)))
    for i, j in np.ndindex(shared.shape):
        parts = [[NOWHERE] * len(costs.program.eqns) for _ in range(3)]
        for layer, s, own in zip(layers, (states[i], states[j]), parts[:2], strict=True):
            _assign(own, costs, layer, s)
            _assign(parts[2], costs, layer, s)
        first, second, together = (handover_s(costs, f, at) for f, at in zip((*flows, both), parts, strict=True))
        shared[i, j] = together - first - second
    return shared


def _walk_back(best: Sequence[Sequence[float]], cheapest: Sequence[Sequence[int]]) -> list[int]:
    """The states that lead to the cheapest last one, first layer first."""
    if not best:
        return []
    path = [int(np.argmin(best[-1]))]
    for came_from in reversed(cheapest):
        path.append(came_from[path[-1]])
    return path[::-1]


POLICIES: dict[str, Callable[[Costs], Placement]] = {
    "independent": independent,
    "layerwise": layerwise,
    "layerwise-chain": layerwise_chain,
    "mincut": mincut,
}
