"""How many bytes a video declares beyond the end of its file."""

import numpy as np
import pytest

from a2net_gluon.formats.video_container import missing_bytes
from tests.helpers.videos import moving_frames, write_video

KINDS = {
    "mp4": {},
    "mov": {"container": {"movflags": "faststart"}},
    "mkv": {},
    "webm": {"codec": "libvpx-vp9", "deadline": "realtime"},
    "avi": {"codec": "mpeg4"},
}
FRAMES = moving_frames(10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_and_a_cut_file(tmp_path, kind):
    path = write_video(tmp_path / f"a.{kind}", FRAMES, **KINDS[kind])
    assert missing_bytes(path) == 0
    content = path.read_bytes()
    path.write_bytes(content + b"\0" * 100)
    assert missing_bytes(path) == 0
    path.write_bytes(content[:-100])
    assert missing_bytes(path) == 100


def box(kind, size, content=b""):
    return size.to_bytes(4, "big") + kind + content


START = box(b"ftyp", 16, b"isom\0\0\0\0")
WITHOUT_A_LENGTH = {
    "the last box extends to the end": START + box(b"mdat", 0, b"abc"),
    "a box of no length": START + box(b"free", 3),
    "Matroska of a stream": b"\x1a\x45\xdf\xa3\x81\0\x18\x53\x80\x67\x01" + b"\xff" * 7 + b"abc",
    "Matroska without a segment": b"\x1a\x45\xdf\xa3\x81\0abcdef",
    "a length of nine bytes": b"\x1a\x45\xdf\xa3\0\0\0\0\0\0\0\0\0",
    "AVI of a stream": b"RIFF\xff\xff\xff\xffAVI abc",
    "AVI that was not finished": b"RIFF\0\0\0\0AVI abc",
    "another container": b"FLV\1\5\0\0\0\x09",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", WITHOUT_A_LENGTH)
def test_no_length(tmp_path, kind):
    path = tmp_path / "a"
    path.write_bytes(WITHOUT_A_LENGTH[kind])
    assert missing_bytes(path) == 0


def test_lengths_of_64_bits(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(START + box(b"mdat", 1, (2**40).to_bytes(8, "big")) + b"abc")
    assert missing_bytes(path) == 2**40 - 16 - 3
    path.write_bytes(b"\x1a\x45\xdf\xa3\x81\0\x18\x53\x80\x67\x01" + (2**40).to_bytes(7, "big") + b"abc")
    assert missing_bytes(path) == 2**40 - 3


def test_any_bytes(tmp_path):
    """Cut anywhere, and with any bytes behind the first, a file has an answer."""
    path, rng = tmp_path / "a", np.random.default_rng(0)
    for start in (START, b"\x1a\x45\xdf\xa3", b"RIFF", b"\0\0\0\x08free" * 20_000):
        for count in (0, 1, 3, 7, 100):
            path.write_bytes(start + rng.bytes(count))
            assert missing_bytes(path) >= 0
