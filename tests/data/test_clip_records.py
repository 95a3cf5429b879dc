"""Records of videos: what lies in them, and files that lie about it."""

import os
import re
import struct

import cv2
import mxnet as mx
import numpy as np
import pytest

from a2net_gluon.data import PackedVideo, RecordFile, Sampling, clip_record_dataset
from a2net_gluon.data.clip_records import clip_content
from a2net_gluon.data.decoding import DecodeError, decode
from a2net_gluon.data.packing import PackedRecord, write_set
from a2net_gluon.data.recordio import frame
from a2net_gluon.errors import FailureError, UsageError
from tests.helpers.images import make_image_folder, pack

MAGIC = struct.pack("<I", 0xCED7230A)
FRAMES = 5
ROWS = 32 + 16  # where the places of the first record's frames begin in the file
SAMPLING = Sampling(2, 1)


def jpegs(seed=0, count=FRAMES, size=(12, 16)):
    rng = np.random.default_rng(seed)
    return [cv2.imencode(".jpg", rng.integers(0, 256, (*size, 3), np.uint8))[1].tobytes() for _ in range(count)]


def with_comment(jpeg, comment):
    """The same image with a comment before everything else."""
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + jpeg[2:]


def write(prefix, videos, split=None):
    """A set of records from lists of JPEGs; returns the path of the .rec file."""
    records = []
    for number, frames in enumerate(videos):
        content = clip_content(frames, f"cat/{number}.mp4", split)
        records.append(
            PackedRecord(number, number % 2, f"{'cat dog'.split()[number % 2]}/x", frame(content, 0, number))
        )
    write_set(prefix, records)
    return prefix.with_suffix(".rec")


@pytest.fixture
def rec(tmp_path):
    return write(tmp_path / "val", [jpegs(0), jpegs(1)])


def changed(rec, place, content):
    data = bytearray(rec.read_bytes())
    data[place : place + len(content)] = content
    rec.write_bytes(data)
    return rec


@pytest.mark.parametrize("filling", range(4))
def test_the_magic_number_of_records_in_a_frame(filling, tmp_path):
    """It would split the record where it starts a word; mxnet's reader sees the same content."""
    frames = jpegs()
    frames[2] = with_comment(frames[2], bytes(filling) + MAGIC + MAGIC + b"a" + MAGIC)
    rec = write(tmp_path / "val", [frames, frames])
    for number in range(2):
        read = PackedVideo(RecordFile(rec), number).read(np.arange(FRAMES))
        np.testing.assert_array_equal(read, [decode(one) for one in frames])
    reader = mx.recordio.MXIndexedRecordIO(str(rec.with_suffix(".idx")), str(rec), "r")
    assert mx.recordio.unpack(reader.read_idx(1))[1] == clip_content(frames, "cat/1.mp4")


def test_a_frame_for_which_there_is_no_place_is_refused():
    everywhere = b"".join(bytes(1) + MAGIC for _ in range(4))
    with pytest.raises(ValueError, match="a frame cannot be kept"):
        clip_content([with_comment(jpegs()[0], everywhere)], "x")


def test_only_the_needed_bytes_are_read(tmp_path, monkeypatch):
    frames = jpegs(count=300)
    video = PackedVideo(RecordFile(write(tmp_path / "val", [frames])), 0)
    sizes, pread = [], os.pread

    def counted(file, size, place):
        sizes.append(size)
        return pread(file, size, place)

    monkeypatch.setattr(os, "pread", counted)
    wanted = np.arange(100, 164, 8)
    video.read(wanted)
    assert sum(sizes) == 16 + 8 * 300 + sum(len(frames[number]) for number in wanted)
    assert sum(sizes) < sum(map(len, frames)) / 10


def test_frames_in_any_order_and_twice(rec):
    video = PackedVideo(RecordFile(rec), 1)
    assert video.length() == FRAMES
    expected = np.stack([decode(one) for one in jpegs(1)])
    np.testing.assert_array_equal(video.read(np.array([4, 0, 4])), expected[[4, 0, 4]])
    for wrong in ([5], [-1]):
        with pytest.raises(DecodeError, match=f"has 5 frames; frame {wrong[0]} is wanted"):
            video.read(np.array(wrong))


def test_frames_of_different_sizes(tmp_path):
    video = PackedVideo(RecordFile(write(tmp_path / "val", [jpegs() + jpegs(size=(14, 14))])), 0)
    assert video.read(np.array([0, 4])).shape == (2, 12, 16, 3)
    with pytest.raises(DecodeError, match="its frames differ in size"):
        video.read(np.array([4, 5]))


LIES = {
    "no frames": (32 + 8, struct.pack("<I", 0), "a record of 0 frames"),
    "more frames than bytes": (
        32 + 8,
        struct.pack("<I", 2**32 - 1),
        "a record of 4294967295 frames that does not hold",
    ),
    "a frame behind the record": (ROWS, struct.pack("<II", 2**32 - 1, 100), "frame 0: ends behind its record"),
    "a frame that ends behind it": (ROWS + 4, struct.pack("<I", 2**31), "frame 0: ends behind its record"),
    "a frame without a byte": (ROWS + 4, struct.pack("<I", 0), "frame 0: empty file"),
    "a frame elsewhere in the record": (ROWS, struct.pack("<I", 17), "frame 0: not an image"),
    "another kind of content": (32, b"\xff\xd8\xff\xe0", "not a record of a video"),
    "the last of several parts": (4 + 3, b"\x60", "not a record of a video"),
    "no record": (0, b"nothing", "not a record of a video"),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_a_record_says_is_not_believed(lie, rec):
    place, content, message = LIES[lie]
    file = RecordFile(changed(rec, place, content))
    with pytest.raises(DecodeError, match=message):
        PackedVideo(file, 0).read(np.array([0]))
    assert file.holds_clips
    dataset = clip_record_dataset(None, file, SAMPLING)
    np.testing.assert_array_equal(dataset.validation.read(1), [decode(one) for one in jpegs(1)[2:4]])


def test_random_bytes_raise_nothing_else(rec):
    clean, rng, outcomes = rec.read_bytes(), np.random.default_rng(0), {"read": 0, "refused": 0, "damaged": 0}
    for _ in range(300):
        places = rng.integers(0, 150, rng.integers(1, 4))
        for place in places:
            changed(rec, int(place), bytes([rng.integers(256)]))
        try:
            dataset = clip_record_dataset(None, RecordFile(rec), SAMPLING)
            for number in range(2):
                dataset.validation.read(number)
            outcomes["read"] += 1
        except (FailureError, UsageError):
            outcomes["refused"] += 1
        except DecodeError:
            outcomes["damaged"] += 1
        rec.write_bytes(clean)
    assert min(outcomes.values()) >= 10, outcomes


def test_a_truncated_file_is_refused(rec):
    rec.write_bytes(rec.read_bytes()[:-40])
    with pytest.raises(FailureError, match="truncated, or not the file"):
        RecordFile(rec)


def test_names_splits_and_classes(tmp_path):
    files = {name: RecordFile(write(tmp_path / name, [jpegs(), jpegs(1)], split)) for name, split in SPLITS.items()}
    dataset = clip_record_dataset(files["train"], files["val"], SAMPLING)
    assert dataset.split == "ucf101/1"
    assert dataset.validation.names == [f"{tmp_path}/val.rec, cat/{number}.mp4" for number in range(2)]
    for other in ("other", "plain"):
        with pytest.raises(UsageError, match=re.escape("train.rec is of split ucf101/1, ")):
            clip_record_dataset(files["train"], files[other], SAMPLING)


SPLITS = {"train": "ucf101/1", "val": "ucf101/1", "other": "ucf101/2", "plain": None}


def test_images_are_told_from_clips(rec, tmp_path):
    images = RecordFile(pack(make_image_folder(tmp_path / "images") / "val", tmp_path / "photos"))
    assert not images.holds_clips
    with pytest.raises(UsageError, match=r"photos.rec: holds images, not clips"):
        clip_record_dataset(RecordFile(rec), images, SAMPLING)
