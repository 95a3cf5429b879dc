"""Data sets of videos: folders of classes, list files and splits of UCF-101 as samples."""

from __future__ import annotations

import os
import pathlib
import typing

from a2net_gluon.data.clips import Sampling, Video, VideoSamples
from a2net_gluon.data.samples import Dataset
from a2net_gluon.data.video_cache import VideoIndexes
from a2net_gluon.data.video_lists import (
    VideoList,
    check_groups_apart,
    check_same_classes,
    folder_videos,
    read_list,
    ucf101_split,
)
from a2net_gluon.data.videos import FrameFolder, Tell, UnreadableVideo, VideoFile
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.settings import Videos

__all__ = ["find_lists", "index_files", "open_videos", "video_dataset"]

_INDEX = ".video-index"  # ending of the name of a file of counted lengths
_TOLD = 1000  # videos that are counted between two lines of the log


def open_videos(
    data: Videos,
    sampling: Sampling,
    validation_only: bool = False,
    classes: typing.Sequence[str] | None = None,
    workers: int = 0,
    tell: Tell = lambda line: None,
) -> Dataset:
    """Open the videos that settings name; parameters and errors are those of `find_lists` and `video_dataset`."""
    train, val = find_lists(data.path, data.train_list, data.val_list, data.ucf_split, classes)
    kept = index_files(data.path, data.train_list, data.val_list)
    return video_dataset(None if validation_only else train, val, sampling, kept, str(data.path), workers, tell)


def find_lists(
    root: str | os.PathLike[str],
    train_list: str | os.PathLike[str] | None = None,
    val_list: str | os.PathLike[str] | None = None,
    ucf_split: str | None = None,
    classes: typing.Sequence[str] | None = None,
) -> tuple[VideoList | None, VideoList]:
    """Find the training videos, where there are any, and the validation videos.

    Parameters
    ----------
    root : str or Path
        Holds ``train/<class>/`` and ``val/<class>/``; with lists, the folder in which their paths begin; with a split,
        see `ucf101_split`.
    train_list, val_list : str or Path, optional
        See `read_list`.
    ucf_split : {"1", "2", "3"}, optional
    classes : sequence of str, optional
        The classes in the order of the network's outputs; default: those of the data.

    Raises
    ------
    UsageError
        If the flags contradict each other, a folder or a list is missing or wrong, the lists do not fit each other, or
        videos of one group of UCF-101 are in both.
    """
    if ucf_split == "all":
        raise UsageError("--ucf-split all is three runs: a2net_gluon.training.train_splits, or name one of 1, 2, 3")
    if ucf_split is not None:
        if train_list or val_list:
            raise UsageError("--ucf-split and lists of videos both name the videos: give one of them")
        return ucf101_split(root, int(ucf_split))
    if train_list or val_list:
        if not val_list:
            raise UsageError("--train-list needs --val-list FILE too: the videos to validate on")
        train = read_list(train_list, root, classes) if train_list else None
        val = read_list(val_list, root, classes or (train.classes if train and not _numbered(train) else None))
    else:
        folder = pathlib.Path(root)
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder")
        train = folder_videos(folder / "train", classes) if (folder / "train").is_dir() else None
        val = folder_videos(folder / "val", classes or (train.classes if train else None))
    if train:
        check_same_classes(train, val)
        check_groups_apart(train, val)
    return train, val


def index_files(
    root: str | os.PathLike[str],
    train_list: str | os.PathLike[str] | None = None,
    val_list: str | os.PathLike[str] | None = None,
) -> dict[str, str]:
    """The files in which the counted lengths of each part are kept: beside its list, or in `root`."""
    parts = (("training", train_list), ("validation", val_list))
    return {part: f"{path}{_INDEX}" if path else os.path.join(root, f"{part}{_INDEX}") for part, path in parts}


def _numbered(videos: VideoList) -> bool:
    """Whether the classes of a list have no names."""
    return videos.classes == tuple(map(str, range(len(videos.classes))))


def video_dataset(
    train: VideoList | None,
    val: VideoList,
    sampling: Sampling,
    index_files: typing.Mapping[str, str | os.PathLike[str]],
    name: str,
    workers: int = 0,
    tell: Tell = lambda line: None,
) -> Dataset:
    """Open listed videos: count their frames, and leave out of training those that cannot be read.

    Parameters
    ----------
    train, val : VideoList
        `train` is None where only validation is wanted. Validation keeps videos that cannot be read, to count them.
    sampling : Sampling
    index_files : dict of str to str or Path
        File in which the counts are kept, by the part: "training", "validation".
    name : str
        The data in messages.
    workers : int
        Processes that count; 0: this one.
    tell : callable, optional
        Called with lines for the log.

    Raises
    ------
    FailureError
        If no video of a part can be read.
    """
    parts = {"training": train, "validation": val} if train else {"validation": val}
    samples: dict[str, VideoSamples] = {}
    unreadable: dict[str, str] = {}
    for part, videos in parts.items():
        tell(f"{len(videos.paths) + len(videos.missing):,} {part} videos ({videos.format})")
        indexes = VideoIndexes(index_files[part])
        bad = {path: "no such file or folder" for path in videos.missing}
        bad.update(_count(videos.paths, indexes, workers, tell))
        unreadable.update(bad)
        samples[part] = _samples(videos, indexes, bad, sampling, keep=part == "validation")
        if len(bad) == len(videos.paths) + len(videos.missing):
            path, reason = next(iter(bad.items()))
            raise FailureError(f"{name}: none of the {len(bad):,} {part} videos can be read, e.g. {path} ({reason})")
    classes = (train or val).classes
    return Dataset(name, classes, samples.get("training"), samples["validation"], unreadable, val.split)


def _count(paths: typing.Sequence[str], indexes: VideoIndexes, workers: int, tell: Tell) -> dict[str, str]:
    """Count the frames of all video files, with lines of progress; returns those that cannot be read."""
    files = [path for path in paths if not os.path.isdir(path)]

    def on_progress(done: int, count: int) -> None:
        if done % _TOLD == 0:
            tell(f"frames of {done:,} of {count:,} videos are counted")

    bad = indexes.index_all(files, workers, on_progress)
    if files and not indexes.save():
        tell("the counted lengths cannot be kept: the folder is read-only; the next start counts them again")
    return bad


def _samples(
    videos: VideoList, indexes: VideoIndexes, bad: typing.Mapping[str, str], sampling: Sampling, keep: bool
) -> VideoSamples:
    names, labels = [], []
    opened: list[Video] = []
    listed = dict(zip(videos.paths, videos.frames or ()))
    for path, label in [*zip(videos.paths, videos.labels), *zip(videos.missing, videos.missing_labels)]:
        if path in bad and not keep:
            continue
        names.append(path)
        labels.append(label)
        if path in bad:
            opened.append(UnreadableVideo(bad[path]))
        else:
            opened.append(
                FrameFolder(path, listed.get(path)) if os.path.isdir(path) else VideoFile(path, indexes.index(path))
            )
    return VideoSamples(names, labels, opened, sampling)
