"""Indexes of many videos, counted once and kept in a file as long as the videos do not change."""

from __future__ import annotations

import array
import functools
import json
import os
import pathlib
import typing

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.parallel import results_of
from a2net_gluon.data.video_decoding import default_decoder, index_video
from a2net_gluon.data.video_index import VideoIndex
from a2net_gluon.errors import FailureError
from a2net_gluon.files import AnyPath, write_text
from a2net_gluon.formats.bounded_json import parse_json

__all__ = ["VideoIndexes"]

_LINE = 1 << 20  # bytes; a keyframe takes about ten
_HEADER = 3  # numbers of an entry before its keyframes: size and time of change of the file, frames

OnProgress = typing.Callable[[int, int], object]  # of the numbers of videos that are done, and of all


class VideoIndexes:
    """The indexes of many videos, kept in a file.

    An index is used as long as the video has the size and the time of change that it had when it was counted. A file
    that cannot be read, is damaged or was written with another decoder counts for nothing, and is replaced.

    The file has a line of JSON for each video: path, seen from the file's folder, size in bytes, time of change in ns,
    number of frames, then number and time of each keyframe.

    Parameters
    ----------
    file : str or Path
    decoder : {"av", "opencv"}, optional
        As for `read_frames`.
    """

    def __init__(self, file: AnyPath, decoder: str | None = None) -> None:
        self._file, self._decoder = pathlib.Path(file), decoder or default_decoder()
        self._title = ["videos of a2net-gluon", 1, self._decoder]
        self._entries = self._load()

    def index(self, path: AnyPath) -> VideoIndex:
        """Return the index of a video, which is counted unless it is known; DecodeError if it cannot be read."""
        stamp = _stamp(path)
        return self._known(path, stamp) or self._keep(path, stamp, index_video(path, self._decoder))

    def index_all(
        self, paths: typing.Sequence[AnyPath], workers: int = 0, on_progress: OnProgress | None = None
    ) -> dict[str, str]:
        """Count all of `paths` that are not known, in `workers` processes, or in this one if 0.

        Returns
        -------
        dict of str to str
            The videos that cannot be read, with the reason.

        Raises
        ------
        FailureError
            If a process cannot be started, or ends, which names the video that it was reading.
        """
        unreadable: dict[str, str] = {}
        new: list[tuple[AnyPath, tuple[int, int]]] = []
        for path in paths:
            try:
                stamp = _stamp(path)
            except DecodeError as error:
                unreadable[os.fspath(path)] = str(error)
                continue
            if self._known(path, stamp) is None:
                new.append((path, stamp))
        index = functools.partial(_index_or_reason, self._decoder)
        found_of_all = results_of(index, [path for path, _ in new], workers, str)
        for done, (found, (path, stamp)) in enumerate(zip(found_of_all, new), 1):
            if isinstance(found, str):
                unreadable[os.fspath(path)] = found
            else:
                self._keep(path, stamp, found)
            if on_progress:
                on_progress(len(paths) - len(new) + done, len(paths))
        return unreadable

    def save(self) -> bool:
        """Write the file; returns whether that was possible, as it is not in a folder that may only be read."""
        lines = [json.dumps(self._title)]
        lines += [json.dumps([key, *self._entries[key]], separators=(",", ":")) for key in sorted(self._entries)]
        try:
            write_text(self._file, "".join(f"{line}\n" for line in lines))
        except FailureError:
            return False
        return True

    def _load(self) -> dict[str, array.array[int]]:
        try:
            with open(self._file, "rb") as file:
                if parse_json(file.readline(_LINE)) != self._title:
                    return {}
                return dict(_entry(parse_json(line)) for line in iter(lambda: file.readline(_LINE), b""))
        except (OSError, ValueError, OverflowError):
            return {}

    def _key(self, path: AnyPath) -> str:
        return os.path.relpath(path, self._file.parent)

    def _known(self, path: AnyPath, stamp: tuple[int, int]) -> VideoIndex | None:
        entry = self._entries.get(self._key(path))
        if entry is None or tuple(entry[:2]) != stamp:
            return None
        return VideoIndex(entry[2], tuple(zip(entry[_HEADER::2], entry[_HEADER + 1 :: 2])))

    def _keep(self, path: AnyPath, stamp: tuple[int, int], index: VideoIndex) -> VideoIndex:
        keyframes = (value for keyframe in index.keyframes for value in keyframe)
        self._entries[self._key(path)] = array.array("q", [*stamp, index.frames, *keyframes])
        return index


def _stamp(path: AnyPath) -> tuple[int, int]:
    """Size and time of change of a file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise DecodeError(getattr(error, "strerror", None) or str(error)) from None
    return status.st_size, status.st_mtime_ns


def _entry(line: typing.Any) -> tuple[str, array.array[int]]:
    """Check a line of the file; ValueError if it was not written by `VideoIndexes.save`."""
    if not (isinstance(line, list) and len(line) > _HEADER and len(line) % 2 == 0 and isinstance(line[0], str)):
        raise ValueError("no entry of a video")
    if any(type(value) is not int or value < 0 for value in line[1:]):
        raise ValueError("a value that is not a number from 0 on")
    numbers = line[1 + _HEADER :: 2]
    if not all(before < number for before, number in zip([0, *numbers], [*numbers, line[_HEADER]])):
        raise ValueError("keyframes that are not in order")
    return line[0], array.array("q", line[1:])


def _index_or_reason(decoder: str, path: AnyPath) -> VideoIndex | str:
    """The index of a video, or the reason why there is none."""
    try:
        return index_video(path, decoder)
    except DecodeError as error:
        return str(error)
