"""Pytrees as files, and folders of checkpoints: whole or not there, checked when read, without pickle."""

from lwps.checkpoint.atomic import replacing
from lwps.checkpoint.file import CheckpointError, Saved, load, load_metadata, read, save
from lwps.checkpoint.folder import Checkpoints, Newest

__all__ = ["CheckpointError", "Checkpoints", "Newest", "Saved", "load", "load_metadata", "read", "replacing", "save"]
