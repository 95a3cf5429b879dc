"""Videos on the disk: files, and folders of frames."""

from __future__ import annotations

import errno
import os
import pathlib
import re
import typing

from a2net_gluon.data.folder import find_files
from a2net_gluon.errors import FailureError, reason_of

__all__ = ["VIDEO_SUFFIXES", "Video", "VideoFiles", "find_videos", "frame_files", "is_video", "is_video_path"]

# Where an entry of a list has no ending, they are tried in this order.
VIDEO_SUFFIXES = tuple(".mp4 .avi .mkv .webm .mov .m4v .mpg .mpeg .wmv .flv .3gp .ts .ogv".split())
_FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


class Video(typing.NamedTuple):
    """A video that was found.

    Attributes
    ----------
    path : str
    is_folder : bool
        It is a folder of frames.
    """

    path: str
    is_folder: bool


class VideoFiles:
    """Finds the videos that the entries of a list name.

    Each folder is listed once, when the first of its videos is asked for: 240,000 videos in 400 folders take 400
    listings, not 240,000 questions to the file system.

    Parameters
    ----------
    root : str
        Relative paths are taken below it.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._listed: dict[str, dict[str, os.DirEntry[str]]] = {}

    def find(self, entry: str) -> Video | None:
        """Find the video or the folder of frames `entry`, whose ending may be missing; nothing is found through "..".

        Raises
        ------
        FailureError
            If there is a folder that cannot be listed.
        """
        if ".." in entry.split("/"):
            return None
        folder, name = os.path.split(self.path(entry))
        inside = self._listing(folder)
        for ending in ("", *VIDEO_SUFFIXES):
            if name + ending in inside:
                return Video(os.path.join(folder, name + ending), inside[name + ending].is_dir())
        return None

    def path(self, entry: str) -> str:
        """The path that `entry` stands for."""
        return os.path.normpath(os.path.join(self._root, entry))

    def _listing(self, folder: str) -> dict[str, os.DirEntry[str]]:
        if folder not in self._listed:
            entries: list[os.DirEntry[str]] = []
            try:
                with os.scandir(folder or ".") as opened:
                    entries = [*opened]
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise FailureError(f"{reason_of(error)}; make the folder of the videos readable") from None
            self._listed[folder] = {entry.name: entry for entry in entries}
        return self._listed[folder]


def is_video(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder is a video by its ending, or a folder that holds a frame."""
    if entry.name.startswith("."):
        return False
    if entry.is_dir():
        with os.scandir(entry.path) as inside:
            return any(map(_is_frame, inside))
    return entry.name.lower().endswith(VIDEO_SUFFIXES)


def find_videos(names: typing.Iterable[str | os.PathLike[str]]) -> list[pathlib.Path]:
    """Find the videos that paths, folders (searched recursively) and glob patterns name; see `find_files`.

    A video is a file with the extension of one, or a folder of frames, see `is_video_path`.
    """
    return find_files(names, is_video_path, "video")


def is_video_path(path: pathlib.Path) -> bool:
    """Whether a path is that of a video file, by its ending, or of a folder of frames: one of images without videos."""
    if not path.is_dir():
        return path.name.lower().endswith(VIDEO_SUFFIXES) and path.is_file()
    try:
        with os.scandir(path) as inside:
            entries = [*inside]
    except OSError:
        return False
    return any(map(_is_frame, entries)) and not any(entry.name.lower().endswith(VIDEO_SUFFIXES) for entry in entries)


def frame_files(folder: str) -> list[str]:
    """Paths of the frames in a folder such as ``img_00001.jpg``, in the order of the numbers in their names."""
    with os.scandir(folder) as inside:
        return sorted((entry.path for entry in inside if _is_frame(entry)), key=_natural)


def _is_frame(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(_FRAME_SUFFIXES) and not entry.name.startswith(".")


def _natural(path: str) -> tuple[list[tuple[str, int]], str]:
    parts = re.findall(r"([^0-9]*)([0-9]*)", os.path.basename(path))
    return [(text, int(number or 0)) for text, number in parts], path
