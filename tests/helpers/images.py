"""Image folders and record files made for a test."""

import cv2
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


def make_digit_folder(folder, training, validation):
    """An image folder with so many of each of the ten digits for training and for validation."""
    write_folder(folder)
    for part, count in (("train", training), ("val", validation)):
        for name in (folder / part).iterdir():
            for path in sorted(name.iterdir())[count:]:
                path.unlink()
    return folder
