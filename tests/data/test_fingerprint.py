"""Fingerprints of lists of samples."""

import shutil

import pytest

from a2net_gluon.data import RecordFile, folder_dataset, record_dataset
from a2net_gluon.data.samples import ImageSamples, fingerprint
from tests.helpers.images import write_records


def samples(names, labels):
    return ImageSamples(names, labels, None)


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["a/0", "a/1", "b/0"], [0, 1, 1]),
        (["a/0", "b/0", "a/1"], [0, 0, 1]),
        (["a/0", "a/1"], [0, 0]),
        (["a/0", "a/2", "b/0"], [0, 0, 1]),
        (["a/0", "a/1", "b/0", "b/1"], [0, 0, 1, 1]),
    ],
)
def test_names_labels_and_order_count(names, labels):
    assert fingerprint(samples(names, labels)) != fingerprint(samples(["a/0", "a/1", "b/0"], [0, 0, 1]))


def test_data_may_be_moved(image_folder, tmp_path, monkeypatch):
    for part in ("train", "val"):
        write_records(image_folder / part, tmp_path / part)
    shutil.copytree(image_folder, tmp_path / "moved")

    def of_folder(folder):
        return {part: fingerprint(samples) for part, samples in folder_dataset(folder).parts().items()}

    def of_records(*paths):
        return {part: fingerprint(samples) for part, samples in record_dataset(*map(RecordFile, paths)).parts().items()}

    monkeypatch.chdir(tmp_path)
    assert of_folder(image_folder) == of_folder("moved")
    assert of_records("train.rec", "val.rec") == of_records(tmp_path / "train.rec", tmp_path / "val.rec")
    (image_folder / "val" / "cat" / "0.jpg").unlink()
    before, now = of_folder("moved"), of_folder(image_folder)
    assert before["training"] == now["training"]
    assert before["validation"] != now["validation"]


def test_names_of_any_bytes():
    assert fingerprint(samples(["a/\udcff", "a/ü"], [0, 0])) != fingerprint(samples(["a/\udcfe", "a/ü"], [0, 0]))
    assert fingerprint(samples([], []))
