"""Training and evaluation from packed videos, through the commands, and records of the other kind."""

import csv

import numpy as np
import pytest

from a2net_gluon.data import pack_clips, pack_folder
from tests.helpers.commands import call, error
from tests.helpers.images import make_image_folder
from tests.helpers.packed import as_jpegs, dataset_of, make_video_folder
from tests.helpers.videos import decode_in_order

NETWORK = ("--model", "a2net_resnet20_small_3d", "--clip-length", 2, "--frame-interval", 3, "--input-size", 16)
TRAINING = (*NETWORK, "--batch-size", 2, "--num-epochs", 1, "-j", 1)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Packed videos; beside them folders of frames with the same pixels."""
    folder = make_video_folder(tmp_path_factory.mktemp("videos"), {"train": (9, 14), "val": (17, 5)})
    pack_clips(dataset_of(folder), folder / "packed", resize=24)
    return folder


def records(folder):
    return ("--rec-train", folder / "packed" / "train.rec", "--rec-val", folder / "packed" / "val.rec")


def probabilities(path):
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    return np.array([[float(value) for value in row[-2:]] for row in rows])


def test_trained_and_evaluated_as_folders_of_the_same_frames(packed, tmp_path, capsys):
    """The frames are written as PNG files, which are read by another way."""
    import cv2

    for path in packed.glob("*/*/*.mp4"):
        target = tmp_path / "frames" / path.relative_to(packed).with_suffix("")
        target.mkdir(parents=True)
        for number, image in enumerate(as_jpegs(decode_in_order(path), (32, 24))):
            cv2.imwrite(str(target / f"{number}.png"), image[:, :, ::-1])
    data = {"records": ("--use-rec", *records(packed)), "frames": ("--data-dir", tmp_path / "frames")}
    scores = {}
    for name, flags in data.items():
        code, said, _ = call(capsys, "train-video", *flags, *TRAINING, "--save-dir", tmp_path / name)
        assert code == 0
        assert "4 training clips, 4 validation clips" in said
        words = ("--params", tmp_path / name / "best.params", "--test-clips", 3, "-j", 1, "--batch-size", 2)
        code, said, _ = call(
            capsys, "evaluate", "a2net_resnet20_small_3d", *flags, *words, "--scores", tmp_path / f"{name}.csv"
        )
        assert code == 0
        assert "4 of 4 videos, 3 × 1 views of each" in said
        scores[name] = probabilities(tmp_path / f"{name}.csv")
    assert scores["records"].shape == (12, 2)
    np.testing.assert_array_equal(scores["records"], scores["frames"])
    assert (tmp_path / "records" / "best.params").read_bytes() == (tmp_path / "frames" / "best.params").read_bytes()


def test_records_of_the_other_kind_are_told(packed, tmp_path, capsys):
    images = make_image_folder(tmp_path / "images")
    for part in ("train", "val"):
        pack_folder(images / part, tmp_path / part)
    flags = ("--rec-train", tmp_path / "train.rec", "--rec-val", tmp_path / "val.rec", "--save-dir", tmp_path / "run")
    text = error(capsys, 2, "train-video", *flags, *TRAINING)
    assert "train.rec: holds images, not clips: a2net pack-clips packs clips" in text
    for more in ((), ("--native-reader",)):
        words = ("--model", "a2net_resnet20_small", "--input-size", 16, "--batch-size", 2, *more)
        text = error(capsys, 2, "train", *records(packed), *words, "--save-dir", tmp_path / "run")
        assert "train.rec: holds clips of videos, not images: train-video" in text
    assert not (tmp_path / "run").exists()
