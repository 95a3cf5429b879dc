"""Videos whose frames can be read by number: files, and folders of frames."""

from __future__ import annotations

import dataclasses
import functools
import os
import typing

import numpy as np

from a2net_gluon.data.clips import Video, clip_of
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.folder import read_image
from a2net_gluon.data.video_decoding import all_frames, index_video, read_frames
from a2net_gluon.data.video_files import frame_files
from a2net_gluon.data.video_index import VideoIndex

__all__ = ["FrameFolder", "LazyVideo", "Tell", "UnreadableVideo", "VideoFile", "WholeVideo", "open_video"]

Tell = typing.Callable[[str], object]


@typing.runtime_checkable
class WholeVideo(Video, typing.Protocol):
    """A `Video` that can be read from the first frame to the last, one at a time."""

    def frames(self) -> typing.Iterator[np.ndarray]:
        """All frames in order, (h, w, 3) of uint8, RGB.

        Raises
        ------
        DecodeError
            If one of them cannot be read, or they are not as many as `length` says.
        """
        ...


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """A `Video` in a file.

    Attributes
    ----------
    path : str
    index : VideoIndex
    """

    path: str
    index: VideoIndex

    def length(self) -> int:
        """Number of frames, as counted."""
        return self.index.frames

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Read frames by number, see `read_frames`."""
        return read_frames(self.path, numbers.tolist(), self.index)

    def frames(self) -> typing.Generator[np.ndarray, None, None]:
        """All frames in order, see `all_frames`."""
        return all_frames(self.path, self.index)


@dataclasses.dataclass(frozen=True)
class FrameFolder:
    """A `Video` as a folder of images, in the order of the numbers in their names.

    Attributes
    ----------
    path : str
    listed : int, optional
        Number of frames that a list tells.
    """

    path: str
    listed: int | None = None

    def length(self) -> int:
        """Number of images; `DecodeError` if they are fewer than a list tells, or none."""
        count = len(self._frames())
        if count < (self.listed or 1):
            listed = f", the list says {self.listed}" if self.listed else " such as img_00001.jpg"
            raise DecodeError(f"a folder of {count} frames{listed}")
        return count

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Read frames by number; `DecodeError` if one is damaged, or has another size than the others."""
        files = self._frames()
        frames = {int(number): self._read(files[number]) for number in np.unique(numbers)}
        return clip_of(frames, numbers)

    def frames(self) -> typing.Iterator[np.ndarray]:
        """All frames in order; `DecodeError` if one is damaged."""
        self.length()  # as the list says
        return map(self._read, self._frames())

    def _frames(self) -> typing.Sequence[str]:
        try:
            return frame_files(self.path)
        except OSError as error:
            raise DecodeError(error.strerror) from None

    def _read(self, path: str) -> np.ndarray:
        try:
            return read_image(path)
        except DecodeError as error:
            raise DecodeError(f"{os.path.basename(path)}: {error}") from None


@dataclasses.dataclass(frozen=True)
class UnreadableVideo:
    """A `Video` that cannot be read.

    Attributes
    ----------
    reason : str
        Message of the `DecodeError` of every call.
    """

    reason: str

    def length(self) -> int:  # noqa: D102
        raise DecodeError(self.reason)

    def read(self, numbers: np.ndarray) -> np.ndarray:  # noqa: D102
        raise DecodeError(self.reason)


def open_video(path: str | os.PathLike[str]) -> Video:
    """Open a video file, whose frames are counted, or a folder of frames.

    Raises
    ------
    DecodeError
        If it is not there, or cannot be read.
    """
    path = os.fspath(path)
    return FrameFolder(path) if os.path.isdir(path) else VideoFile(path, index_video(path))


@dataclasses.dataclass(frozen=True)
class LazyVideo:
    """A `Video` that is opened, see `open_video`, when its length is asked for or a frame is read.

    Attributes
    ----------
    path : str
    """

    path: str

    @functools.cached_property
    def _opened(self) -> Video:
        return open_video(self.path)

    def length(self) -> int:
        """Number of frames; `DecodeError` if the video cannot be opened."""
        return self._opened.length()

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Read frames by number; `DecodeError` if the video cannot be read."""
        return self._opened.read(numbers)
