"""DALI as reader: the order, shards, counts and random numbers of the readers in Python, and nearly their pixels.

Most tests are skipped where DALI is not installed: pip install nvidia-dali-cuda110==1.34.0, half a gigabyte.
"""

import sys

import numpy as np
import pytest

from a2net_gluon import settings
from a2net_gluon.data import AUGMENTATIONS, DaliSource, Preprocessing, RecordFile, SampleSource, Shard, folder_dataset
from a2net_gluon.data import record_dataset as records_of
from a2net_gluon.errors import UsageError
from a2net_gluon.training.sources import open_source
from tests.helpers.commands import call, error
from tests.helpers.encoded import IMAGES, PHOTO, encoded
from tests.helpers.images import pack
from tests.helpers.runs import assert_same_end

INPUT = Preprocessing(size=32)
SMALL = AUGMENTATIONS["small"]
TRAIN, VAL = 22, 7


@pytest.fixture
def dali():
    return pytest.importorskip("nvidia.dali", reason="DALI is not installed")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Pieces of a photograph; one of the training and one of the validation images cannot be read."""
    folder = tmp_path_factory.mktemp("images")
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    special = {1: encoded(PHOTO, "JPEG")[:900], 3: encoded(PHOTO, "JPEG", exif=exif, quality=95), 5: IMAGES["png"]}
    for part, count in (("train", TRAIN), ("val", VAL)):
        for number in range(count):
            path = folder / part / ("cat", "dog")[number % 2] / f"{number:02}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            piece = PHOTO.crop((number, number // 2, 90 - number // 3, 70 - number // 4))
            path.write_bytes(special.get(number) or encoded(piece, "JPEG", quality=95))
    return folder


def sources(dataset, batch_size=4, augmentation=SMALL, seed=1, **more):
    """The reader in Python and DALI."""
    reading = (dataset, INPUT, augmentation, batch_size)
    return SampleSource(*reading, 0, seed, **more), DaliSource(*reading, 2, seed, **more)


def alike(ours, theirs, limit):
    """The same images, labels and counts; pixels that differ by less than `limit` grey levels on average."""
    ours, theirs = list(ours), list(theirs)
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs):
        assert (one.count, one.numbers) == (other.count, other.numbers)
        assert (one.pixels.shape, one.pixels.dtype) == (other.pixels.shape, other.pixels.dtype)
        np.testing.assert_array_equal(one.labels.asnumpy(), other.labels.asnumpy())
        levels = np.abs(one.pixels.asnumpy().astype(int) - other.pixels.asnumpy()).mean((1, 2, 3))
        assert levels.max() < limit


def pixels(batches):
    return np.concatenate([batch.pixels.asnumpy() for batch in batches])


def test_training_batches(dali, images):
    for shard in (Shard(), Shard(0, 2), Shard(1, 2)):
        ours, theirs = sources(folder_dataset(images), shard=shard)
        assert ours.train_batches == theirs.train_batches == 5 // shard.count
        alike(ours.train(3), theirs.train(3), 4)
        assert ours.problems.skipped == theirs.problems.skipped
    _, mirrored = sources(folder_dataset(images), seed=2)
    assert np.abs(pixels(mirrored.train(3)).astype(int) - pixels(theirs.train(3))[:1]).mean() > 10


def test_validation_is_exact_in_count(dali, images):
    skipped = {}
    ours, theirs = sources(folder_dataset(images, training=False), augmentation=None, on_skip=skipped.__setitem__)
    batches = list(theirs.validation())
    assert [batch.count for batch in batches] == [4, 2]  # of 7, one of which cannot be read
    assert all(batch.pixels.shape[0] == 4 for batch in batches)
    assert list(skipped.values()) == ["truncated JPEG"]
    alike(ours.validation(), batches, 3)
    counts = [
        sum(batch.count for batch in sources(folder_dataset(images), shard=Shard(n, 3))[1].validation())
        for n in range(3)
    ]
    assert sum(counts) == VAL - 1


def test_an_epoch_goes_on_in_its_middle(dali, images):
    _, source = sources(folder_dataset(images))
    whole = pixels(source.train(2))
    np.testing.assert_array_equal(pixels(source.train(2)), whole)
    np.testing.assert_array_equal(pixels(source.train(2, first=3)), whole[12:])
    assert (pixels(source.train(1)) != whole).any()
    next(source.train(4))  # left behind
    np.testing.assert_array_equal(pixels(source.train(2)), whole)


def test_records_give_the_pixels_of_files(dali, images, tmp_path):
    files = [RecordFile(pack(images / part, tmp_path / part)) for part in ("train", "val")]
    (_, folder), (_, records) = (sources(each, batch_size=6) for each in (folder_dataset(images), records_of(*files)))

    def by_label(batches):
        return sorted((int(label), crop.tobytes()) for b in batches for label, crop in rows(b))

    def rows(batch):
        return [*zip(batch.labels.asnumpy(), batch.pixels.asnumpy())][: batch.count]

    assert by_label(folder.validation()) == by_label(records.validation())


def test_a_run_goes_on_with_dali(dali, images, tmp_path, capsys):
    words = ["train", "--data-dir", images, "--reader", "dali", "--augmentation", "small", "--batch-size", 8]
    words += ["--model", "a2net_resnet20_small", "--input-size", 16, "--lr", 0.01, "-j", 1]
    for run, epochs in (("whole", [2]), ("parts", [1, 2])):
        for count in epochs:
            more = ["--num-epochs", count, "--lr-mode", "step", "--save-dir", tmp_path / run, "--auto-resume"]
            code, out, err = call(capsys, *words, *more)
            assert (code, err) == (0, "")
    assert f"{VAL - 1} of {VAL} images" in out
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_what_dali_does_not_have_is_refused(dali, images):
    with pytest.raises(UsageError, match="--reader dali has no jitter of colours: choose another --augmentation"):
        sources(folder_dataset(images), augmentation=AUGMENTATIONS["dpn"])


def test_without_dali(images, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    training = settings.Training(
        data=settings.ImageFolder(images, reader="dali"), augmentation="small", batch_size=4
    ).resolved()
    with pytest.raises(UsageError, match=r"--reader dali needs DALI \(.*\): pip install nvidia-dali-cuda110==1.34.0"):
        open_source(training, INPUT)
    text = error(capsys, 2, "train", "--rec-train", "a", "--rec-val", "b", "--native-reader", "--reader", "dali")
    assert "--native-reader and --reader dali both name the reader" in text
