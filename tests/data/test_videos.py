"""Video files and folders of frames as labelled samples."""

import cv2
import numpy as np
import pytest

from a2net_gluon.data import Sampling
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.video_datasets import find_lists, video_dataset
from a2net_gluon.data.videos import FrameFolder, open_video
from a2net_gluon.errors import FailureError, UsageError
from tests.helpers.videos import decode_in_order, moving_frames, write_video

SAMPLING = Sampling(4, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes with two videos each for training and one for validation, of different lengths."""
    folder = tmp_path_factory.mktemp("videos")
    for seed, name in enumerate(f"{part}/{c}" for part in ("train", "val") for c in ("down", "up")):
        (folder / name).mkdir(parents=True)
        for number in range(2 if name.startswith("train") else 1):
            frames = moving_frames(8 + 5 * number + seed, seed=seed)
            write_video(folder / name / f"{number} of.mp4", frames, options={}, g="6")
    return folder


def dataset(folder, tmp_path, **changes):
    train, val = find_lists(folder)
    files = {"training": tmp_path / "train.video-index", "validation": tmp_path / "val.video-index"}
    return video_dataset(train, val, **{"sampling": SAMPLING, "index_files": files, "name": "videos", **changes})


def test_a_clip_is_the_frames_that_reading_in_order_gives(folder, tmp_path):
    opened = dataset(folder, tmp_path)
    assert opened.classes == ("down", "up")
    assert len(opened.training.names) == 4
    for samples in opened.parts().values():
        for number, name in enumerate(samples.names):
            frames = decode_in_order(name)
            assert np.array_equal(samples.read(number), frames[SAMPLING.even(len(frames))])
            drawn = SAMPLING.random(len(frames), np.random.default_rng(number))
            assert np.array_equal(samples.read(number, np.random.default_rng(number)), frames[drawn])


def test_a_folder_of_frames_is_a_video(tmp_path):
    frames = moving_frames(12)
    for number, frame in enumerate(frames, 1):
        cv2.imwrite(str(tmp_path / f"img_{number}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    video = open_video(tmp_path)
    assert video.length() == 12
    assert np.array_equal(video.read(np.array([11, 0, 5, 0])), frames[[11, 0, 5, 0]])
    with pytest.raises(DecodeError, match="a folder of 12 frames, the list says 13"):
        FrameFolder(str(tmp_path), 13).length()
    (tmp_path / "img_3.png").write_bytes(b"no image")
    with pytest.raises(DecodeError, match=r"img_3\.png: not an image"):
        video.read(np.array([1, 2]))
    cv2.imwrite(str(tmp_path / "img_4.png"), frames[0][:20])
    with pytest.raises(DecodeError, match="frames differ in size"):
        video.read(np.array([1, 3]))


def test_what_cannot_be_read_is_left_out_of_training_and_counted_in_validation(folder, tmp_path):
    list_file, said = tmp_path / "list.txt", []
    (tmp_path / "text.mp4").write_text("a page")
    lines = ["train/down/0 of.mp4 0", f"{tmp_path}/text.mp4 1", "train/up/gone.mp4 1", "train/up/1 of.mp4 1"]
    list_file.write_text("\n".join(lines))
    train, val = find_lists(folder, list_file, list_file)
    opened = video_dataset(
        train, val, SAMPLING, dict.fromkeys(("training", "validation"), tmp_path / "index"), "x", tell=said.append
    )
    assert said[0] == "4 training videos (two columns: path label)"
    assert set(opened.unreadable.values()) == {"a text, not a video", "no such file or folder"}
    assert len(opened.training.names) == 2
    assert sorted(opened.validation.labels) == [0, 1, 1, 1]
    problems = []
    for number in range(4):
        try:
            opened.validation.read(number)
        except DecodeError as error:
            problems.append(str(error))
    assert sorted(problems) == sorted(opened.unreadable.values())
    (tmp_path / "index").unlink()
    list_file.write_text(lines[1])
    with pytest.raises(FailureError, match=r"none of the 1 training videos can be read, e\.g\. .*a text, not a video"):
        video_dataset(
            *find_lists(folder, list_file, list_file), SAMPLING, {p: tmp_path / p for p in opened.parts()}, "x"
        )


def test_lengths_are_kept_in_the_file_that_is_named(folder, tmp_path, monkeypatch):
    first = dataset(folder, tmp_path, workers=2)
    assert (tmp_path / "train.video-index").is_file()
    monkeypatch.setattr("a2net_gluon.data.video_cache.index_video", None)  # nothing is counted again
    again = dataset(folder, tmp_path)
    assert [video.length() for video in again.training.videos] == [video.length() for video in first.training.videos]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"root": "missing"}, "missing: no such folder"),
        ({"train_list": "list.txt"}, "--train-list needs --val-list FILE too"),
        ({"val_list": "list.txt", "ucf_split": "1"}, "both name the videos"),
        ({"ucf_split": "all"}, "--ucf-split all is three runs"),
    ],
)
def test_wrong_use(tmp_path, arguments, says):
    with pytest.raises(UsageError, match=says):
        find_lists(**{"root": tmp_path, **arguments})
