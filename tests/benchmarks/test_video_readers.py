"""Readers of the scenario video-readers read the same frames of the same files."""

import json

import numpy as np
import pytest

from a2net_gluon.data import index_video
from benchmarks import peer_videos, videos
from benchmarks.comparison import RATIOS, evaluate
from benchmarks.scenarios import VIDEO_READERS, check_frames
from benchmarks.setup import ENCODINGS
from tests.helpers.videos import decode_in_order

SIZE = (70, 48, 64)
CLIP = {"clip": (4, 3), "starts": [0, 17, 41, 60]}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    task = {"folder": str(tmp_path_factory.mktemp("videos")), "generated": SIZE, "encodings": ENCODINGS}
    _, facts = videos.write_videos(task)
    return {name: file["path"] for name, file in facts["videos"].items()}


def test_files_have_the_keyframes_that_their_names_say(files):
    found = [[number for number, _ in index_video(path, "av").keyframes] for path in files.values()]
    assert found == [[], [32, 64], [24, 48], [24, 48]]  # of close keyframes an index has some
    assert {frame.shape for frame in videos.made_frames(*SIZE)} == {(*SIZE[1:], 3)}


# Not decord, which only the environment of the peers has: a test in test_speed.py compares it there.
@pytest.mark.parametrize("form", [form.form for form in VIDEO_READERS if form.form != "decord"])
def test_readers_give_the_frames_of_reading_in_order(files, form, tmp_path):
    for path in files.values():
        task = {**CLIP, "form": form, "path": path, "answers": str(tmp_path / "answers.npz")}
        run, facts = videos.read_clips(task) if form == "ours" else peer_videos.make(task)
        run()
        assert json.dumps(facts)
        expected = decode_in_order(path)
        with np.load(task["answers"]) as answers:
            for start, frames in zip(CLIP["starts"], answers["frames"]):
                np.testing.assert_array_equal(frames, expected[start : start + 12 : 3])


def test_a_reader_of_other_frames_does_not_count():
    frames = np.zeros((5, 4, 2, 2, 3), np.uint8)
    other = frames.copy()
    other[3, 1, 0, 1, 2] = 1
    video = next(iter(ENCODINGS))
    rows = [{"form": "ours", "family": "mxnet", "video": video, "min_ms": 3.0, "median_ms": 3.0}]
    rows += [{"family": "video peer", "video": video, "min_ms": ms, "median_ms": ms} for ms in (2.0, 4.0, 1.0)]
    for row, found in zip(rows, (frames, other, frames, None)):
        check_frames(row, None if found is None else {"frames": found}, {"frames": frames})
    assert [row.get("error") for row in rows] == [
        None,
        "not exact: 1 of 5 clips have other frames",
        None,
        "no frames to compare",
    ]
    (ratio,) = evaluate(RATIOS["video-readers"], rows)
    assert (ratio["values"]["min_ms"], ratio["met"]) == (0.75, True)
