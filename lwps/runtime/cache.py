"""Files that save time at the next start: written aside and renamed, rebuilt when damaged."""

import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import platformdirs

from lwps import environment

FORMAT = 1


def folder() -> Path | None:
    """The cache folder, None where the user wants none."""
    return environment.cache_folder(platformdirs.user_cache_dir("lwps"))


def load(key: str) -> Any:
    """What was stored under `key`; None, with a warning, where the file is damaged."""
    where = folder()
    path = where / f"{key}.json" if where else None
    if path is None:
        return None
    try:
        data = json.loads(path.read_text())
        return data["content"] if data["format"] == FORMAT and data["key"] == key else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        warnings.warn(f"lwps: the cache file {path} is damaged and will be written anew ({error})", stacklevel=2)
        return None


def store(key: str, content: Any) -> None:
    """Keep `content` (JSON) under `key`; a folder that cannot be written is only warned of."""
    where = folder()
    if where is None:
        return
    try:
        where.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=where, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            json.dump({"format": FORMAT, "key": key, "content": content}, file)
        Path(aside).replace(where / f"{key}.json")
    except OSError as error:
        warnings.warn(
            f"lwps: measurements are not kept, {where} cannot be written ({error}); set {environment.CACHE}",
            stacklevel=2,
        )
