"""Packed videos against the frames of their files: pixels, order, processes, disk, damage."""

import os
import resource
import shutil

import cv2
import numpy as np
import pytest

from a2net_gluon.data import (
    AUGMENTATIONS,
    Preprocessing,
    RecordFile,
    SampleSource,
    Sampling,
    ViewGrid,
    ViewSamples,
    clip_record_dataset,
    pack_clips,
)
from a2net_gluon.errors import FailureError, UsageError
from tests.helpers.commands import call, error
from tests.helpers.packed import as_jpegs, dataset_of, make_video_folder
from tests.helpers.videos import (
    decode_in_order,
    moving_frames,
    place_of_packet,
    with_zeros,
    write_video,
)

ENDINGS = (".rec", ".idx", ".lst")
SAMPLING = Sampling(4, 3)
SMALL = (32, 24)  # width and height of packed frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_video_folder(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("packed")
    pack_clips(dataset_of(folder), output, resize=24)
    return output


def opened(folder, sampling=SAMPLING):
    return clip_record_dataset(*(RecordFile(folder / f"{part}.rec") for part in ("train", "val")), sampling)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_frames_are_the_jpegs_of_the_files_own_frames(folder, packed):
    dataset = opened(packed)
    assert dataset.classes == ("cat", "dog")
    for part, samples in zip(("train", "val"), (dataset.training, dataset.validation)):
        paths = sorted((folder / part).glob("*/*.mp4"))
        assert samples.names == [f"{packed}/{part}.rec, {path.relative_to(folder)}" for path in paths]
        assert samples.labels.tolist() == [int(path.parent.name == "dog") for path in paths]
        for path, video in zip(paths, samples.videos):
            expected = as_jpegs(decode_in_order(path), SMALL)
            assert video.length() == len(expected)
            np.testing.assert_array_equal(video.read(np.arange(len(expected))), expected)


def test_samples_are_those_of_the_files(folder, packed):
    """Every clip of training and every view of an evaluation takes the frames that it takes from the files."""
    files, records = dataset_of(folder), opened(packed)
    grid = ViewGrid(3, 2, "random", "random", seed=5)
    pairs = [(files.training, records.training), (files.validation, records.validation)]
    pairs.append(tuple(ViewSamples(one.validation, grid) for one in (files, records)))
    for ours, theirs in pairs:
        assert len(ours.names) == len(theirs.names)
        for number in range(len(ours.names)):
            clips = [one.read(number, np.random.default_rng((1, number))) for one in (ours, theirs)]
            np.testing.assert_array_equal(as_jpegs(clips[0], SMALL), clips[1])


def test_an_epoch_goes_on_in_its_middle(packed):
    def batches(epoch, first):
        arguments = (Preprocessing(16, frames=4, stride=3), AUGMENTATIONS["author"], 2, 0, 7)
        source = SampleSource(opened(packed), *arguments)
        return [batch.pixels.asnumpy() for batch in source.train(epoch, first)]

    whole = batches(2, 0)
    assert len(whole) == 3
    np.testing.assert_array_equal(batches(2, 1), whole[1:])
    assert not np.array_equal(batches(3, 0), whole)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_bytes_do_not_depend_on_the_processes(workers, folder, packed, tmp_path):
    pack_clips(dataset_of(folder), tmp_path / "again", resize=24, workers=workers)
    assert contents(tmp_path / "again") == contents(packed)
    assert sorted(contents(packed)) == sorted(f"{part}{ending}" for part in ("train", "val") for ending in ENDINGS)


def test_quality_and_size(folder, packed, tmp_path):
    pack_clips(dataset_of(folder), tmp_path, resize=400, quality=50)
    path = folder / "val" / "cat" / "shot 0.mp4"
    read = opened(tmp_path).validation.videos[0].read(np.arange(3))
    np.testing.assert_array_equal(read, as_jpegs(decode_in_order(path)[:3], (64, 48), 50))  # smaller ones are kept


def test_folders_of_frames_are_packed_too(tmp_path):
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / part / name / "shot").mkdir(parents=True)
            for number, image in enumerate(moving_frames(12)):
                path = tmp_path / part / name / "shot" / f"img_{number + 1}.png"
                path.write_bytes(cv2.imencode(".png", image[:, :, ::-1])[1].tobytes())
    pack_clips(dataset_of(tmp_path), tmp_path / "packed", resize=24)
    read = opened(tmp_path / "packed").training.videos[1].read(np.arange(12))
    np.testing.assert_array_equal(read, as_jpegs(moving_frames(12), SMALL))


def test_real_clips(real_data, tmp_path):
    """Kinetics, UCF-101, and a file that declares more frames than it holds."""
    paths = sorted(real_data("video_clips.tar").iterdir())
    (tmp_path / "val" / "real").mkdir(parents=True)
    for path in paths:
        (tmp_path / "val" / "real" / path.name).symlink_to(path)
    pack_clips(dataset_of(tmp_path), tmp_path / "packed", resize=64, workers=1)
    records = clip_record_dataset(None, RecordFile(tmp_path / "packed" / "val.rec"), SAMPLING).validation
    assert len(records.videos) == len(paths) == 5
    for path, video in zip(paths, records.videos):
        frames = decode_in_order(path)
        assert video.length() == len(frames)
        wanted = np.arange(len(frames))[:: max(len(frames) // 9, 1)]
        read = video.read(wanted)
        assert min(read.shape[1:3]) == 64
        np.testing.assert_array_equal(read, as_jpegs(frames[wanted], (read.shape[2], read.shape[1])))


def test_damaged_videos_are_named_and_left_out(tmp_path, capsys):
    folder = make_video_folder(tmp_path / "videos")
    hidden = folder / "train" / "dog" / "shot 1.mp4"  # 41 frames; no packet tells of the hole
    hidden.write_bytes(with_zeros(hidden.read_bytes(), place_of_packet(hidden, 20) + 40, 60))
    (folder / "val" / "cat" / "text.mp4").write_text("<html>")
    code, said, _ = call(capsys, "pack-clips", folder / "packed", "--data-dir", folder, "--resize", 24, "-j", 2)
    assert code == 0
    assert f"skipped {hidden}: " in said
    assert f"skipped {folder}/val/cat/text.mp4: a text, not a video" in said
    assert f"written: 5 videos in {folder}/packed/train.rec" in said
    assert f"written: 4 videos in {folder}/packed/val.rec" in said
    names = [name.rpartition(", ")[2] for name in opened(folder / "packed").training.names]
    assert names == [f"train/{name}" for name in ("cat/shot 0.mp4", "cat/shot 1.mp4", "cat/shot 2.mp4", *DOGS)]


DOGS = ("dog/shot 0.mp4", "dog/shot 2.mp4")


def test_no_video_at_all(tmp_path, capsys):
    folder = make_video_folder(tmp_path)
    for path in (folder / "val").glob("*/*"):
        path.write_text("<html>")
    text = error(capsys, 1, "pack-clips", folder / "packed", "--data-dir", folder, "-j", 1)
    assert "none of the 4 validation videos can be read" in text
    assert not (folder / "packed").exists()


def test_the_disk_is_told_beforehand(folder, packed, tmp_path, capsys, monkeypatch):
    words = ("pack-clips", tmp_path, "--data-dir", folder, "--resize", 24, "-j", 1)
    said = []
    pack_clips(dataset_of(folder), tmp_path / "again", resize=24, tell=said.append)
    size = sum(len(contents(packed)[f"{part}.rec"]) for part in ("train", "val"))
    assert f"10 videos of {COUNTED} frames in all take about 1 MB, " in said[0]
    assert size < 1e6
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=size // 2))
    assert "take about 1 MB, 1 MB are free" in error(capsys, 1, *words)
    assert not list(tmp_path.glob("train*"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2 * size))
    assert call(capsys, *words)[0] == 0


COUNTED = 2 * (7 + 40 + 23 + 31 + 12) + 5


def test_a_full_disk_leaves_the_older_set(folder, packed, tmp_path):
    shutil.copytree(packed, tmp_path / "set")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(FailureError, match=r"train\.rec: cannot be written \(File too large\)"):
            pack_clips(dataset_of(folder), tmp_path / "set")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert contents(tmp_path / "set") == contents(packed)


def test_a_split_of_ucf101_is_kept(tmp_path):
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Archery\n2 Bowling\n")
    for name, groups in (("train", (8, 9)), ("test", (1,))):
        lines = []
        for number, label in enumerate(("Archery", "Bowling"), 1):
            for group in groups:
                path = tmp_path / "UCF-101" / label / f"v_{label}_g{group:02}_c01.avi"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_video(path, moving_frames(8), codec="mpeg4")
                lines.append(f"{label}/{path.name}" + f" {number}" * (name == "train"))
        (lists / f"{name}list02.txt").write_text("\n".join(lines))
    pack_clips(dataset_of(tmp_path, None, None, "2"), tmp_path / "packed", resize=24)
    dataset = opened(tmp_path / "packed")
    assert (dataset.split, dataset.classes) == ("ucf101/2", ("Archery", "Bowling"))
    assert dataset.validation.names[1].endswith("val.rec, UCF-101/Bowling/v_Bowling_g01_c01.avi")


def test_a_class_that_the_list_cannot_name_is_refused(folder, tmp_path):
    dataset = dataset_of(folder)._replace(classes=("cat", "a/b"))
    with pytest.raises(UsageError, match="class 'a/b' has a tab, a line break or a slash in its name"):
        pack_clips(dataset, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_names_that_change_a_terminal_are_escaped(tmp_path):
    folder = make_video_folder(tmp_path / "videos", {"train": (9,), "val": (9,)})
    odd = os.fsencode(folder) + b"/val/cat/\x1b[31m\xff\n.mp4"
    (folder / "val" / "cat" / "shot 0.mp4").rename(os.fsdecode(odd))
    pack_clips(dataset_of(folder), tmp_path / "packed")
    assert opened(tmp_path / "packed").validation.names[0].endswith(r"val.rec, val/cat/\x1b[31m\xff\n.mp4")


@pytest.mark.parametrize("words", [("--quality", 0), ("--resize", 3), ("--keyframes", 0), ("--frames", "--reencode")])
def test_options_out_of_range(words, capsys, tmp_path):
    code, _, said = call(capsys, "pack-clips", tmp_path / "packed", "--data-dir", tmp_path, *words)
    assert (code, said.count("\n")) == (2, 1)


def test_all_splits_at_once_are_refused(capsys, tmp_path):
    words = ("pack-clips", tmp_path / "packed", "--data-dir", tmp_path, "--ucf-split", "all")
    assert "--ucf-split all is three runs" in error(capsys, 2, *words)
