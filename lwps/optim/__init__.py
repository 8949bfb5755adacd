"""Optimizers: pairs (init, update) of pure functions made of ops, after optax; and losses."""

from lwps.optim import losses
from lwps.optim.adam import adam
from lwps.optim.sgd import sgd
from lwps.optim.update import Optimizer, apply_updates

__all__ = ["Optimizer", "adam", "apply_updates", "losses", "sgd"]
