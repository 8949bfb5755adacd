"""What the commands plan, profile, explain and trace: the training step of a model that lwps knows by name."""

from typing import Any

import attrs
import numpy as np

from lwps import random, tracing
from lwps.core import Program, ShapedArray
from lwps.models import build
from lwps.nn import Layer
from lwps.plan import Plan, PlanError
from lwps.train import Settings, train_step_of
from lwps.train.steps import draws

Shape = tuple[int, int, int, int]


def _is_name(subject: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{attribute.name} must be a name, got {value!r}")


def _is_count(subject: Any, attribute: Any, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{attribute.name} must be a whole number of at least 1, got {value!r}")


def _is_number(subject: Any, attribute: Any, value: Any) -> None:
    if value is not None and (not isinstance(value, int | float) or value < 0):
        raise ValueError(f"{attribute.name} must be a number of at least 0, got {value!r}")


@attrs.frozen
class Subject:
    """A model by name, the images that it is trained on, and the optimizer.

    `weight_decay` and `clip` as in `train.Settings`; None: what is taken there where nothing is said.
    """

    model: str = attrs.field(default="resnet18", validator=_is_name)
    batch: int = attrs.field(default=32, validator=_is_count)
    image_size: int = attrs.field(default=32, validator=_is_count)
    channels: int = attrs.field(default=3, validator=_is_count)
    classes: int = attrs.field(default=10, validator=_is_count)
    optimizer: str = attrs.field(default="sgd", validator=_is_name)
    weight_decay: float | None = attrs.field(default=None, validator=_is_number)
    clip: float | None = attrs.field(default=None, validator=_is_number)

    @classmethod
    def of(cls, plan: Plan) -> "Subject":
        """What a plan says that it was made of; PlanError if that is no model of lwps."""
        try:
            if "model" not in plan.subject:
                raise TypeError("no 'model'")
            return cls(**plan.subject)
        except (TypeError, ValueError) as error:
            names = ", ".join(field.name for field in attrs.fields(cls))
            raise PlanError(
                f"plan: its subject must be of {names}, as `lwps plan MODEL` writes them, got"
                f" {dict(plan.subject) or 'none'} ({error}); a plan of a function is used in Python:"
                " lwps.jit(placement=plan)"
            ) from error

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in attrs.asdict(self).items() if value is not None}

    def trace(self) -> tuple[Program, list[np.ndarray]]:
        """The training step as traced, and made-up inputs for it."""
        model = build(self.model, self.classes, self.image_size)
        settings = Settings(optimizer=self.optimizer, clip=self.clip)
        if self.weight_decay is not None:
            settings = attrs.evolve(settings, weight_decay=self.weight_decay)
        return training_trace(model, (self.batch, self.image_size, self.image_size, self.channels), settings)


def training_trace(model: Layer, shape: Shape, settings: Settings) -> tuple[Program, list[np.ndarray]]:
    """The program of a training step on images of `shape` (N, H, W, C), as `train` runs it, and made-up inputs."""
    aval = ShapedArray(shape, "float32")
    params, state, logits = model.init(random.key(settings.seed), aval)
    rng = np.random.default_rng(settings.seed)
    images = rng.standard_normal(shape, np.float32)
    labels = rng.integers(0, logits.shape[-1], shape[0], np.int32)
    opt_state = settings.optimizer_of(settings.lr).init(params)
    key = (random.key(settings.seed),) if draws(model, params, state, aval) else ()
    args = (params, state, opt_state, images, labels, np.float32(1e-4), *key)
    traced = tracing.trace(train_step_of(model, settings.optimizer_of), *args, donate_argnums=(0, 1, 2))
    return traced, [np.asarray(x) for x in tracing.flatten(args)[0]]
