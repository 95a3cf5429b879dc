"""Views of videos: which frames, which crops, what is read how often, and by whom."""

import collections

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon.data import Preprocessing, SampleSource, Sampling, Shard, VideoSamples, ViewGrid, ViewSamples
from a2net_gluon.data.preprocessing import INTERPOLATION
from tests.helpers.made_videos import MadeVideo, made_dataset, made_samples

SIZE = 14
PREPROCESSING = Preprocessing(SIZE, 0.8, frames=3, stride=2)
GRIDS = {
    "centre": ViewGrid(),
    "author": ViewGrid(10, 5, crop_places="mixed"),
    "three-crop": ViewGrid(10, 3),
    "odd": ViewGrid(3, 4),
    "odd mixed": ViewGrid(3, 2, crop_places="mixed"),
    "ucf": ViewGrid(7, 2, "random", "random", seed=3),
}


def open_source(samples, batch_size=4, workers=0, shard=Shard()):  # noqa: B008  (immutable)
    return SampleSource(made_dataset(samples), PREPROCESSING, None, batch_size, workers, 0, shard=shard)


def pass_over(source):
    """Pixels of every view by its number; the source is closed."""
    try:
        found = {}
        for batch in source.validation():
            assert len(batch.numbers) == batch.count
            assert batch.pixels.shape[0] == source.batch_size
            found.update(zip(batch.numbers, batch.pixels.asnumpy()))
        return found
    finally:
        source.close()


def resized(image, preprocessing):
    return mx.image.resize_short(mx.nd.array(image, dtype="uint8"), preprocessing.resize, INTERPOLATION).asnumpy()


# Crops


@pytest.mark.parametrize("shape", [(20, 31), (33, 20), (24, 24), (19, 40), (7, 5)])
@pytest.mark.parametrize("preprocessing", [PREPROCESSING, Preprocessing(15, 0.8), Preprocessing(14, 1.0)])
def test_a_crop_is_at_its_place(shape, preprocessing):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    whole, size = resized(image, preprocessing), preprocessing.size
    down, right = whole.shape[0] - size, whole.shape[1] - size
    expected = {
        (0.0, 0.0): (0, 0),
        (1.0, 0.0): (right, 0),
        (0.0, 1.0): (0, down),
        (1.0, 1.0): (right, down),
        (0.5, 0.5): (right // 2, down // 2),
    }
    for place, (x, y) in expected.items():
        np.testing.assert_array_equal(preprocessing.crop(image, place), whole[y : y + size, x : x + size])
    np.testing.assert_array_equal(preprocessing.crop(image, (0.5, 0.5)), preprocessing.centre_crop(image))


def test_crops_move_from_one_end_of_the_longer_edge_to_the_other():
    grid = ViewGrid(1, 3)
    assert [grid.place(0, view, 31, 20) for view in grid.rows()] == [(0, 0.5), (0.5, 0.5), (1, 0.5)]
    assert [grid.place(0, view, 20, 31) for view in grid.rows()] == [(0.5, 0), (0.5, 0.5), (0.5, 1)]


# Grids


@pytest.mark.parametrize(
    ("name", "count", "added"),
    [("centre", 1, 0), ("author", 50, 1), ("three-crop", 30, 1), ("odd", 12, 1), ("odd mixed", 6, 0), ("ucf", 14, 1)],
)
def test_the_central_view_is_always_there_once(name, count, added):
    grid = GRIDS[name]
    rows = grid.rows()
    assert len({*rows}) == len(rows) == count + added
    assert sum(row.counts for row in rows) == count
    (central,) = [row for row in rows if grid.is_central(row)]
    assert central.counts == (not added)
    sampling = Sampling(3, 2)
    for length in (1, 4, 5, 6, 50):
        np.testing.assert_array_equal(grid.frames(sampling, length, 8, central.clip), sampling.even(length))
    assert grid.place(8, central, 31, 20) == (0.5, 0.5)


@pytest.mark.parametrize("name", GRIDS)
def test_views_are_what_reading_each_by_itself_gives(name):
    """Frames and crops of a source against frames and crops taken one view at a time, from other objects."""
    samples, grid = made_samples(), GRIDS[name]
    found = pass_over(open_source(ViewSamples(samples, grid)))
    rows = grid.rows()
    assert [*found] == [*range(len(rows) * len(samples.names))]
    for number, pixels in found.items():
        video, view = number // len(rows), rows[number % len(rows)]
        frames = samples.videos[video].frames
        clip = frames[grid.frames(samples.sampling, len(frames), video, view.clip)]
        crops = [PREPROCESSING.crop(frame, grid.place(video, view, *frame.shape[1::-1])) for frame in clip]
        np.testing.assert_array_equal(pixels, np.stack(crops).transpose(3, 0, 1, 2))


def test_even_clips_and_crops_along_the_edge_are_those_of_the_arithmetic():
    """On frames whose shorter edge needs no resizing, a view is a slice of the video."""
    video = MadeVideo(7, 40, 18, 36)
    assert PREPROCESSING.resize == 18
    found = pass_over(open_source(ViewSamples(VideoSamples(["a"], [0], [video], Sampling(3, 2)), ViewGrid(4, 3))))
    starts, lefts = (0, 12, 23, 35), (0, 11, 22)  # of 36 possible starts, of 23 possible columns
    slices = [video.frames[start : start + 5 : 2, 2:16, left : left + 14] for start in starts for left in lefts]
    for number, expected in enumerate([*slices, video.frames[18:23:2, 2:16, 11:25]]):
        np.testing.assert_array_equal(found[number], expected.transpose(3, 0, 1, 2))


# Reading


@pytest.mark.parametrize("name", ["author", "odd", "ucf"])
def test_shuffled_views_have_the_frames_of_others(name):
    """The shuffled frames are those of a forward view, and the central view is what training validates on."""
    grid, forward, shuffled = GRIDS[name], made_samples(), made_samples(Sampling(3, 2, "shuffled"))
    one, other = ViewSamples(forward, grid), ViewSamples(shuffled, grid)
    (central,) = [row for row, view in enumerate(grid.rows()) if grid.is_central(view)]
    moved = 0
    for number in range(0, len(other.names), 3):
        same, clip = one.read(number), other.read(number)
        assert sorted(frame.tobytes() for frame in clip) == sorted(frame.tobytes() for frame in same)
        moved += not np.array_equal(clip, same)
    assert moved > len(other.names) / 3 / 2  # 5 of 6 orders are others
    for video in range(9 if grid.seed == 0 else 0):
        np.testing.assert_array_equal(other.read(video * len(grid.rows()) + central), shuffled.read(video))


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_a_video_is_read_once(name, batch_size):
    samples = made_samples()
    pass_over(open_source(ViewSamples(samples, GRIDS[name]), batch_size))
    for video in samples.videos:
        (numbers,) = video.reads
        assert numbers == sorted({*numbers})  # each frame once, in order


def test_views_can_be_read_in_any_order():
    samples, grid = made_samples(), GRIDS["author"]
    forwards, anyhow = ViewSamples(samples, grid), ViewSamples(samples, grid)
    clips = [forwards.read(number) for number in range(len(forwards.names))]
    for number in np.random.default_rng(0).permutation(len(clips))[:60]:
        np.testing.assert_array_equal(anyhow.read(int(number)), clips[number])


def test_a_damaged_video_is_tried_once_and_named_once():
    samples = made_samples(damaged=(2, 5))
    source = open_source(ViewSamples(samples, GRIDS["three-crop"]))
    found = pass_over(source)
    assert {number // 31 for number in found} == {0, 1, 3, 4, 6, 7, 8}
    assert len(found) == 7 * 31
    assert source.problems.skipped == {"video 2": "damaged", "video 5": "damaged"}
    assert [len(video.reads) for video in samples.videos] == [1] * 9


@pytest.mark.parametrize("workers", [1, 2])
def test_readers_read_the_same(workers):
    samples = ViewSamples(made_samples(), GRIDS["ucf"])
    here, there = (pass_over(open_source(samples, workers=count)) for count in (0, workers))
    assert [*here] == [*there]
    for number, pixels in here.items():
        np.testing.assert_array_equal(there[number], pixels)


@pytest.mark.parametrize("count", [2, 3, 11])
def test_a_video_belongs_to_one_shard_and_looks_the_same_there(count):
    samples = ViewSamples(made_samples(), GRIDS["ucf"])
    alone = pass_over(open_source(samples))
    parts = [pass_over(open_source(samples, shard=Shard(index, count))) for index in range(count)]
    assert sorted(number for part in parts for number in part) == [*alone]
    owners = collections.defaultdict(set)
    for index, part in enumerate(parts):
        for number, pixels in part.items():
            owners[samples.groups[number]].add(index)
            np.testing.assert_array_equal(pixels, alone[number])
    assert all(len(indices) == 1 for indices in owners.values())
    assert len(owners) == 9


# Random views


VIDEOS = range(40)


def starts_and_places(grid, videos=VIDEOS):
    sampling = Sampling(3, 2)
    drawn = [(video, view) for video in videos for view in grid.rows() if view.counts]
    starts = [int(grid.frames(sampling, 25, video, view.clip)[0]) for video, view in drawn]
    return starts, [grid.place(video, view, 30, 20) for video, view in drawn]


def test_random_views_are_a_function_of_the_seed_the_video_and_the_view():
    grid = ViewGrid(40, 1, "random", "random", seed=3)
    assert starts_and_places(grid) == starts_and_places(ViewGrid(40, 1, "random", "random", seed=3))
    for one, other in zip(starts_and_places(grid), starts_and_places(ViewGrid(40, 1, "random", "random", seed=4))):
        assert one != other
    # The views of a smaller grid are among those of a larger one.
    fewer = ViewGrid(10, 1, "random", "random", seed=3)
    for some, all_of_them in zip(starts_and_places(fewer, [7]), starts_and_places(grid, [7])):
        assert some == all_of_them[:10]


def test_random_views_are_uniform():
    starts, places = starts_and_places(ViewGrid(40, 1, "random", "random", seed=3))
    counts = np.bincount(starts)
    assert len(counts) == 25 - 4  # the last start is reached
    expected = 40 * 40 / 21
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    for values in np.transpose(places):
        assert len({*values}) == 40 * 40
        assert np.abs(np.histogram(values, 4, (0, 1))[0] - 400).max() < 5 * 20
    assert abs(np.corrcoef(*np.transpose(places))[0, 1]) < 0.1
    assert abs(np.corrcoef(starts, [x for x, _ in places])[0, 1]) < 0.1  # clip and crop are drawn apart


def test_mixed_crops_begin_with_the_centre():
    grid = ViewGrid(4, 5, crop_places="mixed")
    places = [grid.place(6, view, 30, 20) for view in grid.rows()]
    assert {places[first] for first in range(0, 20, 5)} == {(0.5, 0.5)}
    others = [place for number, place in enumerate(places[:20]) if number % 5]
    assert len({*others}) == 16
