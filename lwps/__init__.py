"""lwps: functional training with every op, forward and backward, on the processor that suits it."""

from lwps import environment  # isort: skip - before anything imports NumPy
from lwps import export, image, nn, numpy, optim, tree
from lwps.api import CompiledStep, compile, default_machine, jit, profile
from lwps.autodiff import grad, value_and_grad, vjp
from lwps.autoplace import Receipt
from lwps.checkpoint import CheckpointError, load, load_metadata, save
from lwps.core import Primitive, Program, ShapedArray, check_program
from lwps.ops import random
from lwps.ops.at import at
from lwps.ops.attention import attention
from lwps.ops.custom import custom_vjp
from lwps.ops.dynamic import dynamic_slice, dynamic_update_slice
from lwps.ops.elementwise import stop_gradient
from lwps.ops.gather import one_hot
from lwps.ops.scatter import segment_sum
from lwps.ops.softmax import log_softmax, softmax
from lwps.ops.sort import top_k
from lwps.placement import place
from lwps.plan import Placement, Plan, PlanError, Profile, load_plan, load_profile, save_plan, save_profile
from lwps.planning import explain_plan, make_plan
from lwps.runtime.array import Array, DonationError
from lwps.runtime.machine import Machine, MachineError
from lwps.tracing import layer, trace
from lwps.transforms.optimize import optimize
from lwps.transforms.vjp import MissingVjpError

__version__ = "0.1.0"

__all__ = [
    "Array",
    "CheckpointError",
    "CompiledStep",
    "DonationError",
    "Machine",
    "MachineError",
    "MissingVjpError",
    "Placement",
    "Plan",
    "PlanError",
    "Primitive",
    "Profile",
    "Program",
    "Receipt",
    "ShapedArray",
    "at",
    "attention",
    "check_program",
    "compile",
    "custom_vjp",
    "default_machine",
    "dynamic_slice",
    "dynamic_update_slice",
    "environment",
    "explain_plan",
    "export",
    "grad",
    "image",
    "jit",
    "layer",
    "load",
    "load_metadata",
    "load_plan",
    "load_profile",
    "log_softmax",
    "make_plan",
    "nn",
    "numpy",
    "one_hot",
    "optim",
    "optimize",
    "place",
    "profile",
    "random",
    "save",
    "save_plan",
    "save_profile",
    "segment_sum",
    "softmax",
    "stop_gradient",
    "top_k",
    "trace",
    "tree",
    "value_and_grad",
    "vjp",
]
