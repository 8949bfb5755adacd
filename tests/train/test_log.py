"""Logs: lines of JSON, continued behind a checkpoint, and TensorBoard's files."""

import errno
import json
import struct
from pathlib import Path

import pytest

from lwps.train import LogError, Progress, json_lines, tensorboard


def progress(step, loss=1.5):
    return Progress(step, 9, 0, loss, 0.25, 0.1, 100.0, 1e9 + step)


def never(text):
    raise AssertionError(text)


def write(path, steps, **how):
    with json_lines(path, "images", never, **how) as log:
        for step in steps:
            log(progress(step))


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_step_is_a_line_that_is_there_at_once(tmp_path):
    path = tmp_path / "log"
    with json_lines(path, "images", never) as log:
        log(progress(1))
        expected = {"step": 1, "loss": 1.5, "accuracy": 0.25, "lr": 0.1, "images_per_s": 100.0, "time": 1e9 + 1}
        assert rows(path) == [expected]


def test_what_is_not_finite_is_null(tmp_path):
    path = tmp_path / "log"
    with json_lines(path, "characters", never) as log:
        log(progress(1, float("nan")))
    assert rows(path)[0]["loss"] is None
    assert "characters_per_s" in rows(path)[0]


def test_a_log_is_written_anew_or_continued_behind_a_step(tmp_path):
    path = tmp_path / "log"
    write(path, [1, 2, 3, 4])
    path.write_text(path.read_text() + '{"step": 5, "lo')  # killed here
    write(path, [3, 4, 5], resumed_at=2)
    assert [r["step"] for r in rows(path)] == [1, 2, 3, 4, 5]
    path.write_text("not mine\n" + path.read_text())
    write(path, [6], resumed_at=5)
    assert [r["step"] for r in rows(path)] == [1, 2, 3, 4, 5, 6]
    write(path, [1])
    assert [r["step"] for r in rows(path)] == [1]
    write(tmp_path / "new", [3], resumed_at=2)
    assert [r["step"] for r in rows(tmp_path / "new")] == [3]


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    with (
        pytest.raises(LogError, match=r"log: .*none/log must be a file that can be written, got No such file"),
        json_lines(tmp_path / "none" / "log", "images", never),
    ):
        pass


def test_training_goes_on_where_a_log_ends(tmp_path, monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *args):
            raise OSError(errno.ENOSPC, "No space left on device")

        def write(self, line):
            raise OSError(errno.ENOSPC, "No space left on device")

    notes = []
    monkeypatch.setattr(Path, "open", lambda *args, **kwargs: Full())
    monkeypatch.setattr("lwps.train.log._keep", lambda *args: None)
    with json_lines(tmp_path / "log", "images", notes.append) as log:
        for step in (7, 8, 9):
            log(progress(step))
    assert notes == [f"log: {tmp_path / 'log'} ends before step 7: No space left on device"]


def events(folder):
    """(step, tag, value) of every scalar, and the step of every start of a session."""
    from tensorboardX.proto.event_pb2 import Event

    scalars, starts = [], []
    for file in sorted(folder.iterdir()):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            scalars += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
            starts += [event.step] if event.HasField("session_log") else []
    return scalars, starts


def test_tensorboard_gets_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboardX")
    with tensorboard(tmp_path / "a", "images") as log:
        log(progress(1))
        log(progress(2))
    scalars, starts = events(tmp_path / "a")
    assert {(1, "loss", 1.5), (2, "accuracy", 0.25), (2, "images_per_s", 100.0)} <= set(scalars)
    assert len(scalars) == 8
    assert starts == []


def test_tensorboard_is_told_which_steps_come_again(tmp_path):
    pytest.importorskip("tensorboardX")
    with tensorboard(tmp_path / "a", "images", resumed_at=2) as log:
        log(progress(3))
    assert set(events(tmp_path / "a")[1]) == {3}


def test_tensorboard_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    message = r"tensorboard: tensorboardX must be there, got .*; pip install 'lwps\[tensorboard\]'"
    with pytest.raises(LogError, match=message), tensorboard(tmp_path, "images"):
        pass
