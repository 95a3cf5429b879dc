"""Packing: the bytes of im2rec, odd names, and no moment at which half a set can be opened."""

import gc
import os
import resource
import runpy
import shutil
import sys

import pytest

from a2net_gluon.data import RecordFile, digits, folder_dataset, pack_folder, record_dataset
from a2net_gluon.errors import FailureError, UsageError
from tests.helpers.commands import call, error

ENDINGS = (".rec", ".idx", ".lst")


def contents(prefix):
    return [prefix.with_name(prefix.name + ending).read_bytes() for ending in ENDINGS]


@pytest.fixture
def small_files():
    """Return a function that limits the size of files, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_bytes_are_those_of_im2rec(image_folder, tmp_path, monkeypatch):
    for words in (["--list", "--recursive"], ["--pass-through"]):
        monkeypatch.setattr(sys, "argv", ["im2rec", *words, str(tmp_path / "mx"), str(image_folder / "train")])
        runpy.run_module("mxnet.tools.im2rec", run_name="__main__")
        gc.collect()  # it closes its files when they are forgotten
    assert pack_folder(image_folder / "train", tmp_path / "ours") == 12
    assert contents(tmp_path / "ours") == contents(tmp_path / "mx")


def test_odd_names_are_packed(image_folder, tmp_path):
    cat, dog = image_folder / "train" / "cat", image_folder / "train" / "dog"
    for number, name in enumerate(
        [b"tab\t.jpg", b"line\nbreak.jpg", b"not utf-8 \xff.jpg", b" space .jpg", b"\x1b[31m.JPG"]
    ):
        shutil.copy(cat / f"{number}.jpg", os.path.join(os.fsencode(cat), name))
    for part in ("train", "val"):
        (image_folder / part / "dog").rename(os.fsdecode(os.fsencode(image_folder / part) + b"/do\xffg"))
    assert not dog.exists()
    files = {part: tmp_path / f"{part}.rec" for part in ("train", "val")}
    assert pack_folder(image_folder / "train", tmp_path / "train") == 17
    pack_folder(image_folder / "val", tmp_path / "val")
    records = record_dataset(RecordFile(files["train"]), RecordFile(files["val"]))
    folder = folder_dataset(image_folder)
    assert records.classes == folder.classes == ("cat", os.fsdecode(b"do\xffg"))
    assert sorted(records.training.labels) == sorted(folder.training.labels)
    assert b"tab\\t.jpg" in files["train"].with_suffix(".lst").read_bytes()


def test_a_class_that_the_list_cannot_name_is_refused(image_folder, tmp_path):
    (image_folder / "train" / "dog").rename(image_folder / "train" / "d\tog")
    with pytest.raises(UsageError, match=r"class 'd\\tog' has a tab or a line break in its name: rename its folder"):
        pack_folder(image_folder / "train", tmp_path / "train")
    assert not list(tmp_path.glob("train*"))


def test_what_is_no_file_is_named_and_left_out(capsys, image_folder, tmp_path):
    (image_folder / "train" / "cat" / "\x1b[31m.png").mkdir()
    code, out, _ = call(capsys, "pack", image_folder / "train", tmp_path / "train")
    assert code == 0
    assert f"skipped {image_folder}/train/cat/\\x1b[31m.png: Is a directory\n" in out
    assert "written: 12 images" in out
    assert len(RecordFile(tmp_path / "train.rec")) == 12


def test_other_images_than_jpeg_and_png_are_packed(image_folder, tmp_path):
    """im2rec leaves them out, and counts their classes differently."""
    (image_folder / "train" / "ant").mkdir()
    (image_folder / "train" / "ant" / "0.pgm").write_bytes(b"P5 4 3 255\n" + bytes(12))
    pack_folder(image_folder / "train", tmp_path / "train")
    assert sorted(RecordFile(tmp_path / "train.rec").labels) == [0] + 6 * [1] + 6 * [2]


def test_a_full_disk_leaves_the_older_set(capsys, image_folder, tmp_path, small_files):
    prefix = tmp_path / "records" / "train"
    prefix.parent.mkdir()
    pack_folder(image_folder / "val", prefix)
    before = contents(prefix)
    small_files(20_000)
    assert "train.rec: cannot be written (File too large)" in error(capsys, 1, "pack", image_folder / "train", prefix)
    assert contents(prefix) == before
    assert sorted(path.suffix for path in prefix.parent.iterdir()) == sorted(ENDINGS)


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


def pack_until(moment, folder, prefix, monkeypatch):
    """Pack, killed before the call number `moment` that changes or flushes a name; returns whether it was."""
    steps = iter(range(100))

    def counted(function):
        def until_killed(*arguments, **options):
            if next(steps) == moment:
                raise Killed
            return function(*arguments, **options)

        return until_killed

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "unlink", "fsync"):
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            pack_folder(folder, prefix)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("older", [True, False])
def test_at_no_moment_half_a_set_can_be_opened(older, image_folder, tmp_path, monkeypatch):
    """The classes differ, their numbers do not: a list of the older set would give the labels other names."""
    other = shutil.copytree(image_folder / "train", tmp_path / "other")
    (other / "cat").rename(other / "zebra")
    sets = []
    for name, folder in (("old", other), ("new", image_folder / "train")):
        pack_folder(folder, tmp_path / name)
        sets.append(contents(tmp_path / name))
    prefix = tmp_path / "train"
    for moment in range(100):
        for path in tmp_path.glob("train.*"):
            path.unlink()
        if older:
            pack_folder(other, prefix)
        killed = pack_until(moment, image_folder / "train", prefix, monkeypatch)
        if not killed:
            break
        try:
            RecordFile(prefix.with_suffix(".rec"))
        except (UsageError, FailureError):
            continue  # nothing that opens
        assert contents(prefix) in sets
    assert moment >= 6
    assert contents(prefix) == sets[1]


def test_digits_on_a_full_disk(capsys, tmp_path, small_files):
    small_files(20)
    text = error(capsys, 1, "digits", tmp_path / "digits")
    assert "the digits cannot be written (File too large)" in text
    assert list((tmp_path / "digits").iterdir()) == []


def test_digits_are_written_again(tmp_path, monkeypatch):
    images, labels = digits.load_digits()
    monkeypatch.setattr(digits, "load_digits", lambda: (images[:40], labels[:40]))
    monkeypatch.setattr(digits, "TRAIN_COUNT", 30)
    for _ in range(2):
        assert digits.write_folder(tmp_path) == 40
        (tmp_path / "train" / "7" / "own.txt").write_text("stays")
        assert len(list(tmp_path.rglob("*.png"))) == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train", "val"]
