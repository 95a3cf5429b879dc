"""From what a user has to a plain list of labelled videos: folders of classes, list files, published splits.

Nothing is decoded, and only the videos that a list names are looked for.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import typing

from a2net_gluon.data import ucf101
from a2net_gluon.data.folder import list_classes
from a2net_gluon.data.list_formats import Lines, Row, kinetics_rows, read_class_names, read_lines, rows_of_columns
from a2net_gluon.data.video_files import VideoFiles, is_video
from a2net_gluon.errors import UsageError

__all__ = [
    "VideoList",
    "check_groups_apart",
    "check_same_classes",
    "folder_videos",
    "groups",
    "list_files",
    "read_list",
    "ucf101_split",
]


@dataclasses.dataclass(frozen=True)
class VideoList:
    """Labelled videos.

    Attributes
    ----------
    paths : tuple of str
        Of video files, and of folders of frames.
    labels : tuple of int
    classes : tuple of str
        Names in the order of the labels; numbers as text where the data tell no names.
    format : str
        What the list was recognised as, in words.
    split : str, optional
        The published split that it is part of, e.g. "ucf101/1".
    missing : tuple of str
        Videos that are listed but are not there; they are not among `paths`.
    frames : tuple of int, optional
        The number of frames that the list tells of each folder of frames; None where it tells none, or names files.
    missing_labels : tuple of int
        Labels of the missing videos.
    """

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    format: str
    split: str | None = None
    missing: tuple[str, ...] = ()
    frames: tuple[int, ...] | None = None
    missing_labels: tuple[int, ...] = ()


def folder_videos(folder: str | os.PathLike[str], classes: typing.Sequence[str] | None = None) -> VideoList:
    """List the videos of ``folder/<class>/``: files, and folders of frames ``folder/<class>/<video>/img_00001.jpg``.

    Parameters and errors are those of `list_classes`.
    """
    classes, paths, labels = list_classes(folder, classes, is_video, "video")
    return VideoList(tuple(paths), tuple(labels), classes, "a folder for each class")


def read_list(
    path: str | os.PathLike[str],
    root: str | os.PathLike[str],
    classes: typing.Sequence[str] | None = None,
    label_names: str | os.PathLike[str] | None = None,
) -> VideoList:
    """Read a list file; its form is recognised, and all its lines must have it.

    Entries are ``path label``, ``path frames label``, ``number label path``, lines of UCF-101's official lists or of
    Kinetics' csv (`rows_of_columns`, `kinetics_rows`). Paths may hold spaces, may be absolute, and may lack the ending
    of a video. A list is the user's own file, so an absolute path is taken as it stands; ".." is refused in every path,
    so that no relative one leaves `root`.

    Videos that are not there are `VideoList.missing`: of large data sets, some always are. If all are, this is an
    error.

    Parameters
    ----------
    path : str or Path
    root : str or Path
        Folder in which relative paths begin.
    classes : sequence of str, optional
        The classes in the order of the network's outputs; default: those of the list. Where the list tells names, its
        videos are numbered by them; otherwise its numbers are taken as they are.
    label_names : str or Path, optional
        File of the names of the list's numbers, see `read_class_names`. For UCF-101, the default is ``classInd.txt``
        beside the list, if it is there.

    Raises
    ------
    UsageError
        If the list is missing, empty, of no known form or of several, a label is wrong or unknown, a video has two
        labels, a path contains "..", or no video is there.
    FailureError
        If a folder with videos cannot be listed.
    """
    if not os.path.isdir(root):
        raise UsageError(f"{os.fspath(root)}: no such folder; name the folder in which the paths of {path} begin")
    lines, files = read_lines(path), VideoFiles(os.fspath(root))
    names = None if label_names is None else read_class_names(label_names)
    kinetics = kinetics_rows(lines)
    form, rows = kinetics or rows_of_columns(lines, names or classes or (), files.find)
    if kinetics:
        names = names or tuple(sorted({str(row.label) for row in rows}))
    elif all(ucf101.class_folder(row.places[0]) for row in rows):
        form, rows, names = _by_folder(lines, form, rows, names, classes)
    of_ucf101 = all(ucf101.group(row.places[0]) for row in rows)
    split = ucf101.split_of(os.path.basename(lines.name)) if of_ucf101 else None
    classes, labels = _labelled(lines, rows, names, classes)
    found, missing = _looked_up(lines, rows, labels, files)
    if not found:
        raise UsageError(
            f"{lines.name}: none of its {len(rows)} videos is there; it was read as {form}; "
            f"{next(iter(missing))} is neither a video, with or without an ending, nor a folder of frames such as "
            "img_00001.jpg; name the folder in which its paths begin"
        )
    paths, labels, frames = zip(*found)
    if rows[0].frames is not None and None in frames:
        form += ", of video files: the frames are not used"
    counts = None if None in frames else frames
    return VideoList(paths, labels, classes, form, split, tuple(missing), counts, tuple(missing.values()))


def _by_folder(
    lines: Lines,
    form: str,
    rows: list[Row],
    names: tuple[str, ...] | None,
    classes: typing.Sequence[str] | None,
) -> tuple[str, list[Row], tuple[str, ...] | None]:
    """Give the rows of a list of UCF-101 the names of their folders, unless its labels are of another kind."""
    beside = pathlib.Path(lines.name).with_name(ucf101.CLASS_FILE)
    known = read_class_names(beside) if names is None and beside.is_file() else names
    pairs = dict.fromkeys((ucf101.class_folder(row.places[0]) or "", row.label) for row in rows)
    named = [row._replace(label=ucf101.class_folder(row.places[0])) for row in rows]
    if any(label is None for _, label in pairs):
        if known is None and classes is None:
            raise UsageError(f"{lines.name}: has no labels; put {ucf101.CLASS_FILE} of UCF-101 beside it")
        return form, named, known
    numbers = {folder: label for folder, label in pairs if isinstance(label, int)}
    if not len(numbers) == len(pairs) == len(set(numbers.values())):
        return form, rows, names  # not the classes of UCF-101: the user's own
    try:
        first, known = ucf101.classes_in_order(numbers, known)
    except ValueError as error:
        raise UsageError(f"{lines.name}: {error}; correct either file") from None
    return f"UCF-101, {form}, labels from {first}", named, known


def _labelled(
    lines: Lines, rows: list[Row], names: typing.Sequence[str] | None, classes: typing.Sequence[str] | None
) -> tuple[tuple[str, ...], typing.Sequence[int]]:
    """The classes and the label of each row; `names` are those of the list's numbers."""
    names = names or classes or [str(number) for number in range(1 + max(int(row.label or 0) for row in rows))]
    classes = tuple(classes or names)
    # In names of folders, spaces are often replaced.
    index = {name.replace("_", " "): number for number, name in enumerate(classes)}
    index.update({name: number for number, name in enumerate(classes)})
    labels = []
    for row in rows:
        if isinstance(row.label, int) and row.label >= len(names):
            raise lines.wrong(row.line, f"label {row.label} is not a number from 0 to {len(names) - 1}")
        name = names[row.label] if isinstance(row.label, int) else str(row.label)
        label = index.get(name, index.get(name.replace("_", " ")))
        if label is None:
            raise lines.wrong(row.line, f"class {name!r} is not among the {len(classes)} classes")
        labels.append(label)
    return classes, labels


def _looked_up(
    lines: Lines, rows: list[Row], labels: typing.Sequence[int], files: VideoFiles
) -> tuple[list[tuple[str, int, int | None]], dict[str, int]]:
    """Path, label and number of frames of each video that is there, and the labels of those that are not."""
    found: list[tuple[str, int, int | None]] = []
    missing: dict[str, int] = {}
    seen: dict[str, tuple[int, int]] = {}
    for row, label in zip(rows, labels):
        if ".." in row.places[0].split("/"):
            raise lines.wrong(row.line, f"{row.places[0]!r} contains '..'; write the path without it")
        video = next(filter(None, map(files.find, row.places)), None)
        path = video.path if video else files.path(row.places[0])
        line, other = seen.setdefault(path, (row.line, label))
        if other != label:
            raise lines.wrong(row.line, f"{path} has label {label} here and {other} in line {line}; keep one of them")
        if video:
            found.append((path, label, row.frames if video.is_folder else None))
        else:
            missing[path] = label
    return found, missing


def ucf101_split(folder: str | os.PathLike[str], split: int) -> tuple[VideoList, VideoList]:
    """Read an official split of UCF-101.

    Parameters
    ----------
    folder : str or Path
        What the two archives of UCF-101 are unpacked in: it holds ``UCF-101/<class>/…`` (or ``videos/<class>/…``, or
        the classes themselves) and ``ucfTrainTestlist/classInd.txt`` with the lists (or ``annotations/…``, or the lists
        themselves).
    split : int
        1, 2 or 3.

    Returns
    -------
    train, test : VideoList

    Raises
    ------
    UsageError
        If there is no such split, a file of it is missing, or the lists do not fit each other.
    """
    if split not in (1, 2, 3):
        raise UsageError(f"split {split!r} of UCF-101 does not exist; it has 1, 2 and 3")
    folder, lists = pathlib.Path(folder), _ucf101_lists(folder)
    names = read_class_names(lists / ucf101.CLASS_FILE)
    places = (folder / "UCF-101", folder / "videos")
    root = next((place for place in places if any((place / name).is_dir() for name in names)), folder)
    train, test = (
        read_list(lists / f"{part}list{split:02d}.txt", root, names, lists / ucf101.CLASS_FILE)
        for part in ("train", "test")
    )
    check_groups_apart(train, test)
    return train, test


def _ucf101_lists(folder: str | os.PathLike[str]) -> pathlib.Path:
    """The folder of the lists of UCF-101."""
    folder = pathlib.Path(folder)
    places = (folder / "ucfTrainTestlist", folder / "annotations")
    return next((place for place in places if (place / ucf101.CLASS_FILE).is_file()), folder)


def list_files(
    root: str | os.PathLike[str], lists: typing.Sequence[str | os.PathLike[str]], of_ucf101: bool = False
) -> list[str]:
    """The files that tell the labels of videos: `lists` with the class file beside them, or all lists of UCF-101."""
    if of_ucf101:
        return sorted(map(str, _ucf101_lists(root).glob("*.txt")))
    beside = {pathlib.Path(path).with_name(ucf101.CLASS_FILE) for path in lists}
    return [*(os.fspath(path) for path in lists), *sorted(str(path) for path in beside if path.is_file())]


def groups(paths: typing.Iterable[str]) -> list[str | None]:
    """The class and group of each video of UCF-101, e.g. "v_Archery_g07"; None where the name has none."""
    return [ucf101.group(path) for path in paths]


def check_groups_apart(train: VideoList, test: VideoList) -> None:
    """Raise UsageError if a group of UCF-101 has videos in both lists: they are clips of one recording."""
    trained = dict(zip(groups(train.paths), train.paths))
    for group, path in zip(groups(test.paths), test.paths):
        if group is not None and group in trained:
            raise UsageError(
                f"group {group} of UCF-101 is both in training ({trained[group]}) and in the test ({path}); "
                "use an official split"
            )


def check_same_classes(train: VideoList, val: VideoList) -> None:
    """Raise UsageError unless every class of `val` has the number that it has in `train`."""
    for number, name in enumerate(val.classes):
        trained = repr(train.classes[number]) if number < len(train.classes) else "none"
        if trained != repr(name):
            raise UsageError(
                f"class {number} is {name!r} in the validation list and {trained} in the training list; "
                "number the classes alike in both"
            )
