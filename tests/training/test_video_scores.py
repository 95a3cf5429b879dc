"""Accuracy of clips and videos: against plain NumPy, whatever the batches and the processes."""

import numpy as np
import pytest

from a2net_gluon.data import VideoSamples, ViewGrid, ViewSamples
from a2net_gluon.training.video_scores import VideoScores
from tests.helpers.made_videos import made_samples, plain_metrics
from tests.helpers.numerics import softmax

CLASSES, COUNT = 8, 40
GRIDS = [ViewGrid(), ViewGrid(4, 3), ViewGrid(3, 2, crop_places="mixed"), ViewGrid(6, 1, "random", "random")]


def made_logits(samples, seed=0):
    """Logits of every view that tell the class of a video, but not of every view or video."""
    rng, rows = np.random.default_rng(seed), len(samples.rows)
    own = np.eye(CLASSES)[np.asarray(samples.videos.labels)].repeat(rows, axis=0)
    of_video = rng.normal(size=(len(samples.videos.names), CLASSES)).repeat(rows, axis=0)
    return (1.5 * own + of_video + rng.normal(size=own.shape)).astype(np.float32)


def measure(samples, logits, numbers=None, batch=7):
    """Sums, the probabilities of each video, and the names of incomplete ones."""
    written, incomplete = {}, {}
    scores = VideoScores(samples, CLASSES, written.__setitem__, incomplete.__setitem__)
    numbers = range(len(logits)) if numbers is None else numbers
    for start in range(0, len(numbers), batch):
        part = list(numbers[start : start + batch])
        scores.add(logits[part], part)
    return scores.sums(), written, incomplete


def expected_metrics(samples, logits):
    """The same in plain float64, from the table of all views."""
    rows, labels = samples.rows, np.asarray(samples.videos.labels)
    table = softmax(logits.astype(np.float64), -1).reshape(len(labels), len(rows), CLASSES)
    central = [samples.views.is_central(row) for row in rows].index(True)
    counted = [number for number, row in enumerate(rows) if row.counts]
    return plain_metrics(table[:, central], table[:, counted].mean(axis=1), labels)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_metrics_are_those_of_plain_numpy(grid, batch):
    samples = ViewSamples(made_samples(count=COUNT), grid)
    logits = made_logits(samples)
    sums, written, incomplete = measure(samples, logits, batch=batch)
    metrics, count, missing = VideoScores.results(sums)
    assert (count, missing, incomplete) == (COUNT, 0, {})
    assert [*metrics] == [column.name for column in VideoScores.columns]
    assert metrics == pytest.approx(expected_metrics(samples, logits), rel=1e-12)
    assert 0.3 < metrics["video_top1"] < metrics["video_top5"] < 1  # it is not the same for all columns
    if len(samples.rows) > 1:
        assert metrics["clip_top1"] != metrics["video_top1"]
    assert [*written] == [*range(COUNT)]
    found = np.concatenate([*written.values()])
    np.testing.assert_allclose(found, softmax(logits.astype(np.float64), -1), rtol=1e-12)


@pytest.mark.parametrize("shards", [2, 3, 41])
def test_sums_of_shards_add_up(shards):
    samples = ViewSamples(made_samples(count=COUNT), GRIDS[1])
    logits = made_logits(samples)
    alone = measure(samples, logits)[0]
    numbers = [[n for n in range(len(logits)) if samples.groups[n] % shards == index] for index in range(shards)]
    added = np.sum([measure(samples, logits, part)[0] for part in numbers], axis=0)
    np.testing.assert_allclose(added, alone, rtol=1e-12)
    np.testing.assert_array_equal(np.delete(added, 3), np.delete(alone, 3))  # all but the loss are counts


def test_a_video_without_one_of_its_views_is_named_and_does_not_count():
    samples = ViewSamples(made_samples(count=COUNT), GRIDS[1])
    each, logits = len(samples.rows), made_logits(samples)
    gone = {2 * each, 3 * each + 4, 4 * each + each - 1, *range(6 * each, 7 * each)}
    numbers = [number for number in range(len(logits)) if number not in gone]
    sums, written, incomplete = measure(samples, logits, numbers)
    metrics, count, missing = VideoScores.results(sums)
    assert (count, missing) == (COUNT - 4, 3)  # of video 6, nothing was read: it is not incomplete
    assert {*incomplete} == {"video 2", "video 3", "video 4"}
    assert incomplete["video 2"] == f"only {each - 1} of {each} views could be read: it does not count"
    assert [*written] == [video for video in range(COUNT) if video not in (2, 3, 4, 6)]
    kept, videos = [*written], samples.videos
    labels = [videos.labels[video] for video in kept]
    whole = ViewSamples(VideoSamples([videos.names[video] for video in kept], labels, [], videos.sampling), GRIDS[1])
    rest = logits.reshape(COUNT, each, CLASSES)[kept].reshape(-1, CLASSES)
    assert metrics == pytest.approx(expected_metrics(whole, rest), rel=1e-12)


def test_nothing_read_is_no_result():
    metrics, count, missing = VideoScores.results(measure(ViewSamples(made_samples(), GRIDS[1]), np.zeros((0, 8)))[0])
    assert (count, missing, {*metrics.values()}) == (0, 0, {0.0})


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_constant_or_broken_network_is_never_right(value):
    samples = ViewSamples(made_samples(count=COUNT), GRIDS[1])
    logits = np.full((COUNT * len(samples.rows), CLASSES), value, np.float32)
    metrics, count, _ = VideoScores.results(measure(samples, logits)[0])
    assert count == COUNT
    assert (metrics["clip_top1"], metrics["video_top1"], metrics["video_top5"], metrics["class_mean"]) == (0, 0, 0, 0)


def test_large_logits_are_no_overflow():
    samples = ViewSamples(made_samples(count=COUNT), GRIDS[1])
    with np.errstate(all="raise", under="ignore"):
        sums, written, _ = measure(samples, 1e4 * made_logits(samples))
    assert np.isfinite(sums).all()
    assert all(np.isfinite(probabilities).all() for probabilities in written.values())


def test_a_view_that_comes_again_is_an_error():
    samples = ViewSamples(made_samples(count=COUNT), GRIDS[1])
    with pytest.raises(ValueError, match="view 3 came after view 3"):
        measure(samples, made_logits(samples), [0, 1, 2, 3, 3])
