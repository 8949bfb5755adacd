"""Readers: what they make of good files, and what they say of others."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from lwps.data import DataError, Pictures, load, load_cifar, load_npz, load_pictures, load_text
from tests.data import files

# --- CIFAR ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "name", "count"), [(10, "CIFAR-10", 10), (100, "CIFAR-100", 2)])
def test_cifar_records_become_images_of_three_channels(tmp_path, classes, name, count):
    data = load_cifar(files.cifar(tmp_path / "c", classes=classes))
    assert data.train_images.shape == (count, 32, 32, 3)
    assert data.test_images.shape == (2, 32, 32, 3)
    assert data.train_labels.tolist() == [k % classes for k in range(count)]
    assert data.name == name
    pixels = data.train_images * data.deviation + data.mean
    np.testing.assert_allclose(pixels[:, 0, 0, 0], 255, atol=1e-3)  # red comes first
    np.testing.assert_allclose(pixels[:, -1, -1, 2], 254, atol=1e-3)
    np.testing.assert_allclose(pixels[:, 9, 9, 1], data.train_labels, atol=1e-3)


def test_cifar_names_its_classes(tmp_path):
    folder = files.cifar(tmp_path / "c")
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    data = load(folder)
    assert (data.class_names, data.classes) == (tuple("abcdefghij"), 10)
    (folder / "batches.meta.txt").write_text("only one")
    assert load(folder).class_names == ()


def test_cifar_is_found_in_the_folder_that_its_archive_makes(tmp_path):
    files.cifar(tmp_path / "cifar-10-batches-bin")
    assert load(tmp_path).kind == "CIFAR's binary files"


def test_missing_files_of_cifar_are_listed(tmp_path):
    folder = files.cifar(tmp_path / "c")
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"must hold the binary files of CIFAR, got no data_batch_3\.bin$"):
        load(folder)
    with pytest.raises(DataError, match=r"got no data_batch_1\.bin, no data_batch_2\.bin"):
        load_cifar(tmp_path)


def test_records_of_cifar_must_be_whole_and_their_labels_classes(tmp_path):
    folder = files.cifar(tmp_path / "c")
    file = folder / "test_batch.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"test_batch.bin: must have whole records of 3073 bytes, got 6145: "):
        load(folder)
    file.write_bytes(whole[:3073] + b"\x0a" + whole[3074:])
    with pytest.raises(DataError, match=r"test_batch.bin: labels must be from 0 to 9, got 10 in record 1: damaged"):
        load(folder)


def test_the_pickled_version_of_cifar_is_not_read(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02")
    with pytest.raises(DataError, match="must hold the binary version of CIFAR, got the Python one, which is pickled"):
        load(tmp_path)


# --- npz ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("images", "labels"), ("train_images", "train_labels"), ("x_train", "y_train")])
def test_npz_arrays_go_by_several_names(tmp_path, names):
    x, y = np.random.default_rng(0).random((12, 4, 4, 3), np.float32), np.arange(12)[:, None] % 3
    test = ("x_test", "y_test") if names[0] == "x_train" else ("test_images", "test_labels")
    arrays = dict(zip((*names, *test), (x, y, x[:5], y[:5]), strict=True))
    data = load(files.npz(tmp_path / "d.npz", **arrays))
    assert (data.train_images.shape, data.test_images.shape, data.classes) == ((12, 4, 4, 3), (5, 4, 4, 3), 3)
    np.testing.assert_allclose(data.train_images * data.deviation + data.mean, x, atol=1e-5)
    assert data.test_labels.tolist() == y[:5, 0].tolist()


def test_npz_without_test_images_keeps_a_fifth_of_each_class(tmp_path):
    x, y = np.random.default_rng(0).integers(0, 99, (40, 2, 2), np.uint8), np.repeat(np.arange(4), 10)
    data = load_npz(files.npz(tmp_path / "d.npz", images=x, labels=y))
    assert np.bincount(data.test_labels).tolist() == [2, 2, 2, 2]
    assert len(data.train_images) == 32


@pytest.mark.parametrize("arrays", [{"images": 1}, {"x": 1, "y": 2}, {"images": 1, "labels": 2, "test_images": 3}])
def test_npz_without_the_names_lists_those_it_has(tmp_path, arrays):
    with pytest.raises(DataError, match=f"must have the arrays images and labels .* got {', '.join(sorted(arrays))}$"):
        load(files.npz(tmp_path / "d.npz", **arrays))


def test_npz_pickles_are_not_loaded(tmp_path):
    images = np.array([object()], object)
    with pytest.raises(DataError, match=r"must be a whole .npz file, got .* object"):
        load(files.npz(tmp_path / "d.npz", images=images, labels=np.zeros(1, int)))


def test_npz_images_without_labels_for_each_are_refused(tmp_path):
    arrays = {"images": np.zeros((3, 2, 2), np.uint8), "labels": np.zeros(2, int)}
    with pytest.raises(DataError, match="training images must have a label each, got 3 images and 2 labels"):
        load(files.npz(tmp_path / "d.npz", **arrays))


# --- pictures -------------------------------------------------------------------------------------


def test_pictures_are_in_the_class_of_their_folder(tmp_path):
    data = load(files.pictures(tmp_path / "pets", n=5))
    assert (data.kind, data.name) == ("a folder of pictures for each class", "pets")
    assert data.class_names == ("cat", "dog")
    assert data.train_images.shape == (8, 4, 5, 3)
    assert (np.bincount(data.train_labels).tolist(), np.bincount(data.test_labels).tolist()) == ([4, 4], [1, 1])
    assert data.fingerprint == load(tmp_path / "pets").fingerprint


def test_pixels_are_those_of_the_files(tmp_path):
    folder = files.pictures(tmp_path, parts=("train", "val"), suffixes=(".png",))
    data = load(folder)
    pixels = np.rint(data.train_images * data.deviation + data.mean)
    for k, name in enumerate(("cat", "dog")):
        for i in range(4):
            x = np.asarray(Image.open(folder / "train" / name / f"{i}.png"))
            np.testing.assert_array_equal(pixels[4 * k + i], x)
    assert data.test_labels.tolist() == [0] * 4 + [1] * 4


def test_grey_pictures_have_one_channel_unless_one_has_colour(tmp_path):
    folder = files.pictures(tmp_path, mode="L")
    assert load(folder).train_images.shape[-1] == 1
    assert load(folder, pictures=Pictures(colour="rgb")).train_images.shape[-1] == 3
    files.picture(folder / "cat" / "9.png")
    assert load(folder).train_images.shape[-1] == 3
    assert load(folder, pictures=Pictures(colour="grey")).train_images.shape[-1] == 1


@pytest.mark.parametrize(("resize", "left"), [("crop", 0), ("stretch", 255)])
def test_pictures_are_cropped_or_stretched_to_a_size(tmp_path, resize, left):
    """A wide picture, black with white ends: cropping loses the ends, stretching keeps them."""
    for i in range(5):
        x = np.zeros((8, 32, 3), np.uint8)
        x[:, :8] = x[:, -8:] = 255
        (tmp_path / "a").mkdir(exist_ok=True)
        x[4, 16] = 9 * i  # no two are one
        Image.fromarray(x).save(tmp_path / "a" / f"{i}.png")
    files.picture(tmp_path / "b" / "0.png", size=(8, 8))
    data = load(tmp_path, pictures=Pictures(size=8, resize=resize))
    assert data.train_images.shape[1:] == (8, 8, 3)
    pixels = data.train_images[0] * data.deviation + data.mean
    assert pixels[0, 0, 0] == pytest.approx(left, abs=1)


def test_pictures_of_two_sizes_need_a_size(tmp_path):
    folder = files.pictures(tmp_path)
    files.picture(folder / "dog" / "x.png", size=(7, 3))
    with pytest.raises(DataError, match=r"x.png: pictures must have one size, 4x5 of .*0.png, got 3x7; give a size"):
        load(folder)


def test_pictures_lie_upright(tmp_path):
    files.pictures(tmp_path, suffixes=(".png",))
    sideways = Image.fromarray(np.zeros((5, 4, 3), np.uint8))  # as high as the others are wide
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    sideways.save(tmp_path / "cat" / "turned.jpg", exif=exif)
    assert load(tmp_path).train_images.shape[1:] == (4, 5, 3)


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    folder = files.pictures(tmp_path)
    (folder / "cat" / "5.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"cat/5.png: must be a picture that Pillow can read, got cannot identify"):
        load(folder)


def test_pictures_of_16_bits_are_not_clipped(tmp_path):
    files.pictures(tmp_path, mode="L")
    Image.fromarray(np.full((4, 5), 40000, np.uint16)).save(tmp_path / "cat" / "deep.png")
    with pytest.raises(DataError, match=r"deep.png: .* got more than 8 bits a channel \(mode I;16\); convert it"):
        load(tmp_path)


def test_a_class_to_test_on_must_be_trained_on(tmp_path):
    files.pictures(tmp_path, parts=("train", "test"))
    files.picture(tmp_path / "test" / "newt" / "0.png")
    with pytest.raises(DataError, match="test: classes to test on must be among those to train on, got newt"):
        load(tmp_path)


def test_too_few_pictures_to_keep_some_for_testing_are_refused(tmp_path):
    with pytest.raises(DataError, match="there must be images to train on and to test on"):
        load(files.pictures(tmp_path, n=1))


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match="must hold a folder of pictures for each class, got none"):
        load_pictures(tmp_path)


def test_pillow_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    folder = files.pictures(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(DataError, match=r"pictures need Pillow, got .*; pip install 'lwps\[images\]'"):
        load(folder)


def test_ways_to_resize_are_named():
    with pytest.raises(ValueError, match="'resize' must be in"):
        Pictures(resize="squeeze")


# --- text -----------------------------------------------------------------------------------------


def test_a_window_is_followed_by_what_follows_it(tmp_path):
    data = load(files.text(tmp_path / "t.txt"), context=16)
    assert data.kind == "plain text"
    inputs, labels = data.batch(0, 4, seed=0)
    assert inputs.shape == labels.shape == (4, 16)
    assert inputs.dtype == labels.dtype == np.int32
    for x, y in zip(inputs, labels, strict=True):
        assert data.decode(np.append(x, y[-1])) in files.TEXT
        assert x[1:].tolist() == y[:-1].tolist()


def test_an_epoch_sees_every_window_once(tmp_path):
    data = load(files.text(tmp_path / "t.txt", "".join(map(chr, range(0x4E00, 0x4E00 + 400)))), context=10)
    for epoch in (0, 1):
        steps = range(epoch * data.count, (epoch + 1) * data.count)
        seen = np.concatenate([data.batch(step, 1, seed=5)[0][0] for step in steps])
        assert len(set(seen.tolist())) == len(seen) == data.count * 10
        assert seen.max() - seen.min() == len(seen) - 1  # end to end
    starts = {data.batch(epoch * data.count, 1, seed=5)[0][0, 0] % 10 for epoch in range(8)}
    assert len(starts) > 2  # windows begin elsewhere in each epoch


def test_the_end_of_a_text_is_held_out(tmp_path):
    data = load(files.text(tmp_path / "t.txt"), context=8)
    assert data.decode(np.concatenate([data.train_tokens, data.test_tokens])) == files.TEXT
    assert len(data.test_tokens) == int(0.1 * len(files.TEXT))
    found = list(data.test_batches(3))
    assert all(x.shape == (3, 8) for row in found for x in row)
    seen = np.concatenate([labels[mask] for _, labels, mask in found])
    np.testing.assert_array_equal(seen, data.test_tokens[1 : 1 + len(seen)])
    assert len(seen) > len(data.test_tokens) - 1 - 8


def test_characters_beyond_ascii_are_characters(tmp_path):
    data = load(files.text(tmp_path / "t.txt", "añ日🙂" * 50), context=4)
    assert data.vocabulary == "añ日🙂"
    assert data.classes == 4
    assert data.decode(data.encode("日a🙂")) == "日a🙂"
    with pytest.raises(ValueError, match="encode: characters must be of the vocabulary, got 'x'"):
        data.encode("ax")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"abc\xff" * 99, "must be text in UTF-8, got invalid start byte at byte 3"),
        (b"abc", "must have at least 193 characters for windows of 64, got 3"),
        (b"", "must have at least 193 characters for windows of 64, got 0"),
    ],
)
def test_what_is_no_text_or_too_short_is_refused(tmp_path, content, message):
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(DataError, match=f"t.txt: {message}"):
        load(tmp_path / "t.txt")


def test_a_window_must_have_a_character(tmp_path):
    with pytest.raises(ValueError, match="load_text: context must be at least 1 character, got 0"):
        load_text(files.text(tmp_path / "t.txt"), context=0)


# --- what is it? ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("idx", "IDX files"),
        ("cifar", "CIFAR's binary files"),
        ("npz", "an .npz file"),
        ("pictures", "a folder of pictures for each class"),
        ("text", "plain text"),
    ],
)
def test_what_a_path_is_is_found_out(tmp_path, kind, said):
    assert load(files.KINDS[kind](tmp_path / "data.npz")).kind == said  # the name says nothing


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tar.gz", b"\x1f\x8b\x08", "got a gzip file; unpack it and give the folder"),
        ("x.zip", b"PK\3\4", "got a zip file; unpack it and give the folder"),
        ("x", b"\0\0\x08\3", "got one IDX file; give the folder of all four"),
        ("x.PNG", b"\x89PNG", "got one picture; give the folder that has a folder for each class"),
        ("x.bin", b"\1\0\2\3", "got a file that begins with 01 00 02 03"),
    ],
)
def test_other_files_are_refused_by_what_they_are(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: must be a folder of IDX files .* text file in UTF-8, {message}"):
        load(tmp_path / name)


def test_other_folders_are_refused_by_what_they_hold(tmp_path):
    with pytest.raises(DataError, match=r"must be a folder of IDX files .* got an empty folder"):
        load(tmp_path)
    for name in "abcdef":
        (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=r"got a folder with a, b, c, d, e, \.\.\.$"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"nowhere: must be a folder of IDX .* got No such file or directory"):
        load(tmp_path / "nowhere")


def test_a_zip_of_arrays_needs_no_suffix(tmp_path):
    files.npz(tmp_path / "d.npz").rename(tmp_path / "d.zip")
    assert zipfile.is_zipfile(tmp_path / "d.zip")
    assert load(tmp_path / "d.zip").kind == "an .npz file"
