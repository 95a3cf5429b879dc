"""Settings of data, and the defaults that depend on the kind of data."""

from __future__ import annotations

import dataclasses
import typing

from a2net_gluon.errors import UsageError
from a2net_gluon.fields import (
    BATCH_SIZE,
    CLASSES,
    COUNT,
    DISTANCE,
    PROCESSES,
    Path,
    Settings,
    documented,
    option,
)

__all__ = [
    "BATCH",
    "DEFAULTS",
    "UCF_SPLITS",
    "WORKERS",
    "Data",
    "DigitPairs",
    "Digits",
    "ImageFolder",
    "Kind",
    "MovingDigits",
    "PackedClips",
    "Records",
    "Synthetic",
    "SyntheticClips",
    "Videos",
    "defaults_of",
]


@dataclasses.dataclass(frozen=True)
class Kind:
    """The kind of the samples, and the defaults of their preprocessing.

    Attributes
    ----------
    noun : str
        The samples in messages.
    clips : bool
        Networks for clips can take them. A network for images takes one frame of a clip.
    crop_ratio : float
        For validation.
    stride : int
        Distance in the video from one frame of a clip to the next.
    videos : bool
        The samples are of videos, of which an evaluation can take several views.
    """

    noun: str
    clips: bool
    crop_ratio: float = 0.875
    stride: int = 1
    videos: bool = False


_IMAGES = Kind("images", clips=False)
_VIDEOS = Kind("clips", clips=True, stride=8, videos=True)

_CLASSES: dict[str, typing.Any] = {"rule": CLASSES, "help": "number of classes", "default_words": "that of the data"}


@documented
@dataclasses.dataclass(frozen=True)
class Digits(Settings):
    """The handwritten digits of scikit-learn: 1,437 training and 360 validation images, without a download."""

    kind: typing.ClassVar[Kind] = Kind("images", clips=False, crop_ratio=1.0)

    classes: int | None = option(None, "--classes", **_CLASSES)


READERS = ("python", "dali")
_READER: dict[str, typing.Any] = {
    "choices": READERS,
    "help": "what decodes images: processes in Python, or NVIDIA DALI (the extra dali), on GPUs where there are any",
}


@documented
@dataclasses.dataclass(frozen=True)
class DigitPairs(Settings):
    """Two handwritten digits of scikit-learn on a canvas of 48×48 pixels: 4,096 training and 1,024 validation images.

    The digits are 0, 1 and 2. The class is whether both are the same, which neither tells alone.
    """

    kind: typing.ClassVar[Kind] = Kind("images", clips=False, crop_ratio=1.0)

    distance: int = option(
        16,
        "--distance",
        rule=DISTANCE,
        metavar="PIXELS",
        help="distance of the digits of --digit-pairs, 8×8 pixels each",
    )
    classes: int | None = option(None, "--classes", **_CLASSES)


@documented
@dataclasses.dataclass(frozen=True)
class ImageFolder(Settings):
    """A folder of images, ``train/<class>/…`` and ``val/<class>/…``."""

    kind: typing.ClassVar[Kind] = _IMAGES

    path: Path = option(None, "--data-dir", help="image folder with train/<class>/ and val/<class>/", required=True)
    classes: int | None = option(None, "--classes", **_CLASSES)
    reader: str = option("python", "--reader", **_READER)


@dataclasses.dataclass(frozen=True)
class _RecordFiles(Settings):
    """A training and a validation part in RecordIO files."""

    train: Path | None = option(None, "--rec-train", help="training records (.rec)")
    train_index: Path | None = option(
        None, "--rec-train-idx", help="their index", default_words="--rec-train with the ending .idx"
    )
    val: Path | None = option(None, "--rec-val", help="validation records (.rec)")
    val_index: Path | None = option(
        None, "--rec-val-idx", help="their index", default_words="--rec-val with the ending .idx"
    )
    classes: int | None = option(None, "--classes", **_CLASSES)


@documented
@dataclasses.dataclass(frozen=True)
class Records(_RecordFiles):
    """RecordIO files of images, as im2rec and ``a2net pack`` write them."""

    kind: typing.ClassVar[Kind] = _IMAGES

    native: bool = option(
        False, "--native-reader", help="read records with MXNet's C++ iterator, after a check of all images"
    )
    reader: str = option("python", "--reader", **_READER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.native and self.reader != "python":
            raise UsageError(f"--native-reader and --reader {self.reader} both name the reader: give one of them")


@documented
@dataclasses.dataclass(frozen=True)
class Synthetic(Settings):
    """One random batch, repeated: measures the network without reading data."""

    kind: typing.ClassVar[Kind] = Kind("samples", clips=True)

    batches: int = option(50, "--benchmark-batches", help="batches of an epoch of --benchmark", rule=COUNT)
    classes: int | None = option(None, "--classes", **{**_CLASSES, "default_words": "1000"})


@documented
@dataclasses.dataclass(frozen=True)
class SyntheticClips(Synthetic):
    """`Synthetic` with the defaults of clips."""


@documented
@dataclasses.dataclass(frozen=True)
class MovingDigits(Settings):
    """Handwritten digits of scikit-learn that move in one of eight directions: 1,437 training and 360 validation clips.

    The class is the direction, which no single frame shows.
    """

    kind: typing.ClassVar[Kind] = Kind("clips", clips=True, crop_ratio=1.0, videos=True)

    classes: int | None = option(None, "--classes", **_CLASSES)


UCF_SPLITS = ("1", "2", "3")


@documented
@dataclasses.dataclass(frozen=True)
class Videos(Settings):
    """Video files or folders of frames: a folder of classes, list files, or a split of UCF-101."""

    kind: typing.ClassVar[Kind] = _VIDEOS

    path: Path = option(
        None,
        "--data-dir",
        help="folder of videos: train/<class>/ and val/<class>/, or the root of the paths in lists",
        required=True,
    )
    train_list: Path | None = option(None, "--train-list", metavar="FILE", help="list of the training videos")
    val_list: Path | None = option(None, "--val-list", metavar="FILE", help="list of the validation videos")
    ucf_split: str | None = option(
        None,
        "--ucf-split",
        choices=(*UCF_SPLITS, "all"),
        help="split of UCF-101, as its own lists define it; all: three runs, and their mean",
    )
    classes: int | None = option(None, "--classes", **_CLASSES)


@documented
@dataclasses.dataclass(frozen=True)
class PackedClips(_RecordFiles):
    """RecordIO files of videos, as ``a2net pack-clips`` writes them."""

    kind: typing.ClassVar[Kind] = _VIDEOS


Data = typing.Union[
    Digits, DigitPairs, ImageFolder, Records, Synthetic, SyntheticClips, MovingDigits, Videos, PackedClips
]

BATCH: dict[str, typing.Any] = {"rule": BATCH_SIZE, "help": "images or clips per device and step"}
WORKERS: dict[str, typing.Any] = {
    "rule": PROCESSES,
    "help": "processes or threads that read images or clips",
    "default_words": "4; digits 1",
    "name": "num_workers",
    "incidental": True,
}

# Defaults of options that are None: those of embedded data, which is small, and those of all other data.
_EMBEDDED = {"lr": 0.05, "wd": 5e-4, "lr_mode": "cosine", "warmup_epochs": 1, "log_interval": 10, "num_workers": 1}
_OTHER = {
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
_OF_VIDEOS = {**_OTHER, "model": "a2net_resnet50_3d", "augmentation": "author"}
DEFAULTS: dict[type, dict[str, typing.Any]] = {
    Digits: {**_EMBEDDED, "model": "a2net_resnet20_small", "num_epochs": 12, "augmentation": "shift"},
    DigitPairs: {**_EMBEDDED, "model": "resnet14_small", "num_epochs": 10, "augmentation": "none"},
    MovingDigits: {**_EMBEDDED, "model": "a2net_resnet20_small_3d", "num_epochs": 2, "augmentation": "none"},
    Videos: _OF_VIDEOS,
    PackedClips: _OF_VIDEOS,
    ImageFolder: _OTHER,
    Records: _OTHER,
    SyntheticClips: {**_OF_VIDEOS, "num_epochs": 1},
    Synthetic: {**_OTHER, "num_epochs": 1},
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
