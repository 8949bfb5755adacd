"""The options that say what a command works on: a model and the images that it is trained on, or a plan."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer

from lwps.models import MODELS, TEXT_MODELS
from lwps.plan import Plan, load_plan
from lwps.report.subject import DIGITS, Subject
from lwps.train import DEFAULTS

DEFAULT = Subject()
Model = Annotated[
    str | None,
    typer.Argument(help=f"One of {', '.join((*MODELS, *TEXT_MODELS))}. Default: {DEFAULT.model}.", show_default=False),
]
Batch = Annotated[int | None, typer.Option(min=1, help=f"Images in a step. Default: {DEFAULT.batch}.")]
ImageSize = Annotated[int | None, typer.Option(min=1, help=f"Pixels a side. Default: {DEFAULT.image_size}.")]
Channels = Annotated[int | None, typer.Option(min=1, help=f"Channels of an image. Default: {DEFAULT.channels}.")]
Context = Annotated[
    int | None, typer.Option(min=1, help=f"Characters of a text seen at once. Default: {DEFAULT.context}.")
]
Classes = Annotated[
    int | None, typer.Option(min=2, help=f"Classes to tell apart, or different characters. Default: {DEFAULT.classes}.")
]
Optimizer = Annotated[str | None, typer.Option(help=f"{', '.join(DEFAULTS)}. Default: as `lwps train`.")]
WeightDecay = Annotated[float | None, typer.Option(min=0, help="As `lwps train` takes it.")]
Clip = Annotated[float | None, typer.Option(min=0, help="As `lwps train` takes it.")]
Data = Annotated[
    str | None,
    typer.Option(help=f"Take sizes from the data at this path, as `lwps train` reads it; {DIGITS}: those of lwps."),
]
Pin = Annotated[
    list[str] | None,
    typer.Option(
        "--pin",
        metavar="PATTERN=PROCESSOR",
        help="Keep eqns on a processor, by name, layer or pattern: 'layer4/*=cpu'. May be given again; later ones win.",
        show_default=False,
    ),
]


Given = Mapping[str, Any]


def given_of(*values: Any) -> Given:
    """Options by the names of `Subject`'s fields, in their order; None where one was not given."""
    return dict(zip((field.name for field in attrs.fields(Subject)), values, strict=True))


def subject_of(given: Given, data: str | None) -> Subject:
    """What the options name, and the data, if they name any; those that are None are as `Subject` has them."""
    options = {name: value for name, value in given.items() if value is not None}
    if data is None:
        return Subject(**options)
    for name in ("channels", "classes"):
        if name in options:
            raise typer.BadParameter(f"--{name} must be left out where --data says it, got {options[name]}")
    return Subject.on(data, **options)


def plan_at(path: Path, given: Given, data: str | None) -> tuple[Plan, Subject]:
    """The plan in a file and what it is of; options that would say the same again must be left out."""
    for name, value in {**given, "data": data}.items():
        if value is not None:
            option = "MODEL" if name == "model" else f"--{name.replace('_', '-')}"
            raise typer.BadParameter(f"{option} must be left out where a plan says what it is of, got {value}")
    plan = load_plan(path)
    return plan, Subject.of(plan)


def pins_of(rows: list[str] | None) -> dict[str, str]:
    """Pattern -> processor, of `--pin` options."""
    pins: dict[str, str] = {}
    for row in rows or ():
        pattern, sign, processor = row.rpartition("=")
        if not sign or not pattern or not processor:
            raise typer.BadParameter(f"--pin must be PATTERN=PROCESSOR, such as 'layer4/*=cpu', got {row!r}")
        pins.pop(pattern, None)  # the last one given wins over patterns between
        pins[pattern] = processor
    return pins
