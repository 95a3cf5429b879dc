import numpy as np
import pytest

from a2net_gluon.data import digit_pairs_dataset
from a2net_gluon.data.digits import TRAIN_COUNT, load_digits


def halves(image):
    """The two digits of an image (1, 48, 48, 3), found by their ink alone, and the space between them."""
    ink = np.flatnonzero(image[0].any(axis=(0, 2)))
    gap = int(np.argmax(np.diff(ink)))
    return image[0][:, : ink[gap] + 1], image[0][:, ink[gap + 1] :], ink[gap + 1] - ink[gap] - 1


def kinds_by_ink(rows):
    """The classes of these images of digits by their pixels in order of size, wherever they stand."""
    images, labels = (values[rows] for values in load_digits())
    found = {ink(image): int(label) for image, label in zip(images, labels)}
    assert len(found) == len(images)
    return found


def ink(image):
    return np.sort(image[image > 0]).tobytes()


TRAINING, VALIDATION = slice(TRAIN_COUNT), slice(TRAIN_COUNT, None)


@pytest.mark.parametrize("distance", [12, 32])
def test_the_class_is_whether_both_digits_are_the_same(distance):
    dataset = digit_pairs_dataset(distance)
    assert dataset.classes == ("different", "same")
    for samples, rows in ((dataset.training, TRAINING), (dataset.validation, VALIDATION)):
        kinds = kinds_by_ink(rows)  # of the writers of this part
        assert np.mean(samples.labels) == 0.5
        for number in range(40):
            image = samples.read(number, np.random.default_rng(number))
            assert (image.shape, image.dtype) == ((1, 48, 48, 3), np.uint8)
            left, right, gap = halves(image)
            assert distance - 8 <= gap <= distance + 4  # the digits are up to 8 pixels wide, some are narrow
            one, other = kinds[ink(left)], kinds[ink(right)]
            assert {one, other} <= {0, 1, 2}
            assert samples.labels[number] == (one == other)


def test_training_draws_anew_and_validation_does_not():
    dataset = digit_pairs_dataset(16)
    first, again = (digit_pairs_dataset(16).validation.read(5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    one, other, same = (dataset.training.read(5, np.random.default_rng(seed)) for seed in (1, 2, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert digit_pairs_dataset(16, training=False).training is None


def test_one_digit_tells_nothing():
    """In both classes each digit is equally frequent, on the left and on the right."""
    samples, kinds = digit_pairs_dataset(24).validation, kinds_by_ink(VALIDATION)
    counts = np.zeros((2, 2, 3))
    for number in range(300):
        for side, part in enumerate(halves(samples.read(number))[:2]):
            counts[samples.labels[number], side, kinds[ink(part)]] += 1
    np.testing.assert_allclose(counts / 150, 1 / 3, atol=0.1)
