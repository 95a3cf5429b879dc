"""Runs on video files: folders, lists, and the splits of UCF-101."""

import re
import shutil

import numpy as np
import pytest

import a2net_gluon as a2
from a2net_gluon import settings
from a2net_gluon.errors import UsageError
from a2net_gluon.training import evaluate_splits, mean_in_words, train_splits
from tests.helpers.commands import call
from tests.helpers.videos import moving_frames, write_video

CLASSES = ("Archery", "Diving", "Typing")
SMALL = ("--model", "resnet20_small_3d", "--input-size", 16, "--clip-length", 4, "--frame-interval", 2, "-j", 1)
RUN = (*SMALL, "--batch-size", 4, "--num-epochs", 1, "--warmup-epochs", 0, "--augmentation", "author")


@pytest.fixture(scope="module")
def ucf(tmp_path_factory):
    """Videos and lists as UCF-101 has them: three classes with six groups of two videos, two of which are tested."""
    folder = tmp_path_factory.mktemp("ucf")
    lists = folder / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(CLASSES, 1)))
    written = write_video(folder / "one.avi", moving_frames(20, height=24, width=32), codec="mpeg4")
    videos = [f"{name}/v_{name}_g0{group}_c0{clip}.avi" for name in CLASSES for group in range(6) for clip in (1, 2)]
    for video in videos:
        (folder / "UCF-101" / video).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(written, folder / "UCF-101" / video)
    for split in (1, 2, 3):
        tested = [video for video in videos if int(re.search(r"_g0(\d)", video)[1]) // 2 == split - 1]
        (lists / f"testlist0{split}.txt").write_text("".join(f"{video}\n" for video in tested))
        trained = [f"{v} {CLASSES.index(v.split('/')[0]) + 1}\n" for v in videos if v not in tested]
        (lists / f"trainlist0{split}.txt").write_text("".join(trained))
    return folder


def test_videos_of_a_split_train_and_evaluate(ucf, tmp_path, capsys):
    run, data = tmp_path / "run", ("--data-dir", ucf, "--ucf-split", 1)
    code, out, err = call(capsys, "train-video", *RUN, *data, "--save-dir", run)
    assert code == 0, err
    assert "24 training videos (UCF-101, two columns: path label, labels from 1)" in out
    assert "24 training clips, 12 validation clips" in out
    evaluate = ("evaluate", "resnet20_small_3d", "--params", run / "best.params", "--data-dir", ucf, "-j", 1)
    code, out, err = call(capsys, *evaluate, "--ucf-split", 1, "--test-views", "author", "--scores", tmp_path / "s.csv")
    assert code == 0, err
    assert re.search(r"clip@1 \S+ %, video@1 \S+ %, .* on 12 of 12 videos, 10 × 5 views of each", out)
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 1 + 12 * 51
    code, _, err = call(capsys, *evaluate, "--ucf-split", 2)
    assert code == 2
    assert "trained on ucf101 split 1, these are the test videos of split 2" in err
    third = ("--data-dir", ucf / "UCF-101", "--val-list", ucf / "ucfTrainTestlist" / "testlist03.txt")
    code, _, err = call(capsys, *evaluate, *third)
    assert code == 2
    assert "these are the test videos of split 3" in err


@pytest.mark.slow
def test_all_splits_are_three_runs_and_their_mean(ucf, tmp_path, capsys):
    run = tmp_path / "runs"
    code, out, err = call(capsys, "train-video", *RUN, "--data-dir", ucf, "--ucf-split", "all", "--save-dir", run)
    assert code == 0, err
    splits = [run / f"split-{number}" for number in (1, 2, 3)]
    assert all((folder / "best.params").is_file() for folder in splits)
    for number, folder in enumerate(splits, 1):
        assert f'"trained_on": "ucf101/{number}"' in (folder / "model.json").read_text()
    network = settings.Network("resnet20_small_3d")
    data = settings.Videos(ucf, ucf_split="all")
    results = evaluate_splits(settings.Evaluation(network=network, data=data, params=run, workers=1))
    mean = np.mean([result.metrics["video_top1"] for result in results])
    assert f"video@1 {100 * mean:.1f} %" in mean_in_words(results)
    assert re.search(r"^mean of 3 splits: top-1 \S+ %, top-5 \S+ %$", out, re.M)
    with pytest.raises(UsageError, match="needs --save-dir"):
        train_splits(settings.Training(data=data))
    with pytest.raises(UsageError, match="--ucf-split all is three runs"):
        a2.train(settings.Training(data=data, save_dir=tmp_path / "one", network=network))


def test_check_says_what_it_finds(ucf, capsys):
    code, out, err = call(capsys, "check", "train-video", *RUN, "--data-dir", ucf, "--ucf-split", 2)
    assert code == 0, err
    assert "ok   training data: 24 clips, 3 classes of 8 to 8" in out
    assert "12 clips decoded at" in out
