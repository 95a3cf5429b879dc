"""Frames of video files by number: always those that reading from the beginning gives, to the last bit.

PyAV decodes where it is installed (the extra "video"), else OpenCV. Both make the same pixels of 8-bit videos; PyAV is
faster where keyframes are close, reads AV1, and reports damage that OpenCV does not see. Damage that a decoder does not
notice, such as a changed byte within the pixels of VP9 or Motion JPEG, is not noticed here either.
"""

from __future__ import annotations

import functools
import os
import stat
import typing

import numpy as np

from a2net_gluon.data.clips import clip_of
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.video_index import Survey, VideoIndex
from a2net_gluon.errors import UsageError, reason_of

__all__ = ["DECODERS", "all_frames", "check_decoder", "default_decoder", "index_video", "read_frames"]

DECODERS = ("av", "opencv")


class _Decoder(typing.Protocol):
    """A module that decodes videos."""

    def survey(self, path: str | os.PathLike[str], thorough: bool = False) -> Survey: ...

    def read(
        self, path: str | os.PathLike[str], wanted: typing.Sequence[int], index: VideoIndex | None
    ) -> dict[int, np.ndarray]: ...

    def stream(self, path: str | os.PathLike[str]) -> typing.Iterator[np.ndarray]: ...


def read_frames(
    path: str | os.PathLike[str],
    numbers: typing.Sequence[int],
    index: VideoIndex | None = None,
    decoder: str | None = None,
) -> np.ndarray:
    """Read frames of a video by their numbers.

    A frame is the picture that the decoder returns as its `numbers`-th when it reads the file from the beginning.
    Pictures are not turned: the rotation that some cameras write beside the pixels is ignored.

    Parameters
    ----------
    path : str or Path
    numbers : sequence of int
        From 0 on, in any order; a frame that is there twice is decoded once.
    index : VideoIndex, optional
        Of `index_video`: reading then begins at the last keyframe before the first of these frames, if the file is
        where the index says.
    decoder : {"av", "opencv"}, optional
        Default: `default_decoder`.

    Returns
    -------
    ndarray (len(numbers), h, w, 3) of uint8, RGB

    Raises
    ------
    DecodeError
        If the file cannot be read, is damaged or ends before the last of these frames, or its frames differ in size.
    UsageError
        If there are no numbers, or one is negative.
    """
    numbers = [int(number) for number in numbers]
    if not numbers or min(numbers) < 0:
        raise UsageError(f"frames {numbers} of {path}: give one or more numbers from 0 on")
    wanted = sorted(set(numbers))
    if index is not None:
        _check_length(index, wanted)
    _check_file(path)
    module = _module_of(decoder)
    frames = module.read(path, wanted, index)
    if len(frames) < len(wanted):
        found = _sound(module.survey(path, thorough=True))
        _check_length(found, wanted)
        raise DecodeError(_CHANGED)
    return clip_of(frames, numbers)


def all_frames(
    path: str | os.PathLike[str], index: VideoIndex, decoder: str | None = None
) -> typing.Generator[np.ndarray, None, None]:
    """Yield all frames of a video in order, (h, w, 3) of uint8, RGB: those of `read_frames`, one at a time.

    Parameters are those of `read_frames`.

    Raises
    ------
    DecodeError
        If the file cannot be read, is damaged or has another number of frames than `index` says; the last of this is
        known when all of them have been decoded.
    """
    _check_file(path)
    module, count = _module_of(decoder), 0
    for frame in module.stream(path):
        count += 1
        yield frame
    if count != index.frames:
        _sound(module.survey(path, thorough=True))
        raise DecodeError(_CHANGED)


_CHANGED = "is not as its index says: it has changed, or is damaged"


def _check_length(index: VideoIndex, wanted: typing.Sequence[int]) -> None:
    if wanted[-1] >= index.frames:
        raise DecodeError(f"has {index.frames} frames; frame {wanted[-1]} is wanted")


def index_video(path: str | os.PathLike[str], decoder: str | None = None) -> VideoIndex:
    """Count the frames of a video, and find the keyframes from which it can be read.

    PyAV decodes nothing but a few frames where the packets of a file tell how many frames they are; OpenCV decodes
    everything, and finds no keyframes.

    Parameters
    ----------
    path : str or Path
    decoder : {"av", "opencv"}, optional
        Default: `default_decoder`.

    Raises
    ------
    DecodeError
        If the file cannot be read, has no frames, is truncated, or is seen to be damaged.
    """
    _check_file(path)
    return _sound(_module_of(decoder).survey(path))


def _sound(found: Survey) -> VideoIndex:
    if found.problem:
        raise DecodeError(found.problem)
    return found.index


@functools.lru_cache(maxsize=None)
def default_decoder() -> str:
    """Return "av" if PyAV can be imported, in a version that this package knows, else "opencv"."""
    try:
        import av
    except ImportError:
        return "opencv"
    return "av" if av.__version__.startswith("12.") else "opencv"


def check_decoder(decoder: str) -> None:
    """Raise UsageError unless there is such a decoder and it is installed."""
    if decoder not in DECODERS:
        raise UsageError(f"decoder {decoder!r}: it must be one of {', '.join(DECODERS)}")
    if decoder == "av" and default_decoder() != "av":
        raise UsageError("decoder 'av' needs PyAV 12: pip install 'av>=12.3,<12.4'")


def _module_of(decoder: str | None) -> _Decoder:
    name = decoder or default_decoder()
    check_decoder(name)
    if name == "opencv":
        from a2net_gluon.data import video_opencv

        return video_opencv
    from a2net_gluon.data import video_pyav

    return video_pyav


def _check_file(path: str | os.PathLike[str]) -> None:
    """Raise `DecodeError` for what decoders open without a reason, or follow to other files, as lists of segments."""
    try:
        with open(path, "rb", opener=_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DecodeError("not a file")
            start = file.read(256)
    except (OSError, ValueError) as error:  # ValueError: a zero in the path
        raise DecodeError(getattr(error, "strerror", None) or reason_of(error)) from None
    if not start:
        raise DecodeError("empty file")
    if not set(start) & _NOT_TEXT:
        raise DecodeError("a text, not a video")


_NOT_TEXT = set(range(32)) - set(b"\t\n\v\f\r\x1b")  # bytes that no text has, whatever its encoding of letters


def _at_once(path: str, flags: int) -> int:
    """Open a file as `open` does, but a pipe without waiting for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)
