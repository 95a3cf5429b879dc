"""Images that would end MXNet's record iterator are found before it reads them, once for each file."""

import faulthandler
import itertools
import multiprocessing
import os
import re
import signal
import struct

import mxnet as mx
import numpy as np
import PIL.Image
import pytest

from a2net_gluon.data import AUGMENTATIONS, NativeSource, Preprocessing, RecordFile
from a2net_gluon.errors import FailureError
from tests.helpers.encoded import IMAGES
from tests.helpers.images import pack

CLASSES = ("cat", "dog")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Eight PNGs of noise: damage in the middle is damage of its pixels."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("images")
    for name in CLASSES:
        (folder / name).mkdir()
        for number in range(4):
            PIL.Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def rec(images, tmp_path):
    return pack(images, tmp_path / "val")


def source(rec, workers=0, augmentation=None):
    file = RecordFile(rec)
    train = file if augmentation else None
    return NativeSource(train, file, CLASSES, Preprocessing(32), augmentation, 4, workers, 0)


def damage(rec, number):
    """Damage a record in its middle; returns its name."""
    file, content = RecordFile(rec), bytearray(rec.read_bytes())
    places = sorted(int(line.split("\t")[1]) for line in rec.with_suffix(".idx").read_text().splitlines())
    start, end = places[number : number + 2]
    assert content[start + 32 :].startswith(b"\x89PNG")
    struct.pack_into("8s", content, (start + end) // 2, bytes(8))
    rec.write_bytes(content)
    return file.names[number]


def iterate(rec):
    faulthandler.disable()
    shape = {"data_shape": (3, 32, 32), "resize": 36, "batch_size": 4}
    index = rec.with_suffix(".idx")
    for batch in mx.io.ImageRecordIter(path_imgrec=str(rec), path_imgidx=str(index), verbose=False, **shape):
        batch.data[0].wait_to_read()


@pytest.mark.parametrize("workers", [0, 2])
def test_damage_in_the_middle_is_named(workers, rec):
    assert sum(batch.count for batch in source(rec, workers).validation()) == 8
    name = damage(rec, 2)
    alone = multiprocessing.get_context("fork").Process(target=iterate, args=(rec,))
    alone.start()
    alone.join()
    assert alone.exitcode == -signal.SIGFPE
    expected = f"{name} (not an image OpenCV can decode), and 0 others, would end MXNet's iterator: leave --native"
    with pytest.raises(FailureError, match=re.escape(expected)):
        source(rec, workers)


def test_formats_that_mxnet_does_not_know_are_named(images, tmp_path):
    folder = tmp_path / "images"
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    (folder / "cat" / "0.png").write_bytes(IMAGES["png"])
    (folder / "dog" / "0.ppm").write_bytes(IMAGES["ppm"])
    (folder / "dog" / "1.tif").write_bytes(IMAGES["tiff-jpeg"])
    rec = pack(folder, tmp_path / "val")
    assert [RecordFile(rec).read(number).shape for number in range(3)] == [(70, 90, 3)] * 3
    with pytest.raises(FailureError, match=r"\(not an image MXNet can decode\), and 1 others"):
        source(rec)


def test_a_file_is_checked_once(rec):
    """Damage that leaves size and time of change as they were shows whether the images are decoded again."""
    source(rec)
    before = rec.stat().st_mtime_ns
    name = damage(rec, 5)
    os.utime(rec, ns=(before, before))
    source(rec)
    os.utime(rec, ns=(before, before + 1))
    with pytest.raises(FailureError, match=re.escape(name)):
        source(rec)


def test_what_is_no_proof_is_replaced(rec):
    proven = rec.with_name("val.rec.proven")
    source(rec)
    right = proven.read_bytes()
    for content in (b"", b"{", b"\xff", b"[" * 9999, right.replace(b"1.9.1", b"1.8.0")):
        proven.write_bytes(content)
        source(rec)
        assert proven.read_bytes() == right


def test_a_proof_that_cannot_be_written(rec):
    rec.with_name("val.rec.proven").mkdir()
    assert source(rec).val_count == 8
    assert sorted(path.name for path in rec.parent.iterdir()) == ["val.idx", "val.lst", "val.rec", "val.rec.proven"]


def test_an_error_of_the_iterator_names_the_file(tmp_path):
    """Crops of images of one pixel can be empty."""
    for name in CLASSES:
        (tmp_path / "images" / name).mkdir(parents=True)
        PIL.Image.new("RGB", (1, 1)).save(tmp_path / "images" / name / "0.png")
        PIL.Image.new("RGB", (1, 1)).save(tmp_path / "images" / name / "1.png")
    rec = pack(tmp_path / "images", tmp_path / "val")
    opened = source(rec, augmentation=AUGMENTATIONS["dpn"])
    expected = f"{re.escape(str(rec))}: MXNet's iterator failed .*: leave --native-reader out"
    batches = itertools.chain.from_iterable(map(opened.train, range(20)))
    with pytest.raises(FailureError, match=expected):
        list(batches)
