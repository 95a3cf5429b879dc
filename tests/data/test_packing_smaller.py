"""``a2net pack --resize``: sizes, quality and pixels against Pillow; labels, order; equal bytes from any processes."""

import io
import re

import cv2
import mxnet as mx
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from a2net_gluon.data import RecordFile, pack_folder
from tests.helpers.commands import call, error
from tests.helpers.encoded import PHOTO, encoded

RESIZE, QUALITY = 32, 80
ENDINGS = (".rec", ".idx", ".lst")
TALL = PHOTO.crop((0, 0, 37, 70))
TURNED = PIL.Image.Exif()
TURNED[0x0112] = 6  # to be turned by 90 degrees
FILES = {
    "cat/wide.jpg": encoded(PHOTO, "JPEG", quality=95),
    "cat/tall.png": encoded(TALL, "PNG"),
    "cat/turned.jpg": encoded(PHOTO, "JPEG", quality=95, exif=TURNED.tobytes()),
    "cat/grey.png": encoded(PHOTO.convert("L"), "PNG"),
    "dog/cut.jpg": encoded(PHOTO, "JPEG")[:900],
    "dog/even.png": encoded(PHOTO.resize((50, RESIZE)), "PNG"),
    "dog/small.jpg": encoded(PHOTO.resize((20, 30)), "JPEG"),
}
# Width and height, of those that are made smaller: 70, 37 and 70 become 32.
SIZES = {"cat/wide.jpg": (41, 32), "cat/tall.png": (32, 60), "cat/turned.jpg": (32, 41), "cat/grey.png": (41, 32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def packed(folder):
    """The prefix of records written by the command, and what it said; the names end in the number of processes."""
    prefix = folder.parent / "packed-2"
    text = io.StringIO()
    pack_folder(
        folder, prefix, lambda *what: print(*what, file=text), RESIZE, QUALITY, 2, lambda line: print(line, file=text)
    )
    return prefix, text.getvalue()


def contents(prefix):
    """What MXNet reads: key, label and content of each record, by the name in the list."""
    reader = mx.recordio.MXIndexedRecordIO(f"{prefix}.idx", f"{prefix}.rec", "r")
    rows = [line.split("\t") for line in prefix.with_name(f"{prefix.name}.lst").read_text().splitlines()]
    records = {}
    for key, label, name in rows:
        header, content = mx.recordio.unpack(reader.read_idx(int(key)))
        assert (header.label, header.id) == (float(label), int(key))
        records[name] = (int(key), header.label, content)
    return records


def test_sizes_and_quality(packed):
    tables = PIL.Image.open(io.BytesIO(encoded(PHOTO, "JPEG", quality=QUALITY))).quantization
    records = contents(packed[0])
    for name, size in SIZES.items():
        image = PIL.Image.open(io.BytesIO(records[name][2]))
        assert (image.format, image.size, image.quantization) == ("JPEG", size, tables)
        assert not image.getexif()
        upright = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(FILES[name]))).convert("RGB")
        smaller = PIL.Image.fromarray(cv2.resize(np.asarray(upright), size, interpolation=cv2.INTER_CUBIC))
        expected = PIL.Image.open(io.BytesIO(encoded(smaller, "JPEG", quality=QUALITY)))
        assert np.abs(np.asarray(image, int) - expected).mean() < 1.5  # grey levels; OpenCV rounds otherwise than MXNet


def test_images_that_are_small_enough_stay_as_they_are(packed):
    records = contents(packed[0])
    for name in ("dog/even.png", "dog/small.jpg"):
        assert records[name][2] == FILES[name]


def test_labels_keys_and_order_are_those_of_packing_as_it_is(packed, folder, tmp_path):
    assert pack_folder(folder, tmp_path / "whole") == len(FILES)
    whole, smaller = contents(tmp_path / "whole"), contents(packed[0])
    del whole["dog/cut.jpg"]
    assert [(name, *record[:2]) for name, record in whole.items()] == [
        (name, *record[:2]) for name, record in smaller.items()
    ]
    assert [whole[name][2] for name in whole] == [FILES[name] for name in whole]
    names = [whole[name][0] for name in whole]
    assert names != sorted(names)  # shuffled


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_bytes_do_not_depend_on_the_number_of_processes(packed, folder, tmp_path, workers):
    pack_folder(folder, tmp_path / "other", resize=RESIZE, quality=QUALITY, workers=workers)
    for ending in ENDINGS:
        assert (tmp_path / f"other{ending}").read_bytes() == packed[0].with_name(f"packed-2{ending}").read_bytes()


def test_what_cannot_be_read_is_named(packed, folder):
    prefix, text = packed
    assert f"{folder}/dog/cut.jpg truncated JPEG" in text
    assert len(RecordFile(f"{prefix}.rec")) == len(FILES) - 1


def test_the_command(packed, folder, tmp_path, capsys):
    words = ("pack", folder, tmp_path / "a", "--resize", RESIZE, "--quality", QUALITY, "-j", 1)
    code, out, err = call(capsys, *words)
    assert (code, err) == (0, "")
    for ending in ENDINGS:
        assert (tmp_path / f"a{ending}").read_bytes() == packed[0].with_name(f"packed-2{ending}").read_bytes()
    assert re.search(rf"^7 images take about 1 MB, [\d,.]+ [GM]B are free in {tmp_path}\n", out)
    assert out.endswith(f"written: 6 images in {tmp_path}/a.rec\n")


def test_a_disk_that_is_too_small_is_told_before(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 5000}))
    text = error(capsys, 1, "pack", folder, tmp_path / "a", "--resize", RESIZE)
    assert re.search(r"7 images take about 1 MB, 1 MB are free in .*: lower --resize or --quality, or choose", text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--quality", "90"], "--quality is of the images that --resize makes smaller: add --resize, or omit"),
        (["--resize", "0"], "0 is not a whole number from 4"),
        (["--resize", "32", "--quality", "101"], "101 is not a whole number from 1 to 100"),
    ],
)
def test_bad_arguments(folder, tmp_path, capsys, words, message):
    assert message in error(capsys, 2, "pack", folder, tmp_path / "a", *words)
