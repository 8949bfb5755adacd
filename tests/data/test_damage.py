"""Readers and damaged files: a named error or a good read, never a crash."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwps.data import DataError, Dataset, load
from tests.data import files

EXAMPLES = {"idx": 150, "cifar": 30, "npz": 200, "pictures": 150, "text": 50}


@pytest.fixture(scope="module", params=files.KINDS)
def whole(request, tmp_path_factory):
    """A data set of each kind, and its files."""
    path = files.KINDS[request.param](tmp_path_factory.mktemp("whole") / "data")
    if request.param == "npz":
        path = path.with_name("data.npz")
    return request.param, path, sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]


@st.composite
def damaged(draw, content):
    """Bytes cut off, bytes changed at a few places (more often near the beginning, where headers lie), bytes added."""
    content = bytearray(content)
    how = draw(st.sampled_from(["cut", "change", "add"]))
    last = len(content) - 1
    if how == "cut":
        return bytes(content[: draw(st.integers(0, last))])
    if how == "add":
        at = draw(st.integers(0, last))
        return bytes(content[:at]) + draw(st.binary(min_size=1, max_size=9)) + bytes(content[at:])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, last) | st.integers(0, min(last, 60)) | st.integers(max(0, last - 60), last))
        content[at] = draw(st.integers(0, 255))
    return bytes(content)


def assert_good(data):
    """What training relies on."""
    for step in (0, 1):
        inputs, labels = data.batch(step, 1, seed=0)
        assert inputs.shape == (1, *data.example[0])
        assert ((labels >= 0) & (labels < data.classes)).all()
    assert all(((labels >= 0) & (labels < data.classes)).all() for _, labels, _ in data.test_batches(4))
    if isinstance(data, Dataset):
        assert np.isfinite(data.train_images).all()
        assert len(data.train_images) == len(data.train_labels)


def test_damage_is_named_or_harmless(whole, tmp_path_factory):
    kind, path, parts = whole
    place = tmp_path_factory.mktemp("damaged") / path.name
    shutil.copytree(path, place) if path.is_dir() else shutil.copy(path, place)

    @settings(max_examples=EXAMPLES[kind])
    @given(data=st.data())
    def check(data):
        part = data.draw(st.sampled_from(parts))
        copy = place / part.relative_to(path) if path.is_dir() else place
        copy.write_bytes(data.draw(damaged(part.read_bytes())))
        try:
            assert_good(load(place, context=8))
        except DataError as error:
            assert str(place.parent) in str(error) or place.name in str(error)  # noqa: PT017 - either end is a good one
        finally:
            copy.write_bytes(part.read_bytes())

    check()
