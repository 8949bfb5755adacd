"""A folder of checkpoints: the newest few stay, the newest good one is found."""

import os

import numpy as np
import pytest

from lwps import CheckpointError, load
from lwps.checkpoint import Checkpoints


@pytest.fixture
def checkpoints(tmp_path):
    found = Checkpoints(tmp_path / "runs" / "a", keep=2)
    found.prepare()
    return found


def damage(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_the_newest_stay(checkpoints):
    for step in (1, 5, 30, 200):
        path = checkpoints.save(step, {"x": np.full(2, step)}, step=step)
    assert checkpoints.steps() == [30, 200]
    assert path.name == "step-00000200.safetensors"
    assert checkpoints.newest().path == path
    assert load(path)["x"].tolist() == [200, 200]


def test_a_damaged_newest_one_is_named_and_the_one_before_is_used(checkpoints):
    for step in (1, 2):
        checkpoints.save(step, np.ones(3))
    damage(checkpoints.path(2))
    newest = checkpoints.newest()
    assert newest.path == checkpoints.path(1)
    assert len(newest.refused) == 1
    assert "step-00000002.safetensors: must be as lwps.save wrote it" in newest.refused[0]


def test_a_damaged_one_ahead_does_not_push_good_ones_out(checkpoints):
    """After going on from step 10, files of 20 and 30 that are damaged must not count as the two that stay."""
    for step in (10, 20):
        checkpoints.save(step, np.ones(3))
    checkpoints.save(30, np.ones(3))
    damage(checkpoints.path(20))
    damage(checkpoints.path(30))
    checkpoints.save(10, np.ones(3))
    checkpoints.save(15, np.ones(3))
    assert checkpoints.newest().path == checkpoints.path(15)
    checkpoints.save(20, np.ones(3))  # the training comes by again
    assert checkpoints.steps() == [15, 20, 30]
    assert checkpoints.newest().path == checkpoints.path(20)


def test_where_none_is_whole_all_are_named(checkpoints):
    with pytest.raises(CheckpointError, match="a: must hold a checkpoint that is whole, got none"):
        checkpoints.newest()
    for step in (1, 2):
        checkpoints.save(step, 5)
        checkpoints.path(step).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"got\n.*00002.* an empty one\n.*00001.* an empty one"):
        checkpoints.newest()


def test_where_saving_fails_nothing_is_removed(checkpoints, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    for step in (1, 2):
        checkpoints.save(step, np.ones(3))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        checkpoints.save(3, np.ones(3))
    assert checkpoints.steps() == [1, 2]
    assert len(list(checkpoints.folder.iterdir())) == 2


def test_what_killed_processes_left_is_removed(checkpoints):
    (checkpoints.folder / ".step-00000007.safetensors.0123abcd.lwps-tmp").write_bytes(b"half")
    (checkpoints.folder / "notes.txt").write_text("mine")
    checkpoints.prepare()
    assert [f.name for f in checkpoints.folder.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="file/a: must be a folder that can be written, got Not a directory"):
        Checkpoints(tmp_path / "file" / "a").prepare()


def test_at_least_one_is_kept(tmp_path):
    with pytest.raises(ValueError, match="'keep' must be >= 1: 0"):
        Checkpoints(tmp_path, keep=0)
