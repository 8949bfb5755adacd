"""Pytrees as files: read back to the bit, or refused by what is wrong; the old file is never lost."""

import json
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lwps
from lwps import CheckpointError, load, load_metadata, nn, save
from lwps.checkpoint import atomic
from tests.checkpoint.trees import Moments, Own, assert_same, trees

reuses_its_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
TREE = {"conv1": {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(3, np.float32)}, "step": 7}


@pytest.fixture
def file(tmp_path):
    save(tmp_path / "file", TREE, note="first")
    return tmp_path / "file"


@reuses_its_folder
@given(tree=trees)
def test_what_is_loaded_is_what_was_saved_to_the_bit(tmp_path, tree):
    save(tmp_path / "file", tree)
    assert_same(load(tmp_path / "file", like=tree), tree)


@reuses_its_folder
@given(tree=trees)
def test_without_like_namedtuples_come_back_with_their_fields(tmp_path, tree):
    save(tmp_path / "file", {"a": tree, "moments": Moments(np.ones(2), 3.5)})
    back = load(tmp_path / "file")["moments"]
    assert (type(back).__name__, back._fields, back.square) == ("Moments", ("mean", "square"), 3.5)
    assert type(back) is type(load(tmp_path / "file")["moments"])


def test_a_class_of_the_users_needs_like(tmp_path):
    save(tmp_path / "file", [Own(w=np.ones(2), b=None)])
    with pytest.raises(TypeError, match=r"file: must have been saved without classes, got a Own; give load .* like="):
        load(tmp_path / "file")
    back = load(tmp_path / "file", like=[Own(w=lwps.ShapedArray((2,), "float64"), b=None)])
    assert type(back[0]) is Own
    assert back[0].w.tolist() == [1, 1]


def test_what_compiled_steps_return_is_saved(tmp_path):
    x = lwps.jit(lambda x: x * 2, placement="cpu")(np.ones(3, np.float32))
    save(tmp_path / "file", {"x": x, "scalar": np.float32(0.1), "strided": np.arange(6)[::2]})
    back = load(tmp_path / "file")
    assert back["x"].tolist() == [2, 2, 2]
    assert back["scalar"] == np.float32(0.1)
    assert back["strided"].tolist() == [0, 2, 4]


def test_big_endian_arrays_keep_their_values(tmp_path):
    save(tmp_path / "file", np.arange(3, dtype=">f4"))
    assert load(tmp_path / "file").tolist() == [0, 1, 2]


def test_metadata_are_read_without_the_arrays(file):
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")  # damage that only reading the arrays sees
    assert load_metadata(file) == {"note": "first"}
    assert lwps.checkpoint.read  # the pair of both


def test_metadata_may_have_any_name(tmp_path):
    save(tmp_path / "file", np.ones(1), path=[1], tree={"a": None})
    assert load_metadata(tmp_path / "file") == {"path": [1], "tree": {"a": None}}


def test_other_programs_read_the_arrays_by_their_paths(file):
    arrays = safetensors.numpy.load_file(file)
    assert set(arrays) == {"conv1/w", "conv1/b"}
    np.testing.assert_array_equal(arrays["conv1/w"], TREE["conv1"]["w"])


# --- refusals: what cannot be saved ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("tree", "error", "message"),
    [
        (
            {"a": [object()]},
            TypeError,
            "leaves must be arrays of bool, integers or floats, or numbers, got object at 'a/0'",
        ),
        (np.zeros(2, complex), TypeError, "leaves must be .* got complex128 at ''"),
        (np.array(["x"]), TypeError, "leaves must be .* got <U1"),
        ({"a": {(1, 2): 3}}, TypeError, r"keys of dicts must be str or int, got \(1, 2\) at 'a'"),
        ({1: np.ones(1), "1": np.ones(1)}, ValueError, "a name of its own, not __metadata__, got '1'; rename a key"),
        ({"__metadata__": np.ones(1)}, ValueError, "a name of its own, not __metadata__, got '__metadata__'"),
    ],
)
def test_what_no_file_can_hold_is_refused_by_its_path(tmp_path, tree, error, message):
    with pytest.raises(error, match=f"save: .*{message}"):
        save(tmp_path / "file", tree)
    assert list(tmp_path.iterdir()) == []


def test_metadata_must_be_json(tmp_path):
    with pytest.raises(TypeError, match=r"save: metadata must be JSON, got when=<object .* \(Object of type object"):
        save(tmp_path / "file", 1, when=object())


# --- refusals: what is in the file -----------------------------------------------------------------


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="none: must be a file that can be read, got No such file"):
        load(tmp_path / "none")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a file that lwps.save wrote, got an empty one"),
        (b"PK\3\4 a zip file", "must be a file that lwps.save wrote, got one that begins with 50 4b 03 04"),
        (b"\x80\4\x95", "must be a file that lwps.save wrote, got one that begins with 80 04 95"),
        (
            safetensors.numpy.save({"x": np.ones(2)}),
            "got a safetensors file of another origin; read it with safetensors",
        ),
        (b"\x0a" + b"\0" * 7 + b"{not json ", "got a header that is not JSON of this format: the file is damaged"),
        (b"\x0a" + b"\0" * 7 + b'{"x": [1]}', "got a header that is not JSON of this format: the file is damaged"),
    ],
)
def test_a_foreign_file_is_refused_by_what_it_is(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "file")


def test_a_file_of_a_later_format_is_refused(file, monkeypatch):
    monkeypatch.setattr("lwps.checkpoint.file.FORMAT", 2)
    with pytest.raises(CheckpointError, match="file: must be of format 2, got 1 of another lwps"):
        load(file)


@reuses_its_folder
@given(data=st.data())
def test_a_truncated_file_is_refused_as_such(file, data):
    whole = file.read_bytes()
    cut = file.with_name("cut")
    cut.write_bytes(whole[: data.draw(st.integers(9, len(whole) - 1))])
    with pytest.raises(
        CheckpointError, match=f"cut: must have at least .* bytes, got {cut.stat().st_size}: .* truncated"
    ):
        load(cut)


@settings(reuses_its_folder, max_examples=300)
@given(data=st.data())
def test_no_changed_byte_goes_unseen(file, data):
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    bad = file.with_name("bad")
    bad.write_bytes(content)
    try:
        assert_same(load(bad), TREE)  # a blank of the header that is another blank now
    except CheckpointError as error:
        assert str(error).startswith(f"{bad}: must ")  # noqa: PT017 - either end is a good one


def test_a_damaged_array_is_named(file):
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(
        CheckpointError, match=r"got other bytes than were written in 'conv1/[bw]': the file is damaged"
    ):
        load(file)


# --- refusals: what was expected -------------------------------------------------------------------


def evolved(**conv1):
    return {"conv1": TREE["conv1"] | conv1, "step": 0}


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (
            evolved(w=np.zeros((3, 2), np.float32)),
            r"avals of like, got conv1/w: float32\[2,3\], not float32\[3,2\]$",
        ),
        (evolved(b=np.zeros(3)), r"got conv1/b: float32\[3\], not float64\[3\]"),
        (evolved(b=2), r"got conv1/b: float32\[3\], not int"),
        (evolved(extra=1), "the leaves of like, got none for conv1/extra, and more: nothing"),
        ({"conv1": {}}, "the leaves of like, got none for nothing, and more: conv1/b; conv1/w; step"),
    ],
)
def test_what_is_not_like_like_is_named(file, like, message):
    with pytest.raises(CheckpointError, match=f"file: must have .*{message}"):
        load(file, like=like)


def test_like_is_what_a_model_gives(tmp_path):
    model = nn.serial(nn.conv2d(4, 3), nn.batch_norm(), nn.linear(2))
    aval = lwps.ShapedArray((1, 5, 5, 2), "float32")
    params, state, _ = model.init(lwps.random.key(0), aval)
    save(tmp_path / "file", (params, state))
    other, other_state, _ = model.init(lwps.random.key(1), aval)
    assert_same(load(tmp_path / "file", like=(other, other_state)), (params, state))


def test_like_decides_the_classes(tmp_path):
    save(tmp_path / "file", {"a": OrderedDict(x=np.ones(1)), "b": None})
    back = load(tmp_path / "file", like={"a": OrderedDict(x=np.zeros(1)), "b": None})
    assert type(back["a"]) is OrderedDict


# --- nothing is lost -------------------------------------------------------------------------------


def test_where_nothing_can_be_written_the_old_file_stays(file, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="got No space left on device; the file that was there is untouched"):
        save(file, {"other": np.ones(1000)})
    monkeypatch.undo()
    assert_same(load(file), TREE)
    assert list(file.parent.iterdir()) == [file]


FILLS_UP = """
import resource, numpy as np, lwps
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
lwps.save("file", np.ones(10000))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process")
def test_a_disk_that_fills_up_half_way_is_named(file):
    run = subprocess.run([sys.executable, "-c", FILLS_UP], cwd=file.parent, capture_output=True, text=True, check=False)
    assert "CheckpointError: file: must be a place that can be written, got File too large; the file that" in run.stderr
    assert_same(load(file), TREE)
    assert list(file.parent.iterdir()) == [file]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="none/file: must be a place that can be written, got No such file"):
        save(tmp_path / "none" / "file", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(file):
    file.parent.chmod(0o500)
    with pytest.raises(CheckpointError, match="got Permission denied; the file that was there is untouched"):
        save(file, 1)
    file.parent.chmod(0o700)


def test_an_interrupt_leaves_nothing_behind(file):
    def interrupted():
        with atomic.replacing(file) as aside:
            aside.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert_same(load(file), TREE)
    assert list(atomic.left_behind(file.parent)) == []


def test_the_file_behind_a_link_is_replaced_not_the_link(file):
    link = file.with_name("latest")
    link.symlink_to(file.name)
    save(link, 5)
    assert link.is_symlink()
    assert load(file) == 5
    assert json.dumps(load_metadata(file)) == "{}"
    assert Path(file).stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
