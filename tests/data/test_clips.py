"""The frames axis: clips go the way of images, frame by frame."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon.data import (
    AUGMENTATIONS,
    Augmentation,
    Dataset,
    ImageSamples,
    Preprocessing,
    SampleSource,
    SyntheticSource,
)
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.preprocessing import CENTRE

FRAMES, COUNT, SIZE = 5, 12, 16


@dataclasses.dataclass
class MadeClips:
    """Clips (t, h, w, 3) in memory as samples; `equal` repeats the first frame of each."""

    frames: int = FRAMES
    equal: bool = False
    damaged: tuple = ()
    noun = "clips"

    def __post_init__(self):
        rng = np.random.default_rng(3)
        self.clips = [rng.integers(0, 256, (self.frames, 24 + number, 40, 3), np.uint8) for number in range(COUNT)]
        if self.equal:
            self.clips = [np.repeat(clip[:1], self.frames, axis=0) for clip in self.clips]
        self.names = [f"clip {number}" for number in range(COUNT)]
        self.labels = [number % 3 for number in range(COUNT)]
        self.groups = [number // 4 for number in range(COUNT)]
        self.numbers = []

    def read(self, number, rng=None):
        self.numbers.append((number, None if rng is None else int(rng.integers(1 << 30))))
        if number in self.damaged:
            raise DecodeError("damaged")
        return self.clips[number]

    def place(self, number, width, height):
        return CENTRE


def frame_of(clips, which):
    """One frame of every clip, as images."""
    return ImageSamples(clips.names, clips.labels, lambda number: clips.clips[number][which])


def open_source(samples, augmentation=None, frames=FRAMES, workers=0, **more):
    preprocessing = Preprocessing(SIZE, 0.8, frames=frames)
    dataset = Dataset("made", ("a", "b", "c"), samples, samples)
    options = {"batch_size": 4, "workers": workers, "seed": 7, **more}
    return SampleSource(dataset, preprocessing, augmentation, **options)


def pixels(batches):
    return np.concatenate([batch.pixels.asnumpy() for batch in batches])


def read(source, epoch=2):
    """Pixels of an epoch of training and of the validation; the source is closed."""
    try:
        return pixels(source.train(epoch)), pixels(source.validation())
    finally:
        source.close()


def test_shape_of_batches():
    source = open_source(MadeClips())
    batch = next(source.train(1))
    assert batch.pixels.shape == (4, 3, FRAMES, SIZE, SIZE)
    assert batch.pixels.dtype == np.uint8
    assert (batch.labels.shape, batch.count) == ((4,), 4)
    assert (source.train_batches, source.train_count, source.val_count) == (3, COUNT, COUNT)
    assert sum(batch.count for batch in source.validation()) == COUNT


def test_images_have_no_axis_of_frames():
    clips = MadeClips(frames=1)
    assert read(open_source(frame_of(clips, 0), frames=None))[0].shape == (COUNT, 3, SIZE, SIZE)
    as_clips, as_images = read(open_source(clips, frames=1)), read(open_source(frame_of(clips, 0), frames=None))
    for clip, image in zip(as_clips, as_images):
        np.testing.assert_array_equal(clip[:, :, 0], image)


def test_each_frame_is_cropped_as_an_image():
    clips = MadeClips()
    found = read(open_source(clips))
    for which in range(FRAMES):
        expected = read(open_source(frame_of(clips, which), frames=None))
        for clip, image in zip(found, expected):
            np.testing.assert_array_equal(clip[:, :, which], image)
    assert (found[0][:, :, 0] != found[0][:, :, 1]).any()


class WithoutDraws(MadeClips):
    """Reads without taking a number from the generator, as images do."""

    def read(self, number, rng=None):
        return self.clips[number]


@pytest.mark.parametrize("name", ["dpn", "small", "shift"])
def test_each_frame_is_augmented_as_an_image_with_the_same_draws(name):
    clips = WithoutDraws()
    found = read(open_source(clips, AUGMENTATIONS[name]))[0]
    for which in range(FRAMES):
        expected = read(open_source(frame_of(clips, which), AUGMENTATIONS[name], frames=None))[0]
        np.testing.assert_array_equal(found[:, :, which], expected)


@pytest.mark.parametrize("name", ["dpn", "small", "shift"])
def test_equal_frames_stay_equal(name):
    found = read(open_source(MadeClips(equal=True), AUGMENTATIONS[name]))[0]
    np.testing.assert_array_equal(found, np.repeat(found[:, :, :1], FRAMES, axis=2))
    # The draws of different clips and epochs differ.
    other = read(open_source(MadeClips(equal=True), AUGMENTATIONS[name]), epoch=3)[0]
    assert (np.sort(found, axis=0) != np.sort(other, axis=0)).any()


def test_draws_are_applied_to_each_frame():
    """`draw` takes all random numbers, `apply` none."""
    augmentation = AUGMENTATIONS["dpn"]
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (30, 40, 3), np.uint8)
    draws = augmentation.draw(np.random.default_rng(1), 40, 30)
    x, y, width, height = draws.box
    assert 0 <= x <= x + width <= 40
    assert 0 <= y <= y + height <= 30
    assert len(draws.shifts) == 3
    np.testing.assert_array_equal(augmentation.apply(image, draws, 8), augmentation.apply(image.copy(), draws, 8))
    assert Augmentation().draw(rng, 40, 30).shifts is None
    moved = augmentation.draw(np.random.default_rng(2), 40, 30)
    assert (augmentation.apply(image, draws, 8) != augmentation.apply(image, moved, 8)).any()


@pytest.mark.parametrize("frames", [FRAMES - 1, FRAMES + 1, None])
def test_other_numbers_of_frames_are_an_error(frames):
    source = open_source(MadeClips(), frames=frames)
    with pytest.raises(ValueError, match=rf"clip \d+ was read as {FRAMES} frames; {frames or 1} are needed"):
        next(source.train(1))


def test_other_types_are_an_error():
    class Floats(MadeClips):
        def read(self, number, rng=None):
            return self.clips[number].astype(np.float32)

    with pytest.raises(ValueError, match=r"clip \d+ was read as float32"):
        next(open_source(Floats(), AUGMENTATIONS["shift"]).train(1))


def test_groups_are_carried():
    clips = MadeClips()
    parts = open_source(clips).parts()
    assert set(parts) == {"training", "validation"}
    for samples in parts.values():
        assert samples.groups == [0] * 4 + [1] * 4 + [2] * 4
    assert frame_of(clips, 0).groups is None


def test_an_image_is_a_clip_of_one_frame_without_a_copy():
    image = np.zeros((8, 9, 3), np.uint8)
    samples = ImageSamples(["a"], [0], lambda number: image)
    for rng in (None, np.random.default_rng(0)):
        clip = samples.read(0, rng)
        assert clip.shape == (1, 8, 9, 3)
        assert np.shares_memory(clip, image)
    generator = np.random.default_rng(0)
    samples.read(0, generator)
    assert generator.random() == np.random.default_rng(0).random()  # nothing was taken from it


@pytest.mark.parametrize("augmentation", [None, AUGMENTATIONS["dpn"]], ids=["crop", "dpn"])
def test_workers_read_the_same(augmentation):
    here, there = (read(open_source(MadeClips(), augmentation, workers=workers)) for workers in (0, 1))
    for one, other in zip(here, there):
        np.testing.assert_array_equal(one, other)


# The generator with which a training clip is read


def reads(epoch=2, first=0, **more):
    """(number, a draw of the generator) of each clip that is read in training, in order."""
    clips = MadeClips(damaged=more.pop("damaged", ()))
    source = open_source(clips, **more)
    for _ in source.train(epoch, first):
        pass
    return clips.numbers


def test_the_generator_depends_on_seed_epoch_and_place():
    draws = dict(reads())
    assert len(draws) == COUNT == len({*draws.values()})
    assert dict(reads()) == draws  # every time the same
    assert dict(reads(batch_size=3)) == draws  # in whatever batch it comes
    assert dict(reads(augmentation=AUGMENTATIONS["dpn"])) == draws  # and whatever is drawn afterwards
    assert reads(first=1) == reads()[4:]  # a resumed epoch
    for other in (reads(epoch=3), reads(seed=8)):
        assert not {*draws.values()} & {*dict(other).values()}


def test_the_next_sample_takes_the_place_of_a_damaged_one():
    """It is read with the generator of the place, not with its own."""
    draws = dict(reads())
    found = reads(damaged=(4,))
    place = found.index((4, draws[4]))
    assert found[place + 1] == (5, draws[4])
    assert (5, draws[5]) in found


def test_validation_reads_without_a_generator():
    clips = MadeClips()
    for _ in open_source(clips).validation():
        pass
    assert clips.numbers == [(number, None) for number in range(COUNT)]


def test_damaged_and_small_clips_are_counted():
    source = open_source(MadeClips(damaged=(4,)))
    read(source)
    assert source.problems.skipped == {"clip 4": "damaged"}
    assert not source.problems.enlarged
    dataset = Dataset("made", ("a", "b", "c"), None, MadeClips())
    source = SampleSource(dataset, Preprocessing(30, 1.0, frames=FRAMES), None, 4, 0, 0)
    for _ in source.validation():
        pass
    assert source.problems.enlarged == {f"clip {number}" for number in range(6)}  # 24 to 29 pixels high


# One random batch, and normalisation


@pytest.mark.parametrize(("frames", "shape"), [(None, (3, SIZE, SIZE)), (4, (3, 4, SIZE, SIZE))])
def test_a_synthetic_source_has_the_shape_of_the_input(frames, shape):
    preprocessing = Preprocessing(SIZE, frames=frames)
    assert preprocessing.input_shape == shape
    (batch, same) = SyntheticSource(10, preprocessing, 2, 2, 0).train(1)
    assert batch.pixels.shape == (2, *shape)
    assert batch.pixels.dtype == np.uint8
    assert batch.pixels is same.pixels
    again = SyntheticSource(10, preprocessing, 2, 2, 0).train(1)
    np.testing.assert_array_equal(next(again).pixels.asnumpy(), batch.pixels.asnumpy())


def test_clips_are_normalised_frame_by_frame():
    preprocessing = Preprocessing(SIZE, mean=(10.0, 20.0, 30.0), scale=(0.1, 0.2, 0.3), frames=FRAMES)
    clip = np.random.default_rng(0).integers(0, 256, (2, 3, FRAMES, SIZE, SIZE), np.uint8)
    found = preprocessing.normalize(mx.nd.array(clip, dtype="uint8"))
    assert found.dtype == np.float32
    mean, scale = (np.reshape(values, (3, 1, 1, 1)) for values in (preprocessing.mean, preprocessing.scale))
    np.testing.assert_allclose(found.asnumpy(), (clip - mean) * scale, rtol=1e-5, atol=1e-5)
    for which in range(FRAMES):
        image = preprocessing.normalize(mx.nd.array(clip[:, :, which], dtype="uint8"))
        np.testing.assert_array_equal(found[:, :, which].asnumpy(), image.asnumpy())
