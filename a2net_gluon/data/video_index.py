"""Indexes of videos: the number of frames, and the keyframes from which they can be read."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import typing

__all__ = ["Survey", "VideoIndex", "clean_keyframes"]

_APART = 24  # frames between two keyframes of an index: fewer take no longer to decode than to skip


@dataclasses.dataclass(frozen=True)
class VideoIndex:
    """The number of frames of a video, and the keyframes from which it can be read.

    Attributes
    ----------
    frames : int
        As many as a decoder returns, whatever the file declares.
    keyframes : tuple of (int, int)
        Number and presentation time (in units of the stream) of keyframes that can be sought, in order; none where the
        times in the file do not tell which frame is meant. Frame 0 is not among them.
    """

    frames: int
    keyframes: tuple[tuple[int, int], ...] = ()

    def keyframe_before(self, number: int) -> tuple[int, int] | None:
        """The last keyframe at or before frame `number`, or None."""
        place = bisect.bisect_right([first for first, _ in self.keyframes], number)
        return self.keyframes[place - 1] if place else None


@dataclasses.dataclass(frozen=True)
class Survey:
    """The findings of a decoder about a video file.

    Attributes
    ----------
    index : VideoIndex
    declared : int
        Number of frames that the file declares; 0 if it does not.
    damaged : int
        Number of packets that are damaged.
    missing : int
        Number of bytes that the container declares behind the end of the file.
    """

    index: VideoIndex
    declared: int = 0
    damaged: int = 0
    missing: int = 0

    @property
    def problem(self) -> str | None:
        """Why the video cannot be used, or None.

        A file that holds fewer frames than it declares is whole, unless bytes are missing too.
        """
        frames = self.index.frames
        short = frames < self.declared
        of_declared = f"{frames} of {self.declared} frames" if short else f"{frames} frames"
        if self.missing and (short or not self.declared):
            return f"ends after {of_declared} (truncated)"
        if self.damaged:
            packets = "packet" if self.damaged == 1 else "packets"
            return f"{self.damaged} damaged {packets}; {of_declared} can be decoded"
        return None if frames else "no frame that can be decoded"


def clean_keyframes(
    packets: typing.Sequence[tuple[int, bool]], numbers: typing.Mapping[int, int]
) -> tuple[tuple[int, int], ...]:
    """Choose the keyframes from which decoding gives the same frames as from the beginning.

    No packet after a clean keyframe is shown before it, and none before it is shown after it. In an open group of
    pictures, frames that follow a keyframe in the file are shown before it, and refer to the group before.

    Parameters
    ----------
    packets : sequence of (int, bool)
        Presentation time and whether it is a keyframe, in the order of the file.
    numbers : mapping of int to int
        Number of the frame that is shown at a time.

    Returns
    -------
    tuple of (int, int)
        Number and time of each, without frame 0, and at least 24 frames apart.
    """
    times = [time for time, _ in packets]
    latest = itertools.accumulate(times, max)
    earliest_left = list(itertools.accumulate(reversed(times), min))[::-1]
    chosen: list[tuple[int, int]] = []
    for (time, is_keyframe), before, left in zip(packets[1:], latest, earliest_left[1:]):
        number = numbers[time]
        if is_keyframe and before < time <= left and number >= (chosen[-1][0] if chosen else 0) + _APART:
            chosen.append((number, time))
    return tuple(chosen)
