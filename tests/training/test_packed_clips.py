"""Training and evaluation from packed videos, through the commands, and records of the other kind."""

import csv

import numpy as np
import pytest

from a2net_gluon import settings
from a2net_gluon.data import pack_clips, pack_folder
from a2net_gluon.data.kinds import as_found
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


def test_a_network_for_images_is_measured_on_single_frames(packed, tmp_path, capsys):
    """`evaluate` finds videos, in records and in a folder, and says what training did with ``--evaluate``."""
    model, params = "resnet20_small", tmp_path / "run" / "best.params"
    network, more = ("--model", model, "--input-size", 16), ("--batch-size", 2, "-j", 1)
    flags = ("--use-rec", *records(packed))
    words = ("--num-epochs", 1, "--save-dir", tmp_path / "run")
    assert call(capsys, "train-video", *flags, *network, *more, *words)[0] == 0
    for data in (flags, ("--data-dir", packed)):
        measured = []
        for words in (("train-video", *network, "--evaluate", "--resume-params"), ("evaluate", model, "--params")):
            code, said, _ = call(capsys, *words, params, *data, *more)
            assert code == 0
            measured.append(said.splitlines()[-1])
        assert measured[0] == measured[1]
        assert measured[0].endswith("on 4 of 4 videos, 1 × 1 views of each")
    scores = ("--test-clips", 3, "--scores", tmp_path / "scores.csv")
    code, said, _ = call(capsys, "evaluate", model, "--params", params, *flags, *more, *scores)
    assert said.endswith("3 × 1 views of each\n")
    with open(tmp_path / "scores.csv", newline="") as file:
        frames = [row["frames"] for row in csv.DictReader(file)]
    last = [len(decode_in_order(path)) - 1 for path in sorted(packed.glob("val/*/*.mp4"))]
    assert frames == [str(round(part * end)) for end in last for part in (0, 0.5, 1)]


def test_images_are_found_to_be_images(packed, tmp_path):
    images = settings.ImageFolder(make_image_folder(tmp_path / "images"))
    for data in (images, settings.ImageFolder(tmp_path / "absent"), settings.Records(), settings.Digits()):
        assert as_found(data) == data
    assert as_found(settings.ImageFolder(packed, 2)) == settings.Videos(packed, classes=2)


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
