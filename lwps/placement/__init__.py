"""Which processor runs each eqn: costs, policies, the exact cut, and the simulated step time."""

from lwps.placement.costs import Costs, Flow, cost_table, handover_s, objective
from lwps.placement.mincut import mincut
from lwps.placement.policies import POLICIES, independent, layerwise, layerwise_chain, place
from lwps.placement.simulate import Simulation, simulate

__all__ = [
    "POLICIES",
    "Costs",
    "Flow",
    "Simulation",
    "cost_table",
    "handover_s",
    "independent",
    "layerwise",
    "layerwise_chain",
    "mincut",
    "objective",
    "place",
    "simulate",
]
