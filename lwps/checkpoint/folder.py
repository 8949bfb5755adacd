"""A folder of checkpoints of one training: the newest few, each a whole file, the newest good one found."""

import re
from pathlib import Path
from typing import Any

import attrs

from lwps.checkpoint.atomic import left_behind, replacing
from lwps.checkpoint.file import CheckpointError, check, save

_NAME = re.compile(r"step-(\d{8,})\.safetensors")


@attrs.frozen
class Newest:
    """The newest checkpoint that is whole, and for each newer one why it is not."""

    path: Path
    refused: tuple[str, ...]


@attrs.frozen
class Checkpoints:
    """Checkpoints in `folder`, a file each, named by the step: `step-00000120.safetensors`. The newest `keep` stay."""

    folder: Path = attrs.field(converter=Path)
    keep: int = attrs.field(default=3, validator=attrs.validators.ge(1))

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08}.safetensors"

    def steps(self) -> list[int]:
        """The steps that there are files of, rising."""
        found = (_NAME.fullmatch(f.name) for f in self.folder.glob("step-*.safetensors"))
        return sorted(int(match[1]) for match in found if match)

    def prepare(self) -> None:
        """Make the folder, see that it can be written, and remove what killed processes left half written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for half in left_behind(self.folder):
                half.unlink(missing_ok=True)
            trial = self.folder / "trial"
            with replacing(trial) as file:
                file.write(b"lwps")
            trial.unlink()
        except OSError as error:
            raise CheckpointError(
                f"{self.folder}: must be a folder that can be written, got {error.strerror or error}"
            ) from None

    def save(self, step: int, tree: Any, /, **metadata: Any) -> Path:
        """Save a pytree as the checkpoint of `step`; once it is on the disk, all but `keep` up to it are removed.

        CheckpointError as `lwps.save`; then nothing is removed.
        """
        path = self.path(step)
        save(path, tree, **metadata)
        for old in [s for s in self.steps() if s <= step][: -self.keep]:
            self.path(old).unlink(missing_ok=True)
        return path

    def newest(self) -> Newest:
        """The newest checkpoint whose every byte is as it was written; CheckpointError if there is none."""
        refused: list[str] = []
        for step in reversed(self.steps()):
            try:
                check(self.path(step))
            except CheckpointError as error:
                refused.append(str(error))
            else:
                return Newest(self.path(step), tuple(refused))
        got = "".join(f"\n{line}" for line in refused) or " none"
        raise CheckpointError(f"{self.folder}: must hold a checkpoint that is whole, got{got}")
