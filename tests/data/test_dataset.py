"""The digits, standardising, fitting, and batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lwps import data
from lwps.data import order
from lwps.data.fit import fit_images
from lwps.data.standardise import standardised


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
    assert got.background == pytest.approx([-mean / std], rel=1e-5)
    assert (got.mean, got.deviation) == (pytest.approx((mean,)), pytest.approx((std,)))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.uint16])
def test_each_channel_is_standardised_by_itself(dtype):
    rng = np.random.default_rng(0)
    train = np.stack([rng.integers(0, 50, (30, 4, 4)), rng.integers(100, 250, (30, 4, 4))], -1).astype(dtype)
    got = standardised(train, np.arange(30), train[:3], np.arange(3), "two channels")
    np.testing.assert_allclose(got.train_images.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(got.train_images.std((0, 1, 2)), 1, atol=1e-5)
    np.testing.assert_array_equal(got.test_images, got.train_images[:3])
    np.testing.assert_allclose(
        train[0, 0, 0], got.train_images[0, 0, 0] * got.deviation + got.mean, rtol=1e-4, atol=1e-4
    )


def test_a_channel_of_one_value_is_left_at_zero():
    train = np.zeros((4, 2, 2, 2), np.uint8)
    train[:2, ..., 0] = 9
    got = standardised(train, np.zeros(4, int), train, np.zeros(4, int), "half")
    assert (got.train_images[..., 1] == 0).all()


def test_images_of_one_grey_value_are_refused():
    flat, labels = np.full((3, 2, 2), 7, np.uint8), np.zeros(3, np.uint8)
    with pytest.raises(data.DataError, match="grey: training images must have finite pixels of more than one value"):
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
    assert (large.train_images[:, 0, 0] == digits.background).all()
    assert large.train_images[0].max() == digits.train_images[0].max()


def test_images_do_not_become_smaller(digits):
    with pytest.raises(ValueError, match="fit: size must be at least that of the images, 8x8, got 7"):
        data.fit(digits, 7)


PIXELS, LABELS = np.arange(48, dtype=np.uint8).reshape(3, 4, 4), np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("train", "labels", "test", "message"),
    [
        (PIXELS.astype(np.int16), LABELS, PIXELS, r"training images must be uint8 or float .* got int16\[3, 4, 4\]"),
        (PIXELS[0], LABELS, PIXELS, r"training images must be .* got uint8\[4, 4\] and int64\[3\]"),
        (PIXELS, LABELS.astype(float), PIXELS, r"labels integers \[N\], got .* float64\[3\]"),
        (PIXELS, LABELS[:2], PIXELS, "training images must have a label each, got 3 images and 2 labels"),
        (PIXELS, LABELS - 1, PIXELS, "labels must be from 0 to 65535, got -1 to 1 in training"),
        (PIXELS, LABELS + 70000, PIXELS, "labels must be from 0 to 65535, got 70000 to 70002 in training"),
        (PIXELS[:0], LABELS[:0], PIXELS, r"there must be images to train on .* got uint8\[0, 4, 4\] .* for training"),
        (PIXELS, LABELS, PIXELS[:, :2], r"one size .* got \[4, 4, 1\] to train on and \[2, 4, 1\] to test on"),
        (
            PIXELS,
            LABELS,
            np.stack([PIXELS] * 3, -1),
            r"number of channels, got \[4, 4, 1\] to train .* \[4, 4, 3\]",
        ),
        (np.full((3, 4, 4), np.nan), LABELS, PIXELS, r"finite pixels of more than one value, got mean \[nan\]"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(train, labels, test, message):
    with pytest.raises(data.DataError, match=f"made up: .*{message}"):
        standardised(train, labels, test, LABELS, "made up")


ORDER_00 = [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]
ORDER_17 = [7, 9, 5, 3, 0, 6, 1, 2, 8, 4]
SHIFTS = [16, 42, 6, 1]


@given(count=st.integers(1, 400), seed=st.integers(0, 2**40), epoch=st.integers(0, 2**40))
def test_an_order_has_every_position_once_and_is_the_same_every_time(count, seed, epoch):
    found = order.order(count, seed, epoch)
    order.order.cache_clear()
    np.testing.assert_array_equal(np.sort(found), np.arange(count))
    np.testing.assert_array_equal(found, order.order(count, seed, epoch))


def test_orders_are_the_ones_that_checkpoints_were_written_with():
    """A change here makes every checkpoint go on with other data."""
    assert order.order(10, 0, 0).tolist() == ORDER_00
    assert order.order(10, 1, 7).tolist() == ORDER_17
    assert [order.shift(64, 0, e) for e in range(4)] == SHIFTS


@given(size=st.integers(1, 100), step=st.integers(0, 1000))
def test_a_position_is_a_number(digits, size, step):
    """Batch `step` is what an iteration over epochs comes to, without replaying it."""
    per_epoch = 1438 // size
    images, labels = digits.batch(step, size, seed=3)
    expected = list(data.batches(digits, size, 3, step // per_epoch))[step % per_epoch]
    np.testing.assert_array_equal(images, expected[0])
    np.testing.assert_array_equal(labels, expected[1])


def test_data_sets_are_known_by_what_is_in_them(digits):
    assert digits.fingerprint == data.digits().fingerprint
    other = data.digits()
    other.test_labels[5] += 1
    assert other.fingerprint != digits.fingerprint
    assert data.fit(digits, 28).fingerprint != digits.fingerprint


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
