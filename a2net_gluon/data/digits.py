"""Handwritten digits that are part of scikit-learn: the default data, without a download.

The UCI "Optical Recognition of Handwritten Digits" test set: 1,797 grey images of 8×8 pixels by 13 writers.
``a2net digits FOLDER`` writes them as an image folder.
"""

from __future__ import annotations

import os
import pathlib

import cv2
import numpy as np

from a2net_gluon.data.samples import Dataset, ImageSamples
from a2net_gluon.errors import FailureError
from a2net_gluon.files import folder_for_output, staging_folder

__all__ = ["CLASSES", "digits_dataset", "load_digits", "write_folder"]

CLASSES = tuple("0123456789")
TRAIN_COUNT = 1437  # the first four fifths; the rest is by other writers


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return images (1797, 8, 8, 3) of uint8 and labels (1797,)."""
    from sklearn import datasets

    digits = datasets.load_digits()
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=-1), digits.target


def digits_dataset(training: bool = True) -> Dataset:
    """The digits as a `Dataset`; without `training` only the validation images."""
    images, labels = load_digits()
    train = _samples(images[:TRAIN_COUNT], labels[:TRAIN_COUNT], 0) if training else None
    val = _samples(images[TRAIN_COUNT:], labels[TRAIN_COUNT:], TRAIN_COUNT)
    return Dataset("the embedded digits", CLASSES, train, val)


def write_folder(folder: str | os.PathLike[str]) -> int:
    """Write the digits as PNG files ``train/<class>/`` and ``val/<class>/`` in `folder`; returns their number.

    A new set appears at once, ``train`` last. Of an older set each file is replaced at once, but one after the other:
    the user may have put files of their own into these folders, and the digits are always the same.

    Raises
    ------
    FailureError
        If the folder cannot be written.
    """
    folder = folder_for_output(folder)
    images, labels = load_digits()
    try:
        with staging_folder(folder) as staging:
            for number, (image, label) in enumerate(zip(images, labels)):
                parent = staging / ("train" if number < TRAIN_COUNT else "val") / str(label)
                parent.mkdir(parents=True, exist_ok=True)
                content = cv2.imencode(".png", image)[1]  # imwrite does not tell that the disk is full
                (parent / f"{number:04d}.png").write_bytes(content.tobytes())
            for part in ("val", "train"):
                _move(staging / part, folder / part)
    except OSError as error:
        raise FailureError(f"{folder}: the digits cannot be written ({error.strerror})") from None
    return len(images)


def _move(source: pathlib.Path, target: pathlib.Path) -> None:
    """Rename a folder, or its files one by one where the target is there already."""
    if target.is_dir():
        for entry in source.iterdir():
            _move(entry, target / entry.name)
    else:
        os.replace(source, target)


def _samples(images: np.ndarray, labels: np.ndarray, first: int) -> ImageSamples:
    names = [f"digit {first + number}" for number in range(len(images))]
    return ImageSamples(names, labels, lambda number: images[number])
