"""Broken videos of every kind in training, evaluation and check, through the commands."""

import csv
import shutil
import sys

import cv2
import pytest

from a2net_gluon.data.video_decoding import default_decoder
from tests.helpers.broken_videos import BROKEN, HIDDEN, make_broken_set
from tests.helpers.commands import call, error
from tests.helpers.videos import moving_frames

MODEL = "a2net_resnet20_small_3d"
# A clip reaches over 37 of 40 frames: over every damage.
NETWORK = ("--model", MODEL, "--clip-length", 4, "--frame-interval", 12, "--input-size", 16)
TRAINING = (*NETWORK, "--batch-size", 2, "--num-epochs", 3, "-j", 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The flags of a data set with every kind of damage."""
    return make_broken_set(tmp_path_factory.mktemp("broken") / "videos")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Run folder, and the lines that training has said."""
    from a2net_gluon import cli

    folder = tmp_path_factory.mktemp("trained") / "run"
    assert cli.main([str(word) for word in ("train-video", *data, *TRAINING, "--save-dir", folder)]) == 0
    return folder, (folder / "log.txt").read_text(encoding="utf-8").splitlines()


def skipped(lines):
    """Kind of damage and reason of each video that the lines name as skipped, each of which is named once."""
    found = [line.partition("skipped ")[2].partition(": ") for line in lines if "skipped /" in line]
    kinds = {path.rpartition("/")[2].partition(".mp4")[0]: reason for path, _, reason in found}
    assert len(kinds) == len(found)
    return kinds


def test_training_goes_on_without_them(trained):
    folder, lines = trained
    found = skipped(lines)
    assert found.keys() == BROKEN.keys()
    assert all(found[kind].startswith(reason) for kind, (_, reason) in BROKEN.items())
    assert all(found[kind] for kind in HIDDEN)
    text = "\n".join(lines)
    assert "9 training clips, 14 validation clips" in text  # the hidden ones are not known before
    assert text.count(" (7 of 14 clips)") == 3
    assert "7 unreadable clips were skipped: " in lines[-3]
    assert all(f"/{kind}.mp4" in lines[-3] for kind in BROKEN)
    with open(folder / "metrics.csv", newline="") as file:
        assert [row["val_count"] for row in csv.DictReader(file)] == ["7"] * 3


def test_evaluation_counts_them_out(data, trained, tmp_path, capsys):
    words = ("evaluate", MODEL, "--params", trained[0] / "best.params", *data, "-j", 1, "--batch-size", 4)
    code, said, _ = call(capsys, *words, "--test-clips", 2, "--test-crops", 2, "--scores", tmp_path / "scores.csv")
    assert code == 0
    assert skipped(said.splitlines()).keys() == BROKEN.keys()
    assert "7 unreadable clips were skipped: " in said
    assert "on 7 of 14 videos, 7 unreadable, 2 × 2 views of each" in said
    with open(tmp_path / "scores.csv", newline="") as file:
        names = [row["video"].rpartition("/")[2] for row in csv.DictReader(file)]
    assert {name: names.count(name) for name in names} == {
        **{f"whole {number}.mp4": 5 for number in range(6)},  # 4 views and the central one
        "short.mp4": 5,
    }


def test_check_lists_every_one(data, tmp_path, capsys):
    words = ("check", "train-video", *data, *TRAINING, "--save-dir", tmp_path / "run")
    code, said, _ = call(capsys, *words)
    assert code == 0
    assert "FAIL" not in said
    code, said, _ = call(capsys, *words, "--bad-list", tmp_path / "bad.tsv")
    assert code == 1
    assert f"FAIL bad list: 7 of 14 videos cannot be read; written: {tmp_path}/bad.tsv\n" in said
    assert f"warn training data: 1 videos are shorter than a clip, and are repeated to fill it, e.g. {data[1]}" in said
    assert "short.mp4 (9 frames)" in said
    rows = [line.split("\t") for line in (tmp_path / "bad.tsv").read_text(encoding="utf-8").splitlines()]
    assert [path for path, _ in rows] == sorted(str(data[1] / f"{kind}.mp4") for kind in BROKEN)
    assert all(reason.startswith(BROKEN[path.rpartition("/")[2][:-4]][1]) for path, reason in rows)
    assert not (tmp_path / "run").exists()


def test_damage_between_clips_is_found(tmp_path, capsys):
    flags = make_broken_set(tmp_path / "videos", 4, ("hole",))
    short = ("--model", MODEL, "--clip-length", 2, "--frame-interval", 1, "--input-size", 16, "--batch-size", 2)
    frames = tmp_path / "videos" / "whole 0.mp4"  # instead of a file, a folder whose seventh frame is damaged
    frames.unlink()
    frames.mkdir()
    for number, image in enumerate(moving_frames(9)):
        cv2.imwrite(str(frames / f"{number}.png"), image)
    (frames / "6.png").write_bytes((frames / "6.png").read_bytes()[:100])
    words = ("check", "train-video", *flags, *short, "-j", 2, "--save-dir", tmp_path / "run")
    code, _, _ = call(capsys, *words, "--bad-list", tmp_path / "bad.tsv")
    assert code == 1
    hole, folder = (tmp_path / "bad.tsv").read_text().splitlines()
    assert hole.startswith(f"{flags[1]}/hole.mp4\t1 damaged packet")
    assert folder == f"{frames}\t6.png: truncated PNG"


def test_a_list_without_bad_videos_is_empty(tmp_path, capsys):
    flags = make_broken_set(tmp_path / "videos", 4, ())
    words = ("check", "train-video", *flags, *TRAINING, "--save-dir", tmp_path / "run")
    code, said, _ = call(capsys, *words, "--bad-list", tmp_path / "bad.tsv")
    assert code == 0
    assert "ok   bad list: 0 of 5 videos cannot be read" in said
    assert (tmp_path / "bad.tsv").read_text() == ""


@pytest.mark.parametrize("kinds", [("page", "empty"), HIDDEN])
def test_nothing_that_can_be_read_ends_a_command(kinds, trained, tmp_path, capsys):
    flags = make_broken_set(tmp_path / "videos", 0, kinds)
    words = ("train-video", *flags, *TRAINING, "--batch-size", 1, "--save-dir", tmp_path / "run")
    known = "none of the 2 training videos can be read, e.g. "
    assert (known if kinds != HIDDEN else "2 consecutive videos cannot be read") in error(capsys, 1, *words)
    words = ("evaluate", MODEL, "--params", trained[0] / "best.params", *flags, "-j", 1, "--batch-size", 4)
    known = "none of the 2 validation videos can be read, e.g. "
    assert (known if kinds != HIDDEN else "not a single video could be read") in error(capsys, 1, *words)
    if kinds != HIDDEN:
        code, said, _ = call(capsys, "check", "train-video", *flags, *TRAINING, "--bad-list", tmp_path / "bad.tsv")
        assert code == 1
        assert "FAIL options and data: " in said
        assert "none of the 2 training videos can be read, e.g. " in said


# OpenCV, where PyAV is not installed


@pytest.fixture
def without_pyav(monkeypatch):
    """PyAV cannot be imported any more: files that are made before are read with OpenCV."""
    monkeypatch.setitem(sys.modules, "av", None)
    default_decoder.cache_clear()
    yield
    default_decoder.cache_clear()


@pytest.fixture
def copied(data, tmp_path):
    """The flags of the same data in another folder, where no lengths are kept."""
    folder = shutil.copytree(data[1], tmp_path / "videos", ignore=shutil.ignore_patterns("*.video-index"))
    return ("--data-dir", folder, "--train-list", folder / "train.txt", "--val-list", folder / "val.txt")


def test_opencv_names_what_it_sees(copied, without_pyav, tmp_path, capsys):
    """Damaged packets make a video shorter for OpenCV, which does not tell; every other kind is as with PyAV."""
    run, seen = tmp_path / "run", BROKEN.keys() - {*HIDDEN}
    code, said, _ = call(capsys, "train-video", *copied, *TRAINING, "--num-epochs", 1, "--save-dir", run)
    assert code == 0
    found = skipped(said.splitlines())
    assert found.keys() == seen
    assert all(found[kind].startswith(BROKEN[kind][1]) for kind in seen)
    assert "9 training clips, 14 validation clips" in said
    assert "(9 of 14 clips)" in said
    words = ("evaluate", MODEL, "--params", run / "best.params", *copied, "-j", 1, "--batch-size", 4)
    code, said, _ = call(capsys, *words)
    assert code == 0
    assert skipped(said.splitlines()).keys() == seen
    assert "on 9 of 14 videos, 5 unreadable, 1 × 1 views of each" in said
    code, said, _ = call(capsys, "check", "train-video", *copied, *TRAINING, "--bad-list", tmp_path / "bad.tsv")
    assert code == 1
    assert f"FAIL bad list: 5 of 14 videos cannot be read; written: {tmp_path}/bad.tsv\n" in said
    assert "warn training data: 3 videos are shorter than a clip" in said  # the hidden ones, and the short one
    rows = [line.split("\t") for line in (tmp_path / "bad.tsv").read_text(encoding="utf-8").splitlines()]
    assert {path.rpartition("/")[2][:-4]: reason for path, reason in rows} == found


def test_nothing_that_opencv_can_read_ends_a_command(without_pyav, trained, tmp_path, capsys):
    flags = make_broken_set(tmp_path / "videos", 0, ("page", "empty"))
    words = ("train-video", *flags, *TRAINING, "--batch-size", 1, "--save-dir", tmp_path / "run")
    assert "none of the 2 training videos can be read, e.g. " in error(capsys, 1, *words)
    words = ("evaluate", MODEL, "--params", trained[0] / "best.params", *flags, "-j", 1)
    assert "none of the 2 validation videos can be read, e.g. " in error(capsys, 1, *words)
