"""What the commands plan, profile, explain and trace: the training step of a model that lwps knows by name."""

from typing import Any

import attrs
import numpy as np

from lwps import optim, random, tracing
from lwps.core import Program, ShapedArray
from lwps.models import build
from lwps.nn import Layer
from lwps.plan import Plan, PlanError
from lwps.train import train_step_of


@attrs.frozen
class Subject:
    """A model by name, and the images that it is trained on."""

    model: str = "resnet18"
    batch: int = 32
    image_size: int = 32
    channels: int = 3
    classes: int = 10

    @classmethod
    def of(cls, plan: Plan) -> "Subject":
        """What a plan says that it was made of; PlanError if that is no model of lwps."""
        wanted = {field.name for field in attrs.fields(cls)}
        if set(plan.subject) != wanted or not all(isinstance(v, int) for k, v in plan.subject.items() if k != "model"):
            raise PlanError(
                f"plan: its subject must say {', '.join(sorted(wanted))}, as `lwps plan MODEL` writes them,"
                f" got {dict(plan.subject) or 'none'}; plans of functions are used in Python: lwps.jit(placement=plan)"
            )
        return cls(**plan.subject)

    def to_json(self) -> dict[str, Any]:
        return attrs.asdict(self)

    def trace(self) -> tuple[Program, list[np.ndarray]]:
        """The training step as traced, and made-up inputs for it."""
        model = build(self.model, self.classes, self.image_size)
        return training_trace(model, (self.batch, self.image_size, self.image_size, self.channels))


def training_trace(model: Layer, shape: tuple[int, int, int, int], seed: int = 0) -> tuple[Program, list[np.ndarray]]:
    """The program of a training step on images of `shape` (N, H, W, C), and made-up inputs for it."""
    params, state, logits = model.init(random.key(seed), ShapedArray(shape, "float32"))

    def optimizer(lr: Any) -> Any:
        return optim.sgd(lr, 0.9, 5e-4)

    rng = np.random.default_rng(seed)
    images = rng.standard_normal(shape, np.float32)
    labels = rng.integers(0, logits.shape[-1], shape[0], np.int32)
    args = (params, state, optimizer(0.01).init(params), images, labels, np.float32(1e-4))
    traced = tracing.trace(train_step_of(model, optimizer), *args, donate_argnums=(0, 1, 2))
    return traced, [np.asarray(x) for x in tracing.flatten(args)[0]]
