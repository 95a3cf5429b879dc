"""Videos encoded again: frames, keyframes, sizes, names, lists, and work that goes on where it was."""

import os
import shutil

import av
import numpy as np
import pytest

from a2net_gluon import cli
from a2net_gluon.data.reencoding import reencode_videos
from a2net_gluon.data.video_lists import list_files
from a2net_gluon.errors import FailureError, UsageError
from tests.helpers.commands import call, error
from tests.helpers.packed import dataset_of, make_video_folder
from tests.helpers.videos import (
    decode_in_order,
    moving_frames,
    numbers_shown,
    place_of_packet,
    with_zeros,
    write_video,
)

COUNTS = {"train": (7, 50), "val": (20,)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_video_folder(tmp_path_factory.mktemp("videos"), COUNTS)


def keyframes(path):
    with av.open(os.fspath(path)) as file:
        packets = sorted((one for one in file.demux(video=0) if one.size), key=lambda one: one.pts)
        return [number for number, packet in enumerate(packets) if packet.is_keyframe]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_frames_and_the_paths_stay(workers, folder, tmp_path):
    said = []
    count = reencode_videos(dataset_of(folder), tmp_path, resize=32, workers=workers, tell=said.append)
    assert count == 6
    assert said[0].startswith("6 videos of 157 frames in all take about 1 MB, ")
    found = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.mp4"))
    assert found == sorted(path.relative_to(folder) for path in folder.rglob("*.mp4"))
    for name in found:
        before, after = decode_in_order(folder / name), decode_in_order(tmp_path / name)
        assert after.shape == (len(before), 32, 42, 3)
        assert numbers_shown(after) == numbers_shown(before)
        assert keyframes(tmp_path / name) == list(range(0, len(before), 16))


def test_frames_are_close_to_those_before(folder, tmp_path):
    reencode_videos(dataset_of(folder), tmp_path, resize=400, keyframes=5)
    before, after = (decode_in_order(one / "train/cat/shot 1.mp4") for one in (folder, tmp_path))
    error = np.mean((before.astype(float) - after) ** 2)
    others = np.mean((before[1:].astype(float) - before[:-1]) ** 2)
    assert 10 * np.log10(255**2 / error) > 28  # dB
    assert error < others / 10
    assert keyframes(tmp_path / "train/cat/shot 1.mp4") == list(range(0, 50, 5))


def test_odd_sizes_become_even(tmp_path):
    for part in ("train", "val"):
        path = tmp_path / part / "cat" / "a.avi"
        path.parent.mkdir(parents=True)
        write_video(path, moving_frames(9, 45, 61), codec="mjpeg", pixels="yuvj444p")
    reencode_videos(dataset_of(tmp_path), tmp_path / "out")
    after = decode_in_order(tmp_path / "out" / "val" / "cat" / "a.avi")  # MP4, as its content tells
    assert after.shape[0] == 9
    assert after.shape[1] in (44, 46)
    assert after.shape[2] in (60, 62)
    assert dataset_of(tmp_path / "out").validation.videos[0].length() == 9


def test_interrupted_work_goes_on(folder, tmp_path, monkeypatch):
    reencode_videos(dataset_of(folder), tmp_path / "a", resize=24)
    kept, other, short = (
        tmp_path / "a" / name for name in ("train/cat/shot 1.mp4", "val/cat/shot 0.mp4", "val/dog/shot 0.mp4")
    )
    stamps = {path: path.stat().st_mtime_ns for path in (kept, other)}
    other.unlink()
    write_video(short, moving_frames(3))
    reencode_videos(dataset_of(folder), tmp_path / "a", resize=24)
    assert kept.stat().st_mtime_ns == stamps[kept]
    assert len(decode_in_order(other)) == 20
    assert numbers_shown(decode_in_order(short)) == [*range(21)]
    assert not [path for path in (tmp_path / "a").rglob("*") if path.name.startswith(".")]


def test_damaged_videos_are_named_and_left_out(tmp_path, capsys):
    folder = make_video_folder(tmp_path / "videos", COUNTS)
    hidden = folder / "train" / "dog" / "shot 1.mp4"
    hidden.write_bytes(with_zeros(hidden.read_bytes(), place_of_packet(hidden, 20) + 40, 60))
    (folder / "val" / "cat" / "empty.mp4").touch()
    words = ("pack-clips", tmp_path / "out", "--data-dir", folder, "--reencode", "--resize", 32, "-j", 1)
    code, said, _ = call(capsys, *words)
    assert code == 0
    assert f"skipped {hidden}: " in said
    assert f"skipped {folder}/val/cat/empty.mp4: empty file" in said
    assert f"written: 5 videos in {tmp_path}/out" in said
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 5


def test_lists_stay_valid(tmp_path):
    """UCF-101's lists and endings: what is read from the copy is what is read from the original."""
    lists = tmp_path / "ucf" / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 Archery\n2 Bowling\n")
    for name, group in (("train", 8), ("test", 1)):
        lines = []
        for number, label in enumerate(("Archery", "Bowling"), 1):
            path = tmp_path / "ucf" / "UCF-101" / label / f"v_{label}_g{group:02}_c01.avi"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, moving_frames(8), codec="mpeg4")
            lines.append(f"{label}/{path.name}" + f" {number}" * (name == "train"))
        (lists / f"{name}list01.txt").write_text("\n".join(lines))
    words = ("--data-dir", tmp_path / "ucf", "--ucf-split", 1, "-j", 1, "--reencode")
    assert cli.main(["pack-clips", str(tmp_path / "out"), *map(str, words)]) == 0
    before, after = (dataset_of(tmp_path / name, None, None, "1") for name in ("ucf", "out"))
    assert (after.classes, after.split) == (before.classes, before.split) == (("Archery", "Bowling"), "ucf101/1")
    for one, other in ((before.training, after.training), (before.validation, after.validation)):
        assert [name.replace("/ucf/", "/out/") for name in one.names] == list(other.names)
        assert list(one.labels) == list(other.labels)


def test_lists_from_elsewhere_are_copied_into_the_folder(folder, tmp_path, capsys):
    for part in ("train", "val"):
        lines = [f"{path.relative_to(folder)} 0\n" for path in sorted((folder / part).rglob("*.mp4"))]
        (tmp_path / f"{part}.txt").write_text("".join(lines))
    lists = ("--train-list", tmp_path / "train.txt", "--val-list", tmp_path / "val.txt")
    code, _, _ = call(capsys, "pack-clips", tmp_path / "out", "--data-dir", folder, *lists, "-j", 1, "--reencode")
    assert code == 0
    copies = [tmp_path / "out" / name for name in ("train.txt", "val.txt")]
    assert [path.read_bytes() for path in copies] == [(tmp_path / path.name).read_bytes() for path in copies]
    assert len(dataset_of(tmp_path / "out", *copies).validation.names) == 2
    (tmp_path / "other").mkdir()
    same = shutil.copy(tmp_path / "val.txt", tmp_path / "other" / "train.txt")
    with pytest.raises(UsageError, match=r"train\.txt and .*train\.txt would both be copied to "):
        reencode_videos(dataset_of(folder), tmp_path / "new", list_files(folder, [tmp_path / "train.txt", same]))


def test_what_cannot_be_encoded_again_is_refused(folder, tmp_path, capsys):
    with pytest.raises(UsageError, match="is the folder of the videos themselves: choose another"):
        reencode_videos(dataset_of(folder), folder / "." / "train" / "..")
    frames = tmp_path / "frames" / "val" / "cat" / "shot"
    frames.mkdir(parents=True)
    (frames / "1.png").write_bytes(b"")
    with pytest.raises(UsageError, match="a folder of frames; pack it as frames, without --reencode"):
        reencode_videos(dataset_of(tmp_path / "frames"), tmp_path / "out")
    (tmp_path / "val.txt").write_text(f"{folder}/val/cat/shot 0.mp4 0\n")
    words = ("pack-clips", tmp_path / "out", "--data-dir", tmp_path, "--val-list", tmp_path / "val.txt", "--reencode")
    assert f"is not below {tmp_path}: --reencode keeps the paths below --data-dir" in error(capsys, 2, *words, "-j", 1)


def test_without_pyav(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(av, "__version__", "13.0")
    from a2net_gluon.data import video_decoding

    video_decoding.default_decoder.cache_clear()
    words = ("pack-clips", tmp_path / "out", "--data-dir", folder, "--reencode")
    try:
        assert "needs PyAV 12: pip install" in error(capsys, 2, *words)
    finally:
        monkeypatch.undo()
        video_decoding.default_decoder.cache_clear()


def test_a_disk_that_is_full(folder, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(FailureError, match="1 MB are free in .*: lower --resize"):
        reencode_videos(dataset_of(folder), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
