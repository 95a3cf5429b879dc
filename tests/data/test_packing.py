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
from tests.helpers.kills import killed_at, left_at_each_step, leftovers

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
    with pytest.raises(UsageError, match=r"class 'd\\tog' has a tab, a line break or a slash in its name"):
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


@pytest.fixture
def old_and_new(image_folder, tmp_path):
    """The folders and the files of two sets.

    The classes differ, their numbers do not: a list of the older set would give the labels other names.
    """
    other = shutil.copytree(image_folder / "train", tmp_path / "other")
    (other / "cat").rename(other / "zebra")
    folders = (other, image_folder / "train")
    for folder, name in zip(folders, ("old", "new")):
        pack_folder(folder, tmp_path / name)
    return folders, [contents(tmp_path / name) for name in ("old", "new")]


@pytest.mark.parametrize("older", [True, False])
def test_at_no_moment_half_a_set_can_be_opened(older, old_and_new, tmp_path):
    (other, folder), sets = old_and_new
    prefix = tmp_path / "records" / "train"
    prefix.parent.mkdir()
    if older:
        pack_folder(other, prefix)
    states = left_at_each_step(lambda: pack_folder(folder, prefix), prefix.parent, tmp_path / "states")
    assert len(states) > 6
    for state in states:
        try:
            RecordFile(state / "train.rec")
        except (UsageError, FailureError):
            continue  # nothing that opens
        assert contents(state / "train") in sets
    assert contents(states[-1] / "train") == contents(prefix) == sets[1]


@pytest.mark.parametrize("step", [0, 4, 6])
def test_what_a_killed_process_left_of_records_goes(step, old_and_new, tmp_path):
    (other, folder), sets = old_and_new
    prefix = tmp_path / "records" / "train"
    prefix.parent.mkdir()
    pack_folder(other, prefix)
    killed_at(step, lambda: pack_folder(folder, prefix))
    assert prefix.with_suffix(".idx").exists() == (step == 0)
    assert step or contents(prefix) == sets[0]
    assert len(leftovers(prefix.parent)) == 1
    pack_folder(folder, prefix)
    assert contents(prefix) == sets[1]
    assert sorted(path.suffix for path in prefix.parent.iterdir()) == sorted(ENDINGS)


def test_digits_on_a_full_disk(capsys, tmp_path, small_files):
    small_files(20)
    text = error(capsys, 1, "digits", tmp_path / "digits")
    assert "the digits cannot be written (File too large)" in text
    assert list((tmp_path / "digits").iterdir()) == []


@pytest.fixture
def few_digits(monkeypatch):
    """40 digits in place of 1,797."""
    images, labels = digits.load_digits()
    monkeypatch.setattr(digits, "load_digits", lambda: (images[:40], labels[:40]))
    monkeypatch.setattr(digits, "TRAIN_COUNT", 30)


def pictures(folder):
    return {
        path.relative_to(folder): path.read_bytes() for part in ("train", "val") for path in folder.glob(part + "/*/*")
    }


def test_digits_are_written_again(tmp_path, few_digits):
    for _ in range(2):
        assert digits.write_folder(tmp_path) == 40
        (tmp_path / "train" / "7" / "own.txt").write_text("stays")
        assert len(list(tmp_path.rglob("*.png"))) == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train", "val"]


def test_at_no_moment_half_of_the_digits_can_be_trained_on(tmp_path, few_digits):
    states = left_at_each_step(
        lambda: digits.write_folder(tmp_path / "digits"), tmp_path / "digits", tmp_path / "states"
    )
    whole = pictures(tmp_path / "digits")
    assert len(whole) == 40
    assert pictures(states[0]) == {}
    for state in states:
        if (state / "train").exists():
            assert pictures(state) == whole
        else:
            with pytest.raises(UsageError, match="train: no such folder"):
                folder_dataset(state)
    assert sum((state / "train").exists() for state in states) < len(states)


def test_at_no_moment_a_digit_is_lost(tmp_path, few_digits):
    """Files of an older set are replaced one by one, since the user may have others beside them."""
    digits.write_folder(tmp_path / "digits")
    new = pictures(tmp_path / "digits")
    for name in new:
        (tmp_path / "digits" / name).write_bytes(b"older")
    states = left_at_each_step(
        lambda: digits.write_folder(tmp_path / "digits"), tmp_path / "digits", tmp_path / "states"
    )
    assert len(states) > 40
    for state in states:
        found = pictures(state)
        assert all(content in (b"older", new[name]) for name, content in found.items())
        assert set(found) == set(new)
    assert pictures(states[0]) == dict.fromkeys(new, b"older")
    assert pictures(states[-1]) == new


@pytest.mark.parametrize("step", [0, 1])
def test_what_a_killed_process_left_of_digits_goes(step, tmp_path, few_digits):
    killed_at(step, lambda: digits.write_folder(tmp_path))
    assert (tmp_path / "val").exists() == (step == 1)
    assert len(leftovers(tmp_path)) == 1
    assert digits.write_folder(tmp_path) == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train", "val"]
    assert len(pictures(tmp_path)) == 40
