"""The options that say what a command works on: a model and the images that it is trained on, or a plan."""

from pathlib import Path
from typing import Annotated

import typer

from lwps.models import MODELS
from lwps.plan import Plan, load_plan
from lwps.report.subject import Subject

DEFAULT = Subject()
Model = Annotated[
    str | None, typer.Argument(help=f"One of {', '.join(MODELS)}. Default: {DEFAULT.model}.", show_default=False)
]
Batch = Annotated[int | None, typer.Option(min=1, help=f"Images in a step. Default: {DEFAULT.batch}.")]
ImageSize = Annotated[int | None, typer.Option(min=1, help=f"Pixels a side. Default: {DEFAULT.image_size}.")]
Channels = Annotated[int | None, typer.Option(min=1, help=f"Channels of an image. Default: {DEFAULT.channels}.")]
Classes = Annotated[int | None, typer.Option(min=2, help=f"Classes to tell apart. Default: {DEFAULT.classes}.")]
Pin = Annotated[
    list[str] | None,
    typer.Option(
        "--pin",
        metavar="PATTERN=PROCESSOR",
        help="Keep eqns on a processor, by name, layer or pattern: 'layer4/*=cpu'. May be given again; later ones win.",
        show_default=False,
    ),
]


def subject_of(
    model: str | None, batch: int | None, image_size: int | None, channels: int | None, classes: int | None
) -> Subject:
    """What the options name; what they leave open is as `Subject` has it."""
    given = {"model": model, "batch": batch, "image_size": image_size, "channels": channels, "classes": classes}
    return Subject(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def plan_at(path: Path, **left_out: object) -> tuple[Plan, Subject]:
    """The plan in a file and what it is of; options that would say the same again must be left out."""
    for name, value in left_out.items():
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
