"""Which frames a clip takes from a video."""

import collections

import numpy as np
import pytest

from a2net_gluon.data import Sampling, moving_digits_dataset
from a2net_gluon.data.moving_digits import DIRECTIONS


@pytest.mark.parametrize(("frames", "stride", "length"), [(8, 8, 300), (16, 1, 17), (4, 3, 10), (1, 5, 7)])
def test_a_training_clip_starts_uniformly_at_every_frame_that_leaves_room(frames, stride, length):
    rng, sampling = np.random.default_rng(0), Sampling(frames, stride)
    draws = 400 * (length - (frames - 1) * stride)
    clips = [sampling.random(length, rng) for _ in range(draws)]
    for clip in clips[:50]:
        assert clip.shape == (frames,)
        assert (np.diff(clip) == stride).all()
    starts = collections.Counter(int(clip[0]) for clip in clips)
    assert sorted(starts) == list(range(length - (frames - 1) * stride))  # the last one included
    # 400 of each are expected; five standard deviations
    assert max(abs(count - 400) for count in starts.values()) < 5 * 20


@pytest.mark.parametrize("length", [1, 3, 5])
def test_a_short_video_is_repeated_from_its_start(length):
    expected = [0, 2 % length, 4 % length, 6 % length]
    assert Sampling(4, 2).even(length).tolist() == expected
    assert Sampling(4, 2).random(length, np.random.default_rng(1)).tolist() == expected


def test_clips_of_an_evaluation_reach_from_the_first_frame_to_the_last():
    sampling = Sampling(8, 4)
    clips = [sampling.even(300, clip, 10) for clip in range(10)]
    assert clips[0][0] == 0
    assert clips[-1][-1] == 299
    gaps = np.diff([clip[0] for clip in clips])
    assert gaps.max() - gaps.min() <= 1
    assert abs((sampling.even(300)[0] + sampling.even(300)[-1]) / 2 - 149.5) <= 1  # a single one is central


def test_shuffled_clips_have_the_frames_of_others_in_any_order():
    forward, shuffled = Sampling(3, 2), Sampling(3, 2, "shuffled")
    rng, orders = np.random.default_rng(0), collections.Counter()
    for _ in range(1200):
        clip = shuffled.random(40, rng)
        assert (np.diff(sorted(clip)) == 2).all()
        orders[tuple(np.argsort(clip))] += 1
    assert len(orders) == 6
    assert max(abs(count - 200) for count in orders.values()) < 5 * np.sqrt(200)
    evens = collections.Counter()
    for video in range(600):
        clip = shuffled.even(40, 1, 4, (0, video))
        assert sorted(clip) == forward.even(40, 1, 4).tolist()
        np.testing.assert_array_equal(clip, shuffled.even(40, 1, 4, (0, video)))
        evens[tuple(np.argsort(clip))] += 1
    assert len(evens) == 6
    assert max(abs(count - 100) for count in evens.values()) < 5 * 10


def test_an_order_depends_on_seed_video_and_start():
    sampling = Sampling(8, 2, "shuffled")
    base, *others = (
        np.argsort(sampling.even(40, clip, 3, seed))
        for clip, seed in ((1, (0, 5)), (1, (1, 5)), (1, (0, 6)), (2, (0, 5)))
    )
    assert all((base != other).any() for other in others)
    # The central clip is the same, whatever the number of clips: it is that of the validation in training.
    np.testing.assert_array_equal(sampling.even(40, 1, 3, (0, 5)), sampling.even(40, seed=(0, 5)))


def test_a_frame_of_a_moving_digit_does_not_tell_its_direction():
    dataset = moving_digits_dataset(Sampling(3, 1))
    assert dataset.classes == tuple(DIRECTIONS)
    for samples in dataset.parts().values():
        counts = np.bincount(samples.labels)
        assert counts.max() - counts.min() <= 1
        for number in range(0, len(samples.names), 97):
            frames = samples.read(number).astype(int)
            down, right = DIRECTIONS[dataset.classes[samples.labels[number]]]
            assert np.array_equal(frames[1], np.roll(frames[0], (2 * down, 2 * right), (0, 1)))
            # Backwards, the clip is one of the opposite class: its frames are the same.
            assert np.array_equal(frames[1], np.roll(frames[2], (-2 * down, -2 * right), (0, 1)))
