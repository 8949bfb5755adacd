"""Decisions as values beside the program: placement, profile, schedule, memory plan, instructions."""

from lwps.plan.files import FORMAT, PlanError, digest
from lwps.plan.instructions import Copy, Flush, Instruction, MemoryPlan, Range, Run, Schedule, Wait
from lwps.plan.placement import Placement, check_placement, placement_from_json, placement_of
from lwps.plan.profile import Handover, Profile, eqn_key

__all__ = [
    "FORMAT",
    "Copy",
    "Flush",
    "Handover",
    "Instruction",
    "MemoryPlan",
    "Placement",
    "PlanError",
    "Profile",
    "Range",
    "Run",
    "Schedule",
    "Wait",
    "check_placement",
    "digest",
    "eqn_key",
    "placement_from_json",
    "placement_of",
]
