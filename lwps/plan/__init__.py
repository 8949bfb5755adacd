"""Decisions as values beside the program: placement, profile, plan, schedule, memory plan, instructions."""

from lwps.plan.difference import difference
from lwps.plan.files import FORMAT, PlanError, digest
from lwps.plan.instructions import (
    Copy,
    Flush,
    Instruction,
    Map,
    MemoryPlan,
    Range,
    Run,
    Schedule,
    Touching,
    Unmap,
    Wait,
)
from lwps.plan.near import did_you_mean
from lwps.plan.pins import matches, members_of, pinned
from lwps.plan.placement import Placement, check_placement, placement_from_json, placement_of
from lwps.plan.plan import Plan, load_plan, save_plan, signature, signatures
from lwps.plan.profile import Handover, Profile, eqn_key, load_profile, save_profile

__all__ = [
    "FORMAT",
    "Copy",
    "Flush",
    "Handover",
    "Instruction",
    "Map",
    "MemoryPlan",
    "Placement",
    "Plan",
    "PlanError",
    "Profile",
    "Range",
    "Run",
    "Schedule",
    "Touching",
    "Unmap",
    "Wait",
    "check_placement",
    "did_you_mean",
    "difference",
    "digest",
    "eqn_key",
    "load_plan",
    "load_profile",
    "matches",
    "members_of",
    "pinned",
    "placement_from_json",
    "placement_of",
    "save_plan",
    "save_profile",
    "signature",
    "signatures",
]
