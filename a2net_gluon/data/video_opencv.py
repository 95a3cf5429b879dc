"""Videos decoded with OpenCV, where PyAV is not installed: from the beginning to the last frame that is wanted.

OpenCV does not report damage: it skips packets that it cannot decode, or ends, and returns frames in which the decoder
has replaced what is missing. A truncated file is recognized by its container. Videos of more than 8 bits are refused,
since it converts some of them to wrong pixels (in 4.11, where the width is not a multiple of 16). It has no AV1.
"""

from __future__ import annotations

import contextlib
import os
import typing

import cv2
import numpy as np

from a2net_gluon.data.decoding import DecodeError, too_many_pixels
from a2net_gluon.data.video_index import Survey, VideoIndex
from a2net_gluon.formats.video_container import missing_bytes
from a2net_gluon.terminal import libraries_silenced

__all__ = ["read", "stream", "survey"]


def survey(path: str | os.PathLike[str], thorough: bool = False) -> Survey:
    """Count the frames of a video by decoding it, which is always thorough."""
    with _opened(path) as capture:
        frames = 0
        while capture.grab():
            frames += 1
        declared = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
    return Survey(VideoIndex(frames), declared, missing=missing_bytes(path))


def read(path: str | os.PathLike[str], wanted: typing.Sequence[int], index: VideoIndex | None) -> dict[int, np.ndarray]:
    """Decode the frames `wanted`, in ascending order; fewer if the video ends."""
    taken: dict[int, np.ndarray] = {}
    left, number = set(wanted), 0
    with _opened(path) as capture:
        while left and capture.grab():
            if number in left:
                found, frame = capture.retrieve()
                if not found:
                    break
                left.remove(number)
                taken[number] = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            number += 1
    return taken


def stream(path: str | os.PathLike[str]) -> typing.Iterator[np.ndarray]:
    """Decode all frames in order."""
    with _opened(path) as capture:
        while True:
            found, frame = capture.read()
            if not found:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> typing.Iterator[cv2.VideoCapture]:
    if "\ufffd" in os.fsencode(path).decode("utf-8", "replace"):  # OpenCV would crash
        raise DecodeError('has a path that is not UTF-8: rename it, or install PyAV (the extra "video")')
    with libraries_silenced():
        # With the protocol, so that no path is taken for an address.
        capture = cv2.VideoCapture(f"file:{os.fspath(path)}", cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        try:
            if not capture.isOpened():
                raise DecodeError("truncated" if missing_bytes(path) else "not a video that OpenCV can read")
            problem = too_many_pixels(*(int(capture.get(side)) for side in _SIDES))
            if problem:
                raise DecodeError(problem)
            if int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) & 0xFFFF == _DEEP:
                raise DecodeError('has more than 8 bits for each colour: install PyAV (the extra "video")')
            yield capture
        except cv2.error:  # such as an assertion about the size of a frame
            raise DecodeError("damaged") from None
        finally:
            capture.release()


_SIDES = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
_DEEP = int.from_bytes(b"Y3", "little")  # how FFmpeg's tags of formats with more bits begin; the number of bits is last
