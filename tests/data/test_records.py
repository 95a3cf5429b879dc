"""Record files: an index that lists each record once, labels that are classes, records in several parts."""

import re
import struct

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon.data import RecordFile
from a2net_gluon.data.decoding import decode
from a2net_gluon.errors import FailureError
from tests.helpers.images import make_image_folder, pack

MAGIC = struct.pack("<I", 0xCED7230A)


@pytest.fixture
def rec(tmp_path):
    """Twelve records of two classes."""
    return pack(make_image_folder(tmp_path / "images") / "train", tmp_path / "train")


def rewrite_index(rec, change):
    index = rec.with_suffix(".idx")
    index.write_text("".join(change(index.read_text().splitlines(keepends=True))))


INDEXES = {
    "the last is lost": (
        lambda lines: lines[:-1],
        "train.idx: does not list each record of .*train.rec once: ",
    ),
    "the last six are lost": (lambda lines: lines[:6], "does not list each record .* once"),
    "one is lost": (lambda lines: lines[:4] + lines[5:], "does not list each record .* once"),
    "the first is lost": (lambda lines: lines[1:], "truncated, or not the file"),
    "all twice": (lambda lines: lines * 2, "does not list each record .* once"),
    "one twice": (lambda lines: [*lines, lines[3]], "does not list each record .* once"),
    "not at a word": (lambda lines: [*lines[:-1], "99\t77\n"], "truncated, or not the file"),
    "too large for a number": (lambda lines: [*lines[:-1], f"99\t{10**40}\n"], "not a record index"),
    **{
        f"the key {key!r}": (
            lambda lines, key=key: [key + lines[0].lstrip("0123456789"), *lines[1:]],
            "not a record index",
        )
        for key in ("\0", "", "one", "-1", "1_0", "²", "1\x1c", str(10**40))
    },
}


@pytest.mark.parametrize("how", INDEXES)
def test_the_index_lists_each_record_once(how, rec):
    change, message = INDEXES[how]
    rewrite_index(rec, change)
    with pytest.raises(FailureError, match=message):
        RecordFile(rec)


def test_the_order_of_the_index_does_not_matter(rec):
    before = RecordFile(rec)
    rewrite_index(rec, lambda lines: lines[::-1])
    after = RecordFile(rec)
    assert after.names == before.names
    np.testing.assert_array_equal(after.labels, before.labels)


@pytest.mark.parametrize("label", [float("inf"), float("nan"), 5.5e19, 2.5, -1.0, 1e6])
def test_a_label_that_is_no_class_is_named_with_its_record(label, rec):
    offset, name = 0, RecordFile(rec).names[0]
    content = bytearray(rec.read_bytes())
    struct.pack_into("<f", content, offset + 12, label)
    rec.write_bytes(content)
    with pytest.raises(FailureError, match=re.escape(f"{name} has label {np.float32(label):g}; labels are whole")):
        RecordFile(rec)
    struct.pack_into("<f", content, offset + 12, 999_999)
    rec.write_bytes(content)
    assert RecordFile(rec).labels[0] == 999_999


def with_comment(jpeg, comment):
    """The same image with a comment before everything else."""
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + jpeg[2:]


@pytest.mark.parametrize("filling", range(4))
def test_records_that_contain_the_magic_number(filling, tmp_path):
    """It starts a word for one of the fillings: MXNet splits such a record into parts."""
    folder = make_image_folder(tmp_path / "images") / "train"
    jpeg = (folder / "cat" / "0.jpg").read_bytes()
    content = with_comment(jpeg, bytes(filling) + MAGIC + MAGIC + b"between" + bytes(5) + MAGIC)
    (folder / "cat" / "0.jpg").write_bytes(content)
    rec = pack(folder, tmp_path / "train")
    reader = mx.recordio.MXIndexedRecordIO(str(rec.with_suffix(".idx")), str(rec), "r")
    header, read = mx.recordio.unpack(reader.read_idx(0))
    assert (header.label, header.id, read) == (0, 0, content)
    writer = mx.recordio.MXIndexedRecordIO(str(tmp_path / "mx.idx"), str(tmp_path / "mx.rec"), "w")
    for key in reader.keys:
        writer.write_idx(key, reader.read_idx(key))
    writer.close()
    for ending in (".rec", ".idx"):
        assert (tmp_path / f"mx{ending}").read_bytes() == rec.with_suffix(ending).read_bytes()
    file = RecordFile(tmp_path / "mx.rec")
    place = [int(name.split()[-1]) for name in file.names].index(0)
    np.testing.assert_array_equal(file.read(place), decode(jpeg))
    assert len(file) == 12
