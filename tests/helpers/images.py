"""Image folders and record files made for a test."""

import pathlib

import cv2
import mxnet as mx
import numpy as np

from a2net_gluon.data import pack_folder
from a2net_gluon.data.digits import write_folder


def make_image_folder(folder):
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 5)):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                size = (40 + 3 * number, 50 - 2 * number, 3)
                cv2.imwrite(str(folder / part / name / f"{number}.jpg"), rng.integers(0, 256, size, np.uint8))
    return folder


def pack(folder, prefix):
    """Pack an image folder; returns the path of the .rec file."""
    pack_folder(folder, prefix)
    return prefix.with_suffix(".rec")


def write_records(folder, prefix):
    """Write the records of an image folder in this process, with index and list; returns the path of the .rec file."""
    rec, idx, lst = (str(prefix.with_suffix(ending)) for ending in (".rec", ".idx", ".lst"))
    records, lines = mx.recordio.MXIndexedRecordIO(idx, rec, "w"), []
    names = sorted(path.name for path in folder.iterdir())
    for number, path in enumerate(sorted(folder.glob("*/*"))):
        label = names.index(path.parent.name)
        header = mx.recordio.IRHeader(0, float(label), number, 0)
        records.write_idx(number, mx.recordio.pack(header, path.read_bytes()))
        lines.append(f"{number}\t{float(label)}\t{path.relative_to(folder)}\n")
    records.close()
    pathlib.Path(lst).write_text("".join(lines))
    return prefix.with_suffix(".rec")


def make_digit_folder(folder, training, validation):
    """An image folder with so many of each of the ten digits for training and for validation."""
    write_folder(folder)
    for part, count in (("train", training), ("val", validation)):
        for name in (folder / part).iterdir():
            for path in sorted(name.iterdir())[count:]:
                path.unlink()
    return folder
