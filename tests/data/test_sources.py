"""Folders, records, digits and synthetic batches."""

import errno
import gc
import itertools
import multiprocessing
import multiprocessing.resource_sharer
import multiprocessing.util
import os
import shutil
import struct
import threading

import cv2
import mxnet as mx
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from a2net_gluon.data import (
    AUGMENTATIONS,
    Dataset,
    ImageSamples,
    NativeSource,
    Preprocessing,
    RecordFile,
    SampleSource,
    Shard,
    SyntheticSource,
    digits_dataset,
    folder_dataset,
    pack_folder,
    record_dataset,
)
from a2net_gluon.data.folder import read_image
from a2net_gluon.data.records import class_names
from a2net_gluon.errors import FailureError, UsageError
from tests.helpers.images import make_image_folder, pack


def options(batch_size=4, size=32, augmentation="dpn", workers=0, seed=1, shard=Shard()):  # noqa: B008
    return {
        "shard": shard,
        "preprocessing": Preprocessing(size),
        "augmentation": AUGMENTATIONS[augmentation],
        "batch_size": batch_size,
        "workers": workers,
        "seed": seed,
    }


def folder_source(folder, on_skip=None, **options):
    return SampleSource(folder_dataset(folder), on_skip=on_skip, **options)


def digits_source(**options):
    return SampleSource(digits_dataset(), **options)


def record_source(train, val, classes=None, native=False, **options):
    if native:
        names = class_names(classes, [file for file in (train, val) if file is not None])
        return NativeSource(train, val, names, **options)
    return SampleSource(record_dataset(train, val, classes), **options)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The images of `image_folder` as records; packing takes seconds."""
    folder = tmp_path_factory.mktemp("packed")
    images = make_image_folder(folder / "images")
    return {part: pack(images / part, folder / part) for part in ("train", "val")}


@pytest.fixture
def records(packed, tmp_path):
    """A copy of its own for each test."""
    for path in packed.values():
        for ending in (".rec", ".idx", ".lst"):
            shutil.copy(path.with_suffix(ending), tmp_path)
    return {part: tmp_path / path.name for part, path in packed.items()}


def collect(batches):
    """Pixels and labels of the images that count."""
    taken = [(b.pixels.asnumpy()[: b.count], b.labels.asnumpy()[: b.count]) for b in batches]
    return np.concatenate([pixels for pixels, _ in taken]), np.concatenate([labels for _, labels in taken])


def open_source(kind, image_folder, records, **changes):
    if kind in ("records", "native"):
        files = (RecordFile(records["train"]), RecordFile(records["val"]))
        return record_source(*files, native=kind == "native", **options(**changes))
    if kind == "digits":
        return digits_source(**options(**{"batch_size": 32, **changes}))
    return folder_source(image_folder, **options(**changes))


@pytest.mark.parametrize("kind", ["folder", "digits", "records", "native"])
def test_an_epoch_is_a_function_of_seed_and_number(kind, image_folder, records):
    def first(epoch, **changes):
        return collect(open_source(kind, image_folder, records, **changes).train(epoch))[0]

    third = first(3)
    np.testing.assert_array_equal(third, first(3))
    assert (third != first(4)).any()
    assert (third != first(3, seed=2)).any()


@pytest.mark.parametrize("kind", ["folder", "digits", "records", "native"])
def test_validation_counts_every_image_once(kind, image_folder, records):
    source = open_source(kind, image_folder, records, batch_size=7)
    for _ in range(2):
        pixels, labels = collect(source.validation())
        assert len(labels) == source.val_count == {"digits": 360}.get(kind, 10)
        assert len(np.unique(pixels.reshape(len(labels), -1), axis=0)) == {"digits": 360}.get(kind, 10)
    assert all(batch.pixels.shape[0] == 7 for batch in source.validation())


@pytest.mark.parametrize("kind", ["folder", "digits", "records", "native"])
def test_training_batches_are_full(kind, image_folder, records):
    source = open_source(kind, image_folder, records, batch_size=5)
    batches = list(source.train(1))
    assert len(batches) == source.train_batches == source.train_count // 5
    assert all(batch.count == 5 for batch in batches)


def test_workers_give_the_same_batches(image_folder):
    alone = collect(folder_source(image_folder, **options(workers=0)).train(2))
    shared = collect(folder_source(image_folder, **options(workers=2)).train(2))
    np.testing.assert_array_equal(alone[0], shared[0])
    np.testing.assert_array_equal(alone[1], shared[1])


def test_folder_and_records_give_the_same_pixels(image_folder, records):
    assert_same_pixels(image_folder, records, 32)


@pytest.mark.slow
def test_folder_and_records_give_the_same_pixels_of_real_images(real_data, tmp_path):
    real, folder = real_data("tiny_imagenet20.tar.xz"), tmp_path / "images"
    shutil.copytree(real / "val", folder / "val")
    for name in (real / "train").iterdir():  # validation images are compared; of the others the classes are
        (folder / "train" / name.name).mkdir(parents=True)
        shutil.copy(min(name.iterdir()), folder / "train" / name.name)
    records = {part: pack(folder / part, tmp_path / part) for part in ("train", "val")}
    assert_same_pixels(folder, records, 56)


def assert_same_pixels(folder, records, size):
    kind = options(batch_size=3, size=size)
    by_class = {}
    from_folder = folder_source(folder, **kind)
    from_records = record_source(RecordFile(records["train"]), RecordFile(records["val"]), **kind)
    assert from_records.classes == from_folder.classes
    for source in (from_folder, from_records):
        pixels, labels = collect(source.validation())
        order = np.lexsort((*pixels.reshape(len(pixels), -1).T[:200], labels))  # im2rec shuffles
        by_class[source] = pixels[order], labels[order]
    (left, left_labels), (right, right_labels) = by_class.values()
    np.testing.assert_array_equal(left_labels, right_labels)
    assert np.abs(left.astype(int) - right.astype(int)).max() == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_images_are_named_skipped_and_counted(image_folder, workers):
    broken = [image_folder / "val" / "cat" / "0.jpg", image_folder / "train" / "dog" / "3.jpg"]
    broken[0].write_bytes(b"no image")
    broken[1].write_bytes(broken[1].read_bytes()[:300])
    told = []
    source = folder_source(image_folder, on_skip=lambda *what: told.append(what), **options(workers=workers))
    for _ in range(2):
        assert len(collect(source.validation())[1]) == 9
        batches = list(source.train(1))
        assert sum(batch.count for batch in batches) == 12  # the next image takes the place
        assert all((batch.pixels.asnumpy().reshape(4, -1).max(axis=1) > 0).all() for batch in batches)
    assert sorted(told) == [(str(broken[1]), "truncated JPEG"), (str(broken[0]), "not an image OpenCV can decode")]
    assert set(source.problems.skipped) == {str(path) for path in broken}


def test_a_batch_of_nothing_but_unreadable_images_counts_none(image_folder):
    for path in (image_folder / "val").rglob("*.jpg"):
        path.write_bytes(b"no image")
    source = folder_source(image_folder, **options())
    assert [batch.count for batch in source.validation()] == [0, 0, 0]


def test_small_images_are_enlarged_and_named(image_folder):
    source = folder_source(image_folder, **options(size=44))
    pixels, _ = collect(source.validation())
    assert pixels.shape[1:] == (3, 44, 44)
    assert str(image_folder / "val" / "cat" / "0.jpg") in source.problems.enlarged


def break_folder(folder, how):
    if how == "no-folder":
        return folder / "absent"
    if how == "no-train":
        shutil.rmtree(folder / "train")
    if how == "no-classes":
        shutil.rmtree(folder / "train")
        (folder / "train").mkdir()
    if how == "empty-class":
        shutil.rmtree(folder / "train" / "dog")
        (folder / "train" / "dog").mkdir()
    if how == "new-class":
        (folder / "val" / "cat").rename(folder / "val" / "cow")
    return folder


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("no-folder", UsageError, "absent: no such folder"),
        ("no-train", UsageError, "train: no such folder"),
        ("no-classes", UsageError, "train: has no sub-folders"),
        ("empty-class", FailureError, "class 'dog' has no image"),
        ("new-class", UsageError, "class 'cow' is not among the 2 trained classes"),
    ],
)
def test_bad_folders(image_folder, how, error, message):
    with pytest.raises(error, match=message):
        folder_source(break_folder(image_folder, how), **options())


def test_batch_larger_than_the_data(image_folder):
    with pytest.raises(UsageError, match="holds 12 images, less than one batch of 13"):
        folder_source(image_folder, **options(batch_size=13))


def test_bad_records(records, tmp_path):
    rec = records["train"]
    with pytest.raises(UsageError, match="absent.rec: no such record file"):
        RecordFile(tmp_path / "absent.rec")
    with pytest.raises(UsageError, match="absent.idx: no such index"):
        RecordFile(rec, tmp_path / "absent.idx")
    whole = rec.read_bytes()
    for cut in (len(whole) - 4, len(whole) - 1, len(whole) // 2, 0):
        rec.write_bytes(whole[:cut])
        with pytest.raises(FailureError, match="train.rec: truncated"):
            RecordFile(rec)
    rec.write_bytes(whole)
    for text, message in (("", "lists no record"), ("a\tb\n", "not a record index"), ("1\t4\n", "truncated, or not")):
        (tmp_path / "bad.idx").write_text(text)
        with pytest.raises(FailureError, match=message):
            RecordFile(rec, tmp_path / "bad.idx")


def test_classes_of_records(records):
    kind = options()
    val = RecordFile(records["val"])
    assert sorted(val.labels) == [0] * 5 + [1] * 5
    assert record_source(None, val, **kind).classes == ("cat", "dog")
    assert record_source(None, val, classes=3, **kind).classes == ("0", "1", "2")
    records["val"].with_suffix(".lst").unlink()
    assert record_source(None, val, **kind).classes == ("0", "1")


def test_synthetic_batches():
    source = SyntheticSource(7, Preprocessing(16), batch_size=4, batches=3, seed=0)
    batches = list(source.train(1))
    assert [batch.pixels.shape for batch in batches] == [(4, 3, 16, 16)] * 3
    assert batches[0].labels.asnumpy().max() < 7


def test_records_are_fewer_than_a_batch(records):
    source = record_source(None, RecordFile(records["val"]), **options(batch_size=16))
    (batch,) = source.validation()
    assert batch.pixels.shape[0] == 16
    assert batch.count == 10
    np.testing.assert_array_equal(batch.pixels.asnumpy()[10:], batch.pixels.asnumpy()[:6])


def test_records_of_other_classes(image_folder, records, tmp_path):
    (image_folder / "val" / "dog").rename(image_folder / "val" / "emu")
    other = RecordFile(pack(image_folder / "val", tmp_path / "other"))
    with pytest.raises(UsageError, match="other.rec was packed with other classes"):
        record_source(RecordFile(records["train"]), other, **options())
    with pytest.raises(UsageError, match="other.rec was packed with other classes"):
        record_source(None, other, classes=("cat", "dog"), **options())


def test_bad_packing(image_folder, tmp_path):
    with pytest.raises(UsageError, match="is a folder; the prefix is the start of file names"):
        pack_folder(image_folder / "train", image_folder / "train")
    with pytest.raises(UsageError, match="absent: no such folder"):
        pack_folder(tmp_path / "absent", tmp_path / "x")


def test_rotated_photographs_are_upright_in_folders_and_records(image_folder, packed, tmp_path):
    """Cameras store pixels as they lie and the rotation in EXIF; MXNet's record iterator applies it."""
    with PIL.Image.open(image_folder / "val" / "cat" / "0.jpg") as photo:  # oblong
        exif = photo.getexif()
        for orientation in range(1, 9):
            path = image_folder / "val" / "cat" / f"{orientation}.jpg"
            exif[0x0112] = orientation
            photo.save(path, exif=exif)
            upright = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(path)))
            difference = np.abs(read_image(path).astype(int) - upright).max()
            assert difference <= 4, orientation  # another JPEG decoder
    records = {"train": packed["train"], "val": pack(image_folder / "val", tmp_path / "val-records")}
    assert_same_pixels(image_folder, records, 32)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", ["folder", "records", "native"])
def test_ten_images_are_ten_over_all_shards(kind, count, image_folder, records):
    """At batch 4, in every epoch."""
    for _ in range(2):
        seen = []
        for index in range(count):
            source = open_source(kind, image_folder, records, shard=Shard(index, count))
            batches = list(source.validation())
            assert all(batch.pixels.shape[0] == 4 for batch in batches)
            seen += [batch.pixels.asnumpy()[row].tobytes() for batch in batches for row in range(batch.count)]
        assert len(seen) == len(set(seen)) == 10


def test_shard_without_an_image(image_folder, records):
    """MXNet gives ten records to six processes as 2, 2, 2, 2, 2, 0."""
    sizes = []
    for index in range(6):
        source = open_source("native", image_folder, records, shard=Shard(index, 6), batch_size=1)
        sizes.append(sum(batch.count for batch in source.validation()))
    assert sizes == [2, 2, 2, 2, 2, 0]


@pytest.mark.parametrize("kind", ["folder", "digits", "records"])
def test_shards_make_up_the_batches_of_one_process(kind, image_folder, records):
    whole = open_source(kind, image_folder, records, batch_size=6, augmentation="none")
    parts = [
        open_source(kind, image_folder, records, batch_size=2, augmentation="none", shard=Shard(index, 3))
        for index in range(3)
    ]
    assert {part.train_batches for part in parts} == {whole.train_batches}
    for batch, *pieces in zip(whole.train(2), *(part.train(2) for part in parts)):
        together = np.concatenate([piece.pixels.asnumpy() for piece in pieces])
        np.testing.assert_array_equal(batch.pixels.asnumpy(), together)


def test_native_shards_train_on_different_images(image_folder, records):
    parts = [
        open_source("native", image_folder, records, batch_size=2, augmentation="none", shard=Shard(index, 2))
        for index in range(2)
    ]
    assert {part.train_batches for part in parts} == {3}
    seen = [{row.tobytes() for row in collect(part.train(1))[0]} for part in parts]
    assert [len(images) for images in seen] == [6, 6]
    assert not seen[0] & seen[1]


@pytest.mark.parametrize("kind", ["folder", "digits", "records", "native"])
def test_an_epoch_can_begin_in_the_middle(kind, image_folder, records):
    source = open_source(kind, image_folder, records, batch_size=2)
    whole = [batch.pixels.asnumpy() for batch in source.train(3)]
    rest = [batch.pixels.asnumpy() for batch in source.train(3, first=2)]
    assert len(rest) == len(whole) - 2
    np.testing.assert_array_equal(np.stack(rest), np.stack(whole[2:]))
    assert len(list(source.train(4))) == len(whole)
    assert not list(source.train(3, first=len(whole)))


def damage_record(file, number, how):
    """Overwrite the image of a record, the frame stays."""
    content = bytearray(file.rec.read_bytes())
    offset = sorted(int(line.split("\t")[1]) for line in file.idx.read_text().splitlines())[number]
    length = struct.unpack_from("<I", content, offset + 4)[0]
    start, end = offset + 32, offset + 8 + length
    if how == "header":
        content[start : start + 64] = bytes(64)
    elif how == "end":
        content[(start + end) // 2 : end] = bytes(end - (start + end) // 2)
    else:
        content[offset : offset + 4] = bytes(4)
    file.rec.write_bytes(content)


@pytest.mark.parametrize("how", ["header", "end", "frame"])
@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_records_are_named_skipped_and_counted(how, workers, image_folder, records):
    for part, number in (("train", 4), ("val", 7)):
        damage_record(RecordFile(records[part]), number, how)
    told = []
    files = (RecordFile(records["train"]), RecordFile(records["val"]))
    bad = [files[0].names[4], files[1].names[7]]
    source = record_source(*files, on_skip=lambda *what: told.append(what[0]), **options(workers=workers))
    assert source.classes == ("cat", "dog")
    for epoch in (1, 2):
        assert sum(batch.count for batch in source.train(epoch)) == 12
        assert len(collect(source.validation())[1]) == 9
    assert sorted(told) == sorted(bad)
    assert set(source.problems.skipped) == set(bad)
    source.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_files_that_vanish_in_an_epoch(workers, image_folder):
    source = folder_source(image_folder, **options(workers=workers))
    assert len(list(source.train(1))) == 3
    gone = image_folder / "train" / "cat" / "2.jpg"
    gone.unlink()
    assert sum(batch.count for batch in source.train(2)) == 12
    assert list(source.problems.skipped) == [str(gone)]
    shutil.rmtree(image_folder / "train")
    with pytest.raises(FailureError, match="12 consecutive images cannot be read; the last one is .*: check the data"):
        list(source.train(3))
    source.close()


def test_readers_compute_on_one_processor():
    """Each on several, they would wait for each other, and OpenCV's threads do not survive the fork."""
    threads = ImageSamples(["image"], [0], lambda number: np.full((8, 8, 3), cv2.getNumThreads(), np.uint8))
    mine = cv2.getNumThreads()
    source = SampleSource(Dataset("threads", ("class",), None, threads), **options(size=8, batch_size=1, workers=1))
    (batch,) = source.validation()
    source.close()
    assert (batch.pixels == 1).asnumpy().all()
    assert cv2.getNumThreads() == mine


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_images_that_are_not_rgb_are_refused(image):
    """What reads images is told, not left with the memory as it was."""
    images = ImageSamples(["odd"], [0], lambda number: image)
    source = SampleSource(Dataset("odd", ("a",), images, images), **options(batch_size=1, size=8, augmentation="shift"))
    with pytest.raises(ValueError, match="odd was read as .*; RGB in uint8 is needed"):
        next(source.train(0))


def test_closed_source_leaves_no_reader(image_folder):
    others = set(multiprocessing.active_children())
    source = folder_source(image_folder, **options(workers=2))
    next(iter(source.train(1)))
    readers = set(multiprocessing.active_children()) - others
    assert len(readers) == 4
    source.close()
    for process in readers:
        process.join(60)
        assert process.exitcode == -9


def test_closed_sources_leave_neither_threads_nor_open_files(image_folder):
    def train_and_count():
        source = folder_source(image_folder, **options(workers=2))
        next(iter(source.train(1)))  # others are being read
        source.close()
        gc.collect()
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    before = train_and_count()
    assert [train_and_count() for _ in range(3)] == [before] * 3


def test_reader_that_was_killed_is_told(image_folder):
    others = set(multiprocessing.active_children())
    source = folder_source(image_folder, **options(workers=1))
    reader, _ = sorted(set(multiprocessing.active_children()) - others, key=lambda each: int(each.name.split("-")[-1]))
    batches = itertools.chain.from_iterable(source.train(epoch) for epoch in itertools.count())
    next(batches)
    reader.kill()
    with pytest.raises(FailureError, match=r"a process that reads images has ended, exit code -9; .*memory"):
        list(batches)
    source.close()


def test_reader_that_ended_is_not_replaced(image_folder):
    """Nothing is forked while the main thread computes; the others go on."""
    others = set(multiprocessing.active_children())
    source = folder_source(image_folder, **options(workers=2))
    readers = set(multiprocessing.active_children()) - others
    list(source.train(1))
    first = min(readers, key=lambda reader: int(reader.name.split("-")[-1]))  # one of training, made first
    first.kill()
    first.join(60)
    list(source.validation())
    assert set(multiprocessing.active_children()) - others == readers - {first}
    source.close()


def test_a_reader_says_nothing_by_itself():
    """Python and image libraries would, on the standard error, also when a reader is ended while it hands over."""
    nowhere = os.stat(os.devnull).st_rdev
    silent = ImageSamples(["image"], [0], lambda number: np.full((8, 8, 3), os.fstat(2).st_rdev == nowhere, np.uint8))
    source = SampleSource(Dataset("silent", ("class",), None, silent), **options(size=8, batch_size=1, workers=1))
    (batch,) = source.validation()
    source.close()
    assert (batch.pixels == 1).asnumpy().all()
    assert os.fstat(2).st_rdev != nowhere


def test_readers_share_the_folder_of_their_sockets():
    """One of its own would be left behind by each, since readers are killed."""
    mine = multiprocessing.util.get_temp_dir()
    same = ImageSamples(
        ["image"], [0], lambda number: np.full((8, 8, 3), multiprocessing.util.get_temp_dir() == mine, np.uint8)
    )
    source = SampleSource(Dataset("same", ("class",), None, same), **options(size=8, batch_size=1, workers=1))
    (batch,) = source.validation()
    source.close()
    assert (batch.pixels == 1).asnumpy().all()


def test_a_long_path_for_temporary_files_is_named_with_the_fix(image_folder, monkeypatch):
    long = f"/tmp/{'x' * 80}/pymp-12345678"
    monkeypatch.setattr(multiprocessing.util, "get_temp_dir", lambda: long)
    with pytest.raises(FailureError, match=f"{os.path.dirname(long)}: too long a path for the sockets .*: set TMPDIR"):
        folder_source(image_folder, **options(workers=1))
    folder_source(image_folder, **options(workers=0))


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"2 processes that read images cannot be started \(No space left on device\): .* /dev/shm"),
        (errno.EAGAIN, "Resource temporarily unavailable.*ulimit -u.*lower --num-data-workers"),
        (errno.ENOENT, "No such file or directory.*check that /dev/shm and .*TMPDIR"),
    ],
)
def test_what_readers_need_and_do_not_get_is_named_with_the_fix(number, message, image_folder, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(mx.gluon.data, "DataLoader", refuse)
    with pytest.raises(FailureError, match=message):
        folder_source(image_folder, **options(workers=2))


def test_a_folder_of_sockets_that_is_gone_is_named_with_the_fix(image_folder, monkeypatch):
    source = folder_source(image_folder, **options(workers=1))

    def gone(*arguments):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(multiprocessing.resource_sharer.DupFd, "detach", gone)
    with pytest.raises(FailureError, match="a batch cannot be handed over .No such file or directory.: check that"):
        list(source.validation())
    source.close()
