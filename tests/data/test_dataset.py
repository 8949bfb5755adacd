"""The digits, standardising, fitting, and batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps import data
from lwps.data.dataset import fit_images, standardised


@pytest.fixture(scope="module")
def digits():
    return data.digits()


def test_digits_are_1797_images_of_ten_classes(digits):
    assert digits.train_images.shape == (1438, 8, 8, 1)
    assert digits.test_images.shape == (359, 8, 8, 1)
    assert (digits.classes, digits.name) == (10, "UCI digits")
    assert (digits.train_images.dtype, digits.train_labels.dtype) == (np.float32, np.int32)


def test_a_fifth_of_every_class_is_for_testing(digits):
    test, train = np.bincount(digits.test_labels), np.bincount(digits.train_labels)
    np.testing.assert_allclose(test, (test + train) / 5, atol=0.5)


def test_digits_are_split_the_same_way_every_time(digits):
    again = data.digits()
    np.testing.assert_array_equal(digits.test_images, again.test_images)
    np.testing.assert_array_equal(digits.train_labels, again.train_labels)


def test_a_linear_rule_can_read_the_digits(digits):
    """Images and labels belong together: least squares on the pixels is right nine times in ten."""

    def rows(images):
        return np.c_[images.reshape(len(images), -1), np.ones(len(images))]

    weights = np.linalg.lstsq(rows(digits.train_images), np.eye(10)[digits.train_labels], rcond=None)[0]
    right = (rows(digits.test_images) @ weights).argmax(1) == digits.test_labels
    assert right.mean() > 0.9


@given(seed=st.integers(0, 99), low=st.integers(0, 200), span=st.integers(1, 55))
def test_training_images_have_mean_0_and_variance_1(seed, low, span):
    rng = np.random.default_rng(seed)
    train = rng.integers(low, low + span + 1, (20, 3, 2), np.uint8)
    train.flat[:2] = low, low + span  # never all of one value
    test = rng.integers(0, 256, (4, 3, 2), np.uint8)
    got = standardised(train, np.zeros(20, np.uint8), test, np.zeros(4, np.uint8), "made up")
    mean, std = train.mean(), train.std()
    np.testing.assert_allclose(got.train_images[..., 0], (train - mean) / std, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got.test_images[..., 0], (test - mean) / std, rtol=1e-5, atol=1e-5)
    assert got.background == pytest.approx(-mean / std, rel=1e-5)


def test_images_of_one_grey_value_are_refused():
    flat, labels = np.full((3, 2, 2), 7, np.uint8), np.zeros(3, np.uint8)
    with pytest.raises(data.DataError, match="grey: training images must have more than one grey value"):
        standardised(flat, labels, flat, labels, "grey")


def test_fit_repeats_pixels_and_frames_them_with_the_background():
    x = np.float32([[1, 2], [3, 4]]).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(fit_images(x, 3, 9)[0, :, :, 0], [[1, 2, 9], [3, 4, 9], [9, 9, 9]])
    np.testing.assert_array_equal(
        fit_images(x, 4, 9)[0, :, :, 0], [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    )
    framed = fit_images(np.float32([[[[5]]]]), 3, 9)[0, :, :, 0]
    np.testing.assert_array_equal(framed, np.full((3, 3), 5))
    framed = fit_images(np.float32([5, 5]).reshape(1, 1, 2, 1), 2, 9)[0, :, :, 0]
    np.testing.assert_array_equal(framed, [[5, 5], [9, 9]])
    np.testing.assert_array_equal(fit_images(x, 2), x)


def test_images_need_not_be_square_to_be_fitted():
    x = np.ones((1, 2, 4, 3), np.float32)
    assert fit_images(x, 8).sum() == 4 * 8 * 3


def test_fit_of_a_data_set_makes_all_images_of_one_size(digits):
    large = data.fit(digits, 28)
    assert large.train_images.shape == (1438, 28, 28, 1)
    assert large.test_images.shape == (359, 28, 28, 1)
    assert (large.train_images[:, 0, 0] == np.float32(digits.background)).all()
    assert large.train_images[0].max() == digits.train_images[0].max()


def test_images_do_not_become_smaller(digits):
    with pytest.raises(ValueError, match="fit: size must be at least that of the images, 8x8, got 7"):
        data.fit(digits, 7)


@given(batch=st.integers(1, 300), epoch=st.integers(0, 5))
def test_batches_are_whole_and_have_each_image_at_most_once(digits, batch, epoch):
    found = list(data.batches(digits, batch, seed=1, epoch=epoch))
    assert len(found) == 1438 // batch
    assert all(images.shape == (batch, 8, 8, 1) and labels.shape == (batch,) for images, labels in found)
    rows = {image.tobytes() for images, _ in found for image in images}
    distinct = {image.tobytes() for image in digits.train_images}
    assert len(rows) >= len(found) * batch - (1438 - len(distinct))


def test_batches_depend_on_seed_and_epoch_only(digits):
    def labels(seed, epoch):
        return np.concatenate([labels for _, labels in data.batches(digits, 32, seed, epoch)])

    np.testing.assert_array_equal(labels(0, 0), labels(0, 0))
    assert not np.array_equal(labels(0, 0), labels(0, 1))
    assert not np.array_equal(labels(0, 0), labels(1, 0))


def test_images_keep_their_labels_in_batches(digits):
    label_of = {image.tobytes(): label for image, label in zip(digits.train_images, digits.train_labels, strict=True)}
    for images, labels in data.batches(digits, 100, 0, 0):
        assert all(label_of[image.tobytes()] == label for image, label in zip(images, labels, strict=True))


@given(batch=st.integers(1, 400))
def test_evaluation_sees_every_test_image_once_in_batches_of_one_size(digits, batch):
    found = list(data.eval_batches(digits, batch))
    assert all(len(x) == batch for row in found for x in row)
    np.testing.assert_array_equal(np.concatenate([images[mask] for images, _, mask in found]), digits.test_images)
    np.testing.assert_array_equal(np.concatenate([labels[mask] for _, labels, mask in found]), digits.test_labels)


@pytest.mark.parametrize("batch", [0, 1439])
def test_batches_that_cannot_be_are_refused(digits, batch):
    with pytest.raises(ValueError, match=f"batches: batch must be from 1 to the 1438 training images, got {batch}"):
        data.batches(digits, batch, 0, 0)
    if batch == 0:
        with pytest.raises(ValueError, match="eval_batches: batch must be at least 1, got 0"):
            data.eval_batches(digits, batch)
