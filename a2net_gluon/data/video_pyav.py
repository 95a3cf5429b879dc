"""Videos decoded with PyAV, which reports damage and can seek.

Written for PyAV 12.3. One thread decodes: the readers are processes, and with threads a call of ``av.logging`` anywhere
in the process makes PyAV wait forever. Codecs are closed before their container, without which 47 kB stay of each.
"""

from __future__ import annotations

import contextlib
import fractions
import itertools
import os
import sys
import typing

import av
import numpy as np
from av.container.input import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from a2net_gluon.data.decoding import DecodeError, too_many_pixels
from a2net_gluon.data.video_index import Survey, VideoIndex, clean_keyframes
from a2net_gluon.environment import largest_image
from a2net_gluon.formats.video_container import missing_bytes

__all__ = ["frame_rate", "read", "stream", "survey"]

# Containers of videos. FFmpeg also reads text, images and lists of other files.
_CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,flv,asf,ogg,ivf,mxf,nut,dv,rm,gif,yuv4mpegpipe,webm,mp4"
)
_SEEKABLE = {"mov", "matroska", "avi"}  # containers that can be sought by presentation time
# Codecs of which a packet is a frame in containers with presentation times. Others can have packets that show nothing.
_FRAME_IS_PACKET = {"h264", "hevc", "vp9", "av1", "libdav1d", "mjpeg"}
_RATE = 25  # frames in a second, where a file declares none
# Packets that are read behind as many as there are frames up to the last that is wanted: in H.264, up to 16 frames
# come earlier in the file than one that is shown before them.
_AHEAD = 1 + 16
_PROOF = 4  # frames that are decoded to see that the packets tell their times


def survey(path: str | os.PathLike[str], thorough: bool = False) -> Survey:
    """Count the frames of a video and find its keyframes; without `thorough`, from its packets where they tell."""
    found = None if thorough else _survey(path, _PROOF)
    return found or typing.cast(Survey, _survey(path, sys.maxsize))


def _survey(path: str | os.PathLike[str], most: int) -> Survey | None:
    """Survey a video of which `most` frames are decoded; None if there are more, and the packets do not tell them."""
    packets: list[tuple[int, bool]] = []
    times: list[int] = []
    with _opened(path) as video:
        plain = video.seekable
        for packet in video.packets():
            if len(times) < most:
                times += [frame.pts for frame in video.decode(packet)]
            if packet.size:
                plain = plain and not (packet.pts is None or packet.pts < 0 or packet.is_discard or packet.is_corrupt)
                packets.append((packet.pts or 0, packet.is_keyframe))
        shown = sorted(time for time, _ in packets)
        exact = plain and not video.damaged and shown[: len(times)] == times and len(set(shown)) == len(shown)
        if most < len(shown):
            if not exact or len(times) < most or not video.frame_is_packet:
                return None
            times = shown
        numbers = {time: number for number, time in enumerate(times)}
        keyframes = clean_keyframes(packets, numbers) if exact and len(times) == len(shown) else ()
        return Survey(VideoIndex(len(times), keyframes), video.declared, video.damaged, missing_bytes(path))


def read(path: str | os.PathLike[str], wanted: typing.Sequence[int], index: VideoIndex | None) -> dict[int, np.ndarray]:
    """Decode the frames `wanted`, in ascending order; fewer if the video ends, is damaged, or not as `index` says.

    Reading begins at the keyframe before the first of them, if `index` has one. Frames of H.264 that are not wanted,
    and that no other frame refers to, are not decoded.
    """
    times = dict(index.keyframes) if index else {}
    keyframe = index.keyframe_before(wanted[0]) if index else None
    with _opened(path) as video:
        if times and video.tells_references:
            frames = video.needed(keyframe, wanted, times)
        elif keyframe is not None:
            frames = video.seek(*keyframe)
        else:
            return _take(video, enumerate(video.frames()), wanted, times)
        taken = _take(video, frames, wanted, times) if frames is not None else {}
        if len(taken) == len(wanted):
            return taken
    with _opened(path) as video:
        return _take(video, enumerate(video.frames()), wanted, times)


def stream(path: str | os.PathLike[str]) -> typing.Iterator[np.ndarray]:
    """Decode all frames in order, up to the first damage."""
    with _opened(path) as video:
        for frame in video.frames():
            if video.damaged:
                return
            yield _pixels(frame)


def frame_rate(path: str | os.PathLike[str]) -> fractions.Fraction:
    """Frames in a second on average, as the file declares; 25 if it does not."""
    with _opened(path) as video:
        return video.rate


def _pixels(frame: VideoFrame) -> np.ndarray:
    # Bicubic, as ffmpeg itself; the interpolation matters for colours of more than 8 bits only.
    return np.asarray(frame.to_ndarray(format="rgb24", interpolation="BICUBIC"), np.uint8)


def _take(
    video: _Video,
    frames: typing.Iterator[tuple[int, VideoFrame]],
    wanted: typing.Sequence[int],
    times: typing.Mapping[int, int],
) -> dict[int, np.ndarray]:
    """Convert the frames `wanted`, as long as no damage is met and frames are shown at their `times`."""
    taken: dict[int, np.ndarray] = {}
    left = set(wanted)
    for number, frame in frames:
        if video.damaged or times.get(number, frame.pts) != frame.pts:
            break
        if number in left:
            taken[number] = _pixels(frame)
            left.remove(number)
        if not left:
            break
    return taken


class _Video:
    """A video file that is open.

    Attributes
    ----------
    damaged : int
        Number of damaged packets so far.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self.damaged = 0

    @property
    def declared(self) -> int:
        """Number of frames that the file declares; 0 if it does not."""
        return self._stream.frames

    @property
    def rate(self) -> fractions.Fraction:
        """Frames in a second on average."""
        return self._stream.average_rate or fractions.Fraction(_RATE)

    @property
    def seekable(self) -> bool:
        """Whether the container can be sought; an AVI has no times, and only without B-frames they can be told."""
        name = self._container.format.name.split(",")[0]
        return name in _SEEKABLE and not (name == "avi" and self._stream.codec_context.has_b_frames)

    @property
    def frame_is_packet(self) -> bool:
        """Whether the times of packets are those of frames, as far as container and codec tell."""
        container, codec = self._container.format.name, self._stream.codec_context.name
        return self.seekable and container != "avi" and codec in _FRAME_IS_PACKET

    @property
    def tells_references(self) -> bool:
        """Whether packets tell if other frames refer to theirs, and the times of packets are those of frames."""
        return self.frame_is_packet and self._stream.codec_context.name == "h264"

    def packets(self) -> typing.Iterator[Packet]:
        """All packets, and an empty one at the end, which makes the decoder return what it holds."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, IndexError):  # IndexError: of a stream that PyAV does not know
                self.damaged += 1
                return
            yield packet

    def decode(self, packet: Packet | None) -> list[VideoFrame]:
        """The frames that `packet` makes complete; none, and one more damaged packet, if it cannot be decoded.

        Without a packet, those that the decoder still holds.
        """
        try:
            frames = self._stream.decode(packet)
        except av.error.FFmpegError:
            frames = []
            self.damaged += 1
        else:
            self.damaged += (packet is not None and packet.is_corrupt) or any(frame.is_corrupt for frame in frames)
        return frames

    def frames(self) -> typing.Iterator[VideoFrame]:
        """All frames from where the file is."""
        return itertools.chain.from_iterable(map(self.decode, self.packets()))

    def seek(self, number: int, time: int) -> typing.Iterator[tuple[int, VideoFrame]] | None:
        """Numbers and frames from the keyframe `number` at `time`; None if reading would begin behind it."""
        if not self._sought(time):
            return None
        frames = itertools.dropwhile(lambda frame: frame.pts is None or frame.pts < time, self.frames())
        first = next(frames, None)
        if first is None or first.pts != time or self.damaged:
            return None
        return enumerate(itertools.chain([first], frames), number)

    def needed(
        self, keyframe: tuple[int, int] | None, wanted: typing.Sequence[int], times: typing.Mapping[int, int]
    ) -> typing.Iterator[tuple[int, VideoFrame]] | None:
        """Numbers and frames from a keyframe or the beginning on, without some that neither are wanted nor referred to.

        Frames are numbered by the times of their packets, in the order of which they are shown. None if these are not
        as the index says.
        """
        number, time = keyframe or (0, None)
        if time is not None and not self._sought(time):
            return None
        found = itertools.dropwhile(lambda packet: time is not None and packet.pts != time, self.packets())
        packets = list(itertools.islice((packet for packet in found if packet.size), wanted[-1] - number + _AHEAD))
        shown = [packet.pts for packet in packets if not (packet.pts is None or packet.is_corrupt or packet.is_discard)]
        numbers = {time: place for place, time in enumerate(sorted(shown), number)}
        if not numbers or len(numbers) < len(packets) or numbers[shown[0]] != number:
            return None
        if any(numbers.get(time, place) != place for place, time in times.items()):
            return None
        return self._decode_needed(packets, numbers, set(wanted))

    def _sought(self, time: int) -> bool:
        try:
            self._container.seek(time, stream=self._stream)
        except av.error.FFmpegError:
            return False
        return True

    def _decode_needed(
        self, packets: typing.Sequence[Packet], numbers: typing.Mapping[typing.Any, int], wanted: typing.Collection[int]
    ) -> typing.Iterator[tuple[int, VideoFrame]]:
        for packet in packets:
            is_wanted = numbers[packet.pts] in wanted
            self._stream.codec_context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            for frame in self.decode(packet):
                yield numbers.get(frame.pts, -1), frame
        for frame in self.decode(None):
            yield numbers.get(frame.pts, -1), frame


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> typing.Iterator[_Video]:
    # Not as `options`, which are for streams too: PyAV crashes where these are found after the header, as in an FLV.
    options = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
    try:
        # With the protocol, so that no path is taken for an address.
        container = av.open(f"file:{os.fspath(path)}", container_options=options, metadata_errors="replace")
    except av.error.FFmpegError:
        raise DecodeError("truncated" if missing_bytes(path) else "not a video that FFmpeg can read") from None
    stream = next(iter(container.streams.video), None)
    try:
        if stream is None or stream.codec_context is None:
            raise DecodeError("no video stream")
        problem = too_many_pixels(stream.width, stream.height)
        if problem:
            raise DecodeError(problem)
        stream.thread_type = "NONE"
        stream.codec_context.options = {"max_pixels": str(largest_image())}  # a frame can be larger than declared
        yield _Video(container, stream)
    finally:
        if stream is not None and stream.codec_context is not None:
            stream.codec_context.close(strict=False)
        container.close()
