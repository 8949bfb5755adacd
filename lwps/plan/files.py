"""Decisions as JSON files, read field by field, so that an error names the file, the field and what is wrong."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lwps.plan.near import did_you_mean

FORMAT = 1  # of the JSON files; a reader refuses others

T = TypeVar("T")
PathLike = str | os.PathLike[str]


class PlanError(ValueError):
    """A placement, profile or plan does not fit the program or the machine it is used with."""


def digest(parts: Iterable[str]) -> str:
    """A short hash of texts, for the keys of files."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


# --- files --------------------------------------------------------------------------------------


def load(path: PathLike, kind: str, from_json: Callable[[Mapping[str, Any]], T]) -> T:
    """What `from_json` makes of the JSON object in a file; PlanError names the file."""
    try:
        data = json.loads(Path(path).read_bytes(), object_pairs_hook=_once_each, parse_constant=_refuse_constant)
        if not isinstance(data, dict):
            raise PlanError(f"{kind}: must be a JSON object, got {type(data).__name__}")
        return from_json(data)
    except OSError as error:
        raise PlanError(f"{kind}: {path} must be a file that can be read, got {error.strerror}") from error
    except PlanError as error:
        raise PlanError(f"{error} (in {path})") from error
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{kind}: {path} must be a whole JSON file as lwps writes it, got {error}") from error


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} twice in one object")
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text}, which is no JSON number")


def save(path: PathLike, data: Mapping[str, Any]) -> None:
    """Write a JSON object with one entry a line; at any time the file is the old one or the whole new one."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n")
        aside.replace(path)
    except OSError as error:
        raise PlanError(f"{path} must be a place that can be written to, got {error.strerror}") from error
    finally:
        aside.unlink(missing_ok=True)


# --- fields: each takes what was read and where it stood ----------------------------------------


def text(x: Any, where: str) -> str:
    if not isinstance(x, str):
        raise PlanError(f"{where} must be text, got {x!r}")
    return x


def seconds(x: Any, where: str) -> float:
    """A number of at least 0."""
    if isinstance(x, bool) or not isinstance(x, int | float) or not 0 <= x < math.inf:
        raise PlanError(f"{where} must be a number of at least 0, got {x!r}")
    return float(x)


def count(x: Any, where: str) -> int:
    if isinstance(x, bool) or not isinstance(x, int) or x < 1:
        raise PlanError(f"{where} must be a whole number of at least 1, got {x!r}")
    return x


def many(x: Any, where: str, of: Callable[[Any, str], T]) -> tuple[T, ...]:
    if not isinstance(x, list):
        raise PlanError(f"{where} must be a list, got {x!r}")
    return tuple(of(item, f"{where}[{k}]") for k, item in enumerate(x))


def table(x: Any, where: str, of: Callable[[Any, str], T]) -> dict[str, T]:
    if not isinstance(x, Mapping):
        raise PlanError(f"{where} must be an object, got {x!r}")
    return {name: of(item, f"{where}[{name!r}]") for name, item in x.items()}


def check_header(data: Mapping[str, Any], kind: str, required: Collection[str], optional: Collection[str]) -> None:
    """Raise PlanError unless `data` is of this kind and format and has these fields, and no others."""
    found = data.get("kind", kind)
    if found != kind:
        raise PlanError(f"{kind}: must be a {kind} file, got one of kind {found!r}")
    if data.get("format") != FORMAT:
        raise PlanError(f"{kind}: must be a JSON object of format {FORMAT}, got format {data.get('format')!r}")
    for name in required:
        if name not in data:
            raise PlanError(f"{kind}: must have the field {name!r}, got only {', '.join(data)}")
    known = ("kind", "format", *required, *optional)
    for name in data:
        if name not in known:
            raise PlanError(f"{kind}: fields must be among {', '.join(known)}, got {name!r}{did_you_mean(name, known)}")
