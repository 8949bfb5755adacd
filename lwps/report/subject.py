"""What the commands plan, profile, explain and trace: the training step of a model that lwps knows by name."""

from typing import Any

import attrs
import numpy as np

from lwps import random, tracing
from lwps.core import Program, aval_of
from lwps.models import TEXT_MODELS, build, build_text
from lwps.nn import Layer
from lwps.plan import Plan, PlanError
from lwps.train import Job, Settings, train_step_of
from lwps.train.steps import draws

DIGITS = "digits"  # stands for the data that come with lwps
USUAL_OF_TEXT = "adamw"  # as `train` takes it


def _is_name(subject: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{attribute.name} must be a name, got {value!r}")


def _is_count(subject: Any, attribute: Any, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{attribute.name} must be a whole number of at least 1, got {value!r}")


def _is_number(subject: Any, attribute: Any, value: Any) -> None:
    if value is not None and (not isinstance(value, int | float) or value < 0):
        raise ValueError(f"{attribute.name} must be a number of at least 0, got {value!r}")


def _usual_optimizer(subject: "Subject") -> str:
    return USUAL_OF_TEXT if subject.model in TEXT_MODELS else "sgd"


@attrs.frozen
class Subject:
    """A model by name, the images or the text that it is trained on, and the optimizer.

    `image_size` and `channels` are of images, `context` of text: the characters seen at once. `classes` are those to
    tell apart, or the different characters. `weight_decay` and `clip` as in `train.Settings`; None: what is taken
    there where nothing is said.
    """

    model: str = attrs.field(default="resnet18", validator=_is_name)
    batch: int = attrs.field(default=32, validator=_is_count)
    image_size: int = attrs.field(default=32, validator=_is_count)
    channels: int = attrs.field(default=3, validator=_is_count)
    context: int = attrs.field(default=64, validator=_is_count)
    classes: int = attrs.field(default=10, validator=_is_count)
    optimizer: str = attrs.field(default=attrs.Factory(_usual_optimizer, takes_self=True), validator=_is_name)
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

    @classmethod
    def on(cls, data: str, **given: Any) -> "Subject":
        """The model on the data at a path as `train` reads it (`digits`: those of lwps), which decides on sizes.

        `image_size` and `context`, if they are given, decide on the data first.
        """
        path = None if data == DIGITS else data
        job = Job(data=path, **{name: given[name] for name in ("model", "image_size", "context") if name in given})
        dataset = job.dataset()
        job.build(dataset)  # refuses data of another kind
        shape, _ = dataset.example
        if len(shape) == 1:
            return cls(**{**given, "context": shape[0], "classes": dataset.classes})
        if shape[0] != shape[1]:
            raise ValueError(f"--data: images must be as high as wide, got {shape[0]}x{shape[1]}; use --image-size")
        sizes = {"image_size": shape[0], "channels": shape[2], "classes": dataset.classes}
        return cls(**{**given, **sizes})

    @property
    def of_text(self) -> bool:
        return self.model in TEXT_MODELS

    def to_json(self) -> dict[str, Any]:
        """What the program depends on."""
        without = ("image_size", "channels") if self.of_text else ("context",)
        return {name: x for name, x in attrs.asdict(self).items() if x is not None and name not in without}

    def trace(self) -> tuple[Program, list[np.ndarray]]:
        """The training step as traced, as `train` runs it, and made-up inputs for it."""
        settings = Settings(optimizer=self.optimizer, clip=self.clip)
        if self.weight_decay is not None:
            settings = attrs.evolve(settings, weight_decay=self.weight_decay)
        if self.of_text:
            model, shape = build_text(self.model, self.classes, self.context), (self.batch, self.context)
            return training_trace(model, shape, shape, self.classes, settings)
        model = build(self.model, self.classes, self.image_size)
        shape4 = (self.batch, self.image_size, self.image_size, self.channels)
        return training_trace(model, shape4, shape4[:1], self.classes, settings)


def training_trace(
    model: Layer, inputs: tuple[int, ...], labels: tuple[int, ...], classes: int, settings: Settings
) -> tuple[Program, list[np.ndarray]]:
    """The program of a training step, and made-up inputs for it.

    Inputs of these shapes: images (N, H, W, C), or characters (N, length); a label for each image or character.
    """
    rng = np.random.default_rng(settings.seed)
    drawn = rng.integers(0, classes, labels, np.int32)
    images = rng.standard_normal(inputs, np.float32) if len(inputs) == 4 else rng.integers(0, classes, inputs, np.int32)
    aval = aval_of(images)
    params, state, _ = model.init(random.key(settings.seed), aval)
    opt_state = settings.optimizer_of(settings.lr).init(params)
    key = (random.key(settings.seed),) if draws(model, params, state, aval) else ()
    args = (params, state, opt_state, images, drawn, np.float32(1e-4), *key)
    traced = tracing.trace(train_step_of(model, settings.optimizer_of), *args, donate_argnums=(0, 1, 2))
    return traced, [np.asarray(x) for x in tracing.flatten(args)[0]]
