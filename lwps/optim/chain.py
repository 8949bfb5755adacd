"""Optimizers made of stages."""

from typing import Any

from lwps.optim.update import Optimizer


def chain(*stages: Optimizer) -> Optimizer:
    """The optimizer that hands the gradients through `stages`, each taking the updates of the one before.

    The state is a tuple of theirs. A chain of one stage is that stage.
    """
    if not stages:
        raise ValueError("chain: there must be at least one stage, got none; use scale(1.0) to change nothing")
    if len(stages) == 1:
        return stages[0]

    def init(params: Any) -> Any:
        return tuple(stage.init(params) for stage in stages)

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        if len(state) != len(stages):
            raise ValueError(f"chain: the state must be that of {len(stages)} stages, got {len(state)}; use init")
        new = []
        for stage, own in zip(stages, state, strict=True):
            grads, own = stage.update(grads, own, params)
            new.append(own)
        return grads, tuple(new)

    return Optimizer(init, update)
