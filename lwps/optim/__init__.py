"""Optimizers: pairs (init, update) of pure functions made of ops, after optax; schedules and losses."""

from lwps.optim import losses
from lwps.optim.adam import adam, adamw, scale_by_adam
from lwps.optim.average import Average, ema
from lwps.optim.chain import chain
from lwps.optim.clip import clip, clip_by_global_norm, global_norm
from lwps.optim.partition import masked, partition, set_to_zero
from lwps.optim.rmsprop import rmsprop, scale_by_rms
from lwps.optim.scale import add_decayed_weights, scale, scale_by_learning_rate, scale_by_schedule
from lwps.optim.schedules import (
    constant_schedule,
    cosine_decay_schedule,
    exponential_decay,
    join_schedules,
    linear_schedule,
    piecewise_constant_schedule,
    warmup_cosine_decay_schedule,
)
from lwps.optim.sgd import accumulate, sgd
from lwps.optim.update import Optimizer, Schedule, apply_updates

__all__ = [
    "Average",
    "Optimizer",
    "Schedule",
    "accumulate",
    "adam",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "chain",
    "clip",
    "clip_by_global_norm",
    "constant_schedule",
    "cosine_decay_schedule",
    "ema",
    "exponential_decay",
    "global_norm",
    "join_schedules",
    "linear_schedule",
    "losses",
    "masked",
    "partition",
    "piecewise_constant_schedule",
    "rmsprop",
    "scale",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_rms",
    "scale_by_schedule",
    "set_to_zero",
    "sgd",
    "warmup_cosine_decay_schedule",
]
