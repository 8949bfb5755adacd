"""Pytrees as files, and folders of checkpoints: whole or not there, checked when read, without pickle."""

from lwps.checkpoint.file import CheckpointError, Saved, load, load_metadata, read, save

__all__ = ["CheckpointError", "Saved", "load", "load_metadata", "read", "save"]
