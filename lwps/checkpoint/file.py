"""One pytree, one file: arrays in the safetensors format, their structure and the metadata as JSON in its header.

    8 bytes    the length of the header, little-endian
    header     JSON: {"__metadata__": {"lwps": content, "crc32": of content}, name: {dtype, shape, data_offsets}, ...}
    data       the arrays, one after the other

`content` is JSON itself: the format's number, the structure of the pytree, the user's metadata, and for each array the
CRC-32 of its name, aval and bytes, since safetensors would not see a flipped bit. Other programs read the arrays as
those of any safetensors file.
"""

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import attrs
import numpy as np
from safetensors import SafetensorError, safe_open

from lwps.checkpoint.atomic import replacing
from lwps.checkpoint.structure import RESERVED, describe, leaves, leaves_by_name, rebuild
from lwps.tree import structure as structure_of
from lwps.tree import unflatten

FORMAT = 1
OWN = "lwps"
LARGEST_HEADER = 100_000_000  # bytes, of the safetensors format
_CODES = {"bool": "BOOL", "uint": "U", "int": "I", "float": "F"}


class CheckpointError(ValueError):
    """A file cannot be written, is none that lwps wrote, is damaged, or does not hold what was asked for."""


@attrs.frozen
class Saved:
    """What a file holds."""

    tree: Any
    metadata: dict[str, Any]


# --- writing --------------------------------------------------------------------------------------


def save(path: str | os.PathLike[str], tree: Any, /, **metadata: Any) -> None:
    """Write a pytree of arrays and numbers, and `metadata` (JSON), to `path`.

    Dicts with str or int keys, tuples, lists, namedtuples and None come back as they are, other classes through
    `load(like=)`. Arrays keep their dtypes and bits. The file is written aside, synced and renamed. CheckpointError
    where that fails (a full disk, no permission); then what was at `path` before is untouched. TypeError for
    what no file can hold.
    """
    path = Path(path)
    structure, arrays = describe(tree)
    arrays = {name: _little_endian(x) for name, x in sorted(arrays.items(), key=lambda row: -row[1].itemsize)}
    content = _json({"format": FORMAT, "structure": structure, "metadata": _checked(metadata), "crc32": _sums(arrays)})
    header = _header(content, arrays)
    try:
        with replacing(path) as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for x in arrays.values():
                file.write(x.reshape(-1).view(np.uint8).data)
    except OSError as error:
        kept = "; the file that was there is untouched" if path.exists() else ""
        raise CheckpointError(
            f"{path}: must be a place that can be written, got {error.strerror or error}{kept}"
        ) from None


def _checked(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    for key, value in metadata.items():
        try:
            _json(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"save: metadata must be JSON, got {key}={value!r:.60} ({error})") from None
    return metadata


def _json(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))


def _little_endian(x: np.ndarray) -> np.ndarray:
    x = x.astype(x.dtype.newbyteorder("<"), copy=False)
    return x if x.flags.c_contiguous else x.copy()  # ascontiguousarray would make 0-d arrays 1-d


def _sums(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    return {name: _sum(name, x) for name, x in arrays.items()}


def _sum(name: str, x: np.ndarray) -> int:
    """The CRC-32 of an array's name, dtype, shape and bytes."""
    return zlib.crc32(x.reshape(-1).view(np.uint8).data, zlib.crc32(f"{name} {x.dtype.name}{x.shape}".encode()))


def _hex_sum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _header(content: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    rows: dict[str, Any] = {RESERVED: {OWN: content, "crc32": _hex_sum(content)}}
    start = 0
    for name, x in arrays.items():
        rows[name] = {"dtype": _code(x.dtype), "shape": list(x.shape), "data_offsets": [start, start + x.nbytes]}
        start += x.nbytes
    header = _json(rows).encode()
    if len(header) > LARGEST_HEADER:
        raise ValueError(f"save: structure and metadata must have at most {LARGEST_HEADER} bytes, got {len(header)}")
    return header + b" " * (-len(header) % 8)  # so that data begins aligned


def _code(dtype: np.dtype) -> str:
    """The name of a dtype in the format: F32, U8, BOOL."""
    kind = dtype.name.rstrip("0123456789")
    return _CODES[kind] + (str(8 * dtype.itemsize) if kind != "bool" else "")


# --- reading --------------------------------------------------------------------------------------


def load(path: str | os.PathLike[str], like: Any = None) -> Any:
    """The pytree that `save` wrote, its arrays as NumPy arrays.

    `like`: a pytree with the same leaves by name (arrays or avals; for a model what `init` gives). The result has its
    structure and classes, and every array is known to have the shape and dtype there. Without it namedtuples come
    back as new classes of the same name, and a class of your own raises TypeError. CheckpointError says whether the
    file is missing, truncated, damaged, not one of `save`'s, or not like `like`.
    """
    return read(path, like).tree


def load_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata that `save` was given, without reading the arrays; errors as `load`'s."""
    return _content(Path(path))["metadata"]


def read(path: str | os.PathLike[str], like: Any = None) -> Saved:
    """Both: the pytree, and the metadata."""
    path = Path(path)
    content = _content(path)
    arrays = _arrays(path, content["crc32"])
    if like is None:
        try:
            return Saved(rebuild(content["structure"], arrays), content["metadata"])
        except TypeError as error:
            raise TypeError(f"{path}: {error}") from None
    return Saved(_as(path, like, leaves(content["structure"], arrays)), content["metadata"])


def check(path: Path) -> None:
    """Raise CheckpointError unless every byte of a file is as `save` wrote it."""
    _arrays(path, _content(path)["crc32"])


def _content(path: Path) -> dict[str, Any]:
    """What `save` put into the header, known to be whole."""
    own = _header_of(path).get(RESERVED, {})
    if OWN not in own:
        raise CheckpointError(
            f"{path}: must be a file that lwps.save wrote, got a safetensors file of another origin;"
            " read it with safetensors.numpy.load_file"
        )
    text = own[OWN]
    if own.get("crc32") != _hex_sum(text):
        _damaged(path, "other bytes than were written in the header")
    content = json.loads(text)
    if content["format"] != FORMAT:
        raise CheckpointError(f"{path}: must be of format {FORMAT}, got {content['format']} of another lwps; update it")
    return content  # type: ignore[no-any-return]


def _header_of(path: Path) -> dict[str, Any]:
    """The JSON at the beginning of a file that has all the bytes that this promises."""
    try:
        with path.open("rb") as file:
            begin = file.read(9)
            length = int.from_bytes(begin[:8], "little")
            known = begin[8:] == b"{" and length <= LARGEST_HEADER
            header = begin[8:] + file.read(length - 1) if known else b""
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise CheckpointError(f"{path}: must be a file that can be read, got {error.strerror}") from None
    if not known:
        got = f"one that begins with {begin.hex(' ')}" if begin else "an empty one"
        raise CheckpointError(f"{path}: must be a file that lwps.save wrote, got {got}")
    try:
        rows = json.loads(header) if len(header) == length else {}
        expected = 8 + length + max((row["data_offsets"][1] for k, row in rows.items() if k != RESERVED), default=0)
        if size < expected:
            raise CheckpointError(f"{path}: must have at least {expected} bytes, got {size}: the file is truncated")
        return rows  # type: ignore[no-any-return]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, IndexError, RecursionError):
        _damaged(path, "a header that is not JSON of this format")


def _arrays(path: Path, sums: Mapping[str, int]) -> dict[str, np.ndarray]:
    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        _damaged(path, str(error))
    if set(arrays) != set(sums):
        _damaged(path, f"other arrays than were written: {sorted(set(arrays) ^ set(sums))[:3]}")
    for name, x in arrays.items():
        if _sum(name, x) != sums[name]:
            _damaged(path, f"other bytes than were written in {name!r}")
    return arrays


def _damaged(path: Path, what: str) -> NoReturn:
    raise CheckpointError(f"{path}: must be as lwps.save wrote it, got {what}: the file is damaged")


# --- as another pytree ----------------------------------------------------------------------------


def _as(path: Path, like: Any, found: Mapping[str, Any]) -> Any:
    """The leaves of a file in the structure of `like`; CheckpointError lists what does not fit."""
    wanted = leaves_by_name(like)
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or extra:
        raise CheckpointError(
            f"{path}: must have the leaves of like, got none for {_few(missing)}, and more: {_few(extra)}"
        )
    kinds = {name: (_kind(found[name]), _kind(leaf)) for name, leaf in wanted.items()}
    wrong = [f"{name}: {got}, not {want}" for name, (got, want) in kinds.items() if got != want]
    if wrong:
        raise CheckpointError(f"{path}: must have the avals of like, got {_few(wrong)}")
    return unflatten(structure_of(like), [found[name] for name in wanted])


def _kind(leaf: Any) -> str:
    """What a leaf is: the dtype and shape of an array, the type of a number."""
    if not hasattr(leaf, "shape"):
        return type(leaf).__name__
    return f"{np.dtype(leaf.dtype)}[{','.join(map(str, leaf.shape))}]"


def _few(rows: Sequence[str]) -> str:
    return "; ".join([*rows[:3], *(["..."] if len(rows) > 3 else [])]) or "nothing"
