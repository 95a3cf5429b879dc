"""Settings of data, and the defaults that depend on the kind of data."""

from __future__ import annotations

import dataclasses
import typing

from a2net_gluon.errors import UsageError
from a2net_gluon.fields import (
    BATCH_SIZE,
    CLASSES,
    COUNT,
    PROCESSES,
    Path,
    Settings,
    documented,
    option,
)

__all__ = ["DEFAULTS", "Data", "Digits", "ImageFolder", "Records", "Synthetic", "defaults_of"]

_CLASSES: dict[str, typing.Any] = {"rule": CLASSES, "help": "number of classes", "default_words": "that of the data"}


@documented
@dataclasses.dataclass(frozen=True)
class Digits(Settings):
    """The handwritten digits of scikit-learn: 1,437 training and 360 validation images, without a download."""

    crop_ratio: typing.ClassVar[float] = 1.0  # for validation; default without a trained network's own

    classes: int | None = option(None, "--classes", **_CLASSES)


@documented
@dataclasses.dataclass(frozen=True)
class ImageFolder(Settings):
    """A folder of images, ``train/<class>/…`` and ``val/<class>/…``."""

    crop_ratio: typing.ClassVar[float] = 0.875  # for validation; default without a trained network's own

    path: Path = option(None, "--data-dir", help="image folder with train/<class>/ and val/<class>/", required=True)
    classes: int | None = option(None, "--classes", **_CLASSES)


@documented
@dataclasses.dataclass(frozen=True)
class Records(Settings):
    """RecordIO files, as im2rec and ``a2net pack`` write them."""

    crop_ratio: typing.ClassVar[float] = 0.875  # for validation; default without a trained network's own

    train: Path | None = option(None, "--rec-train", help="training records (.rec)")
    train_index: Path | None = option(
        None, "--rec-train-idx", help="their index", default_words="--rec-train with the ending .idx"
    )
    val: Path | None = option(None, "--rec-val", help="validation records (.rec)")
    val_index: Path | None = option(
        None, "--rec-val-idx", help="their index", default_words="--rec-val with the ending .idx"
    )
    native: bool = option(False, "--native-reader", help="read records with MXNet's C++ iterator; for undamaged files")
    classes: int | None = option(None, "--classes", **_CLASSES)


@documented
@dataclasses.dataclass(frozen=True)
class Synthetic(Settings):
    """One random batch, repeated: measures the network without reading data."""

    crop_ratio: typing.ClassVar[float] = 0.875  # for validation; default without a trained network's own

    batches: int = option(50, "--benchmark-batches", help="batches of an epoch of --benchmark", rule=COUNT)
    classes: int | None = option(None, "--classes", **{**_CLASSES, "default_words": "1000"})


Data = typing.Union[Digits, ImageFolder, Records, Synthetic]

IMAGES: dict[str, typing.Any] = {"rule": BATCH_SIZE, "help": "images per device and step"}
WORKERS: dict[str, typing.Any] = {
    "rule": PROCESSES,
    "help": "processes or threads that read images",
    "default_words": "4; digits 1",
    "name": "num_workers",
    "incidental": True,
}

# Defaults of options that are None: one set for the embedded digits, one for all other data.
_IMAGES = {
    "model": "a2net_resnet50",
    "num_epochs": 100,
    "lr": 0.1,
    "wd": 1e-4,
    "lr_mode": "step",
    "warmup_epochs": 0,
    "augmentation": "dpn",
    "log_interval": 50,
    "num_workers": 4,
}
DEFAULTS: dict[type, dict[str, typing.Any]] = {
    Digits: {
        "model": "a2net_resnet20_small",
        "num_epochs": 12,
        "lr": 0.05,
        "wd": 5e-4,
        "lr_mode": "cosine",
        "warmup_epochs": 1,
        "augmentation": "shift",
        "log_interval": 10,
        "num_workers": 1,
    },
    ImageFolder: _IMAGES,
    Records: _IMAGES,
    Synthetic: {**_IMAGES, "num_epochs": 1},
}


def defaults_of(data: Data) -> dict[str, typing.Any]:
    """Return the defaults of options for a kind of data, by the options' names.

    Raises
    ------
    UsageError
        If `data` is none of the settings of data.
    """
    for kind, defaults in DEFAULTS.items():
        if isinstance(data, kind):
            return defaults
    kinds = ", ".join(kind.__name__ for kind in DEFAULTS)
    raise UsageError(f"data is {data!r}; it must be one of the settings {kinds}, e.g. ImageFolder('images')")
