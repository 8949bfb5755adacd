"""IDX files: read back what was written, refuse what is damaged."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lwps.data import DataError, load_folder, read_idx

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def idx_bytes(x, code=0x08):
    return bytes([0, 0, code, x.ndim]) + struct.pack(f">{x.ndim}I", *x.shape) + x.tobytes()


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(("dtype", "code"), CODES.items())
@given(data=st.data())
def test_an_array_is_read_back(tmp_path_factory, compress, dtype, code, data):
    x = data.draw(arrays(dtype, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)))
    path = tmp_path_factory.mktemp("idx") / "some-idx-ubyte"  # gzip is known by its bytes, not by the name
    path.write_bytes(compress(idx_bytes(x, code)))
    back = read_idx(path)
    assert back.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(back, x)


WHOLE = idx_bytes(np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must begin with 0, 0, a known dtype and a number of axes, got $"),
        (b"\x89PNG\r\n", "must begin with 0, 0, a known dtype .* got 89 50 4e 47"),
        (b"\0\0\x07\1\0\0\0\0", "must begin with .* got 00 00 07 01"),
        (WHOLE[:9], "a header of 2 axes must have 12 bytes, got 9: the file is truncated"),
        (WHOLE[:-1], r"uint8 of \(2, 3\) must have 18 bytes, got 17: the file is truncated"),
        (WHOLE + b"x", r"uint8 of \(2, 3\) must have 18 bytes, got 19: the file has more than its header says"),
        (bytes([0, 0, 8, 65]) + b"\0" * 260, "the header must name an array, got uint8 of 65 axes"),
        (gzip.compress(WHOLE)[:-9], "must be a whole gzip file, got one that is truncated or damaged"),
        (gzip.compress(WHOLE)[:-8] + b"\0" * 8, "must be a whole gzip file, got one that is truncated or damaged"),
    ],
)
def test_a_damaged_file_is_refused_by_what_is_wrong(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "file")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="none: must be a file that can be read, got No such file"):
        read_idx(tmp_path / "none")


def write_folder(folder, train=10, test=5, *, size=4, mark="-", end="", labels=None):
    rng = np.random.default_rng(0)
    for stem, n in (("train", train), ("t10k", test)):
        for kind, x in (
            ("images-idx3", rng.integers(0, 256, (n, size, size), np.uint8)),
            ("labels-idx1", (np.arange(labels or n) % 5).astype(np.uint8)),
        ):
            data = idx_bytes(x)
            name = f"{stem}-{kind.replace('-', mark)}-ubyte{end}"
            (folder / name).write_bytes(gzip.compress(data) if end else data)


@pytest.mark.parametrize(("mark", "end"), [("-", ""), ("-", ".gz"), (".", "")])
def test_a_folder_by_the_names_that_mnist_comes_under(tmp_path, mark, end):
    write_folder(tmp_path, mark=mark, end=end)
    data = load_folder(tmp_path)
    assert data.train_images.shape == (10, 4, 4, 1)
    assert data.test_images.shape == (5, 4, 4, 1)
    assert data.train_images.dtype == data.test_images.dtype == np.float32
    assert data.train_labels.dtype == data.test_labels.dtype == np.int32
    assert (data.classes, data.name) == (5, tmp_path.name)


def test_missing_files_are_listed(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    (tmp_path / "train-images-idx3-ubyte").unlink()
    missing = r"got no train-images-idx3-ubyte\[\.gz\], no t10k-labels-idx1-ubyte\[\.gz\]$"
    with pytest.raises(DataError, match=missing):
        load_folder(tmp_path)


def test_counts_that_disagree_are_refused(tmp_path):
    write_folder(tmp_path, labels=9)
    with pytest.raises(DataError, match="training images must have a label each, got 10 images and 9 labels"):
        load_folder(tmp_path)


def test_no_images_are_refused(tmp_path):
    write_folder(tmp_path, train=0)
    with pytest.raises(DataError, match="there must be images to train on"):
        load_folder(tmp_path)


def test_labels_in_the_place_of_images_are_refused(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes((tmp_path / "t10k-labels-idx1-ubyte").read_bytes())
    with pytest.raises(DataError, match=r"test images must be uint8 or float \[N, H, W\] .* got uint8\[5\]"):
        load_folder(tmp_path)


def test_images_of_two_sizes_are_refused(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((5, 3, 3), np.uint8)))
    with pytest.raises(DataError, match=r"one size .* got \[4, 4, 1\] to train on and \[3, 3, 1\]"):
        load_folder(tmp_path)
