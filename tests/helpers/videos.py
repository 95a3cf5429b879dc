"""Videos made for a test, and ways to damage them: written with PyAV's encoders, packet by packet."""

import fractions
import os

import av
import numpy as np

RATE = 25
_LEVEL = 28  # grey levels between two digits


def moving_frames(count, height=48, width=64, seed=0):
    """Frames with their numbers in them: a window that moves over noise of two scales, uint8 (count, h, w, 3).

    The number is in the first row, as one field of grey for each of its last two digits.
    """
    rng = np.random.default_rng(seed)
    fine, coarse = (rng.integers(0, 256, (height + side, width + side, 3)) for side in (64, 64))
    coarse = np.repeat(np.repeat(coarse[::16, ::16], 16, 0), 16, 1)[: height + 64, : width + 64]
    scene = (0.2 * fine + 0.8 * coarse).astype(np.uint8)
    frames = []
    for number in range(count):
        y, x = (int(32 + 31 * np.sin(number / period)) for period in (7.3, 11.9))
        frame = scene[y : y + height, x : x + width].copy()
        for place, digit in enumerate(divmod(number % 100, 10)):
            frame[: height // 4, place * width // 4 : (place + 1) * width // 4] = _LEVEL * digit
        frames.append(frame)
    return np.stack(frames)


def numbers_shown(frames):
    """The last two digits of the number that `moving_frames` has put into each frame."""
    height, width = frames.shape[1] // 4, frames.shape[2] // 4
    fields = (frames[:, : height - 1, place * width + 1 : (place + 1) * width - 1] for place in (0, 1))
    tens, units = (np.round(field.mean((1, 2, 3)) / _LEVEL).astype(int) for field in fields)
    return (10 * tens + units).tolist()


def write_video(path, frames, codec="libx264", times=None, pixels="yuv420p", container=None, **options):
    """Encode `frames`; returns `path`.

    Parameters
    ----------
    path : Path
        Its ending chooses the container.
    frames : (t, h, w, 3) of uint8
    codec : str
    times : sequence of int, optional
        Of each frame, in thousandths of a second: a variable rate.
    pixels : str
        Format of the encoded pixels.
    container : dict, optional
        Options of the container, e.g. ``{"movflags": "faststart"}``.
    **options
        Of the codec, e.g. ``g=32, bf=2``.
    """
    with av.open(os.fspath(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=RATE, options={key: str(value) for key, value in options.items()})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = fractions.Fraction(1, 1000 if times is not None else RATE)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = number if times is None else times[number]
            picture.time_base = stream.codec_context.time_base
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
        stream.codec_context.close(strict=False)
    return path


def copy_video(source, path, start):
    """Copy the packets of a video without decoding, as ``ffmpeg -ss … -c copy`` does; returns `path`.

    Parameters
    ----------
    source, path : Path
    start : int
        Frame that the copy is to begin with: earlier ones stay in the file, from the keyframe on, with negative times,
        which MP4 hides behind an edit list.
    """
    with av.open(os.fspath(source)) as original, av.open(os.fspath(path), "w") as output:
        stream = original.streams.video[0]
        copy = output.add_stream(template=stream)
        packets = [packet for packet in original.demux(stream) if packet.dts is not None]
        offset = sorted(packet.pts for packet in packets)[start]
        first = max(i for i, packet in enumerate(packets) if packet.is_keyframe and packet.pts <= offset)
        for packet in packets[first:]:
            packet.pts, packet.dts, packet.stream = packet.pts - offset, packet.dts - offset, copy
            output.mux(packet)
    return path


def decode_in_order(path):
    """All frames of a video in the order in which PyAV returns them, uint8 (t, h, w, 3), RGB."""
    with av.open(os.fspath(path)) as file:
        stream = file.streams.video[0]
        stream.thread_type = "NONE"
        pictures = [picture for packet in file.demux(stream) for picture in packet.decode()]
        frames = np.stack([picture.to_ndarray(format="rgb24", interpolation="BICUBIC") for picture in pictures])
        stream.codec_context.close()
    return frames


def write_sound(path):
    """A second of silence; returns `path`."""
    with av.open(os.fspath(path), "w") as output:
        stream = output.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        output.mux(stream.encode(sound))
        output.mux(stream.encode())
    return path


def place_of_packet(path, number):
    """Where a packet begins in the file."""
    with av.open(os.fspath(path)) as file:
        return [packet.pos for packet in file.demux(file.streams.video[0])][number]


def frame_without_reference(path, first):
    """Place and size of the packet, and number, of a frame of an H.264 MP4 from `first` on that no other refers to."""
    with av.open(os.fspath(path)) as file:
        packets = [packet for packet in file.demux(file.streams.video[0]) if packet.size]
        shown = sorted(packet.pts for packet in packets)
        for packet in packets:
            number = shown.index(packet.pts)
            if number >= first and not bytes(packet)[4] & 0x60:  # nal_ref_idc, behind the length of the unit
                return packet.pos, packet.size, number
    raise AssertionError(f"{path}: every frame from {first} on is referred to")


def with_zeros(content, place, count):
    """The bytes of a file with a hole of zeros."""
    return content[:place] + bytes(count) + content[place + count :]


def ending_early(content, end):
    """The bytes of an MP4 whose edit list hides the frames from number `end` on."""
    place = content.index(b"elst") + 12
    return content[:place] + (end * 1000 // RATE).to_bytes(4, "big") + content[place + 4 :]


def turned_by_90_degrees(content):
    """The bytes of an MP4 with another matrix of its track, as cameras write that are held upright."""
    one, wide = 1 << 16, 1 << 30
    upright, turned = (
        b"".join(value.to_bytes(4, "big", signed=True) for value in values)
        for values in ((one, 0, 0, 0, one, 0, 0, 0, wide), (0, one, 0, -one, 0, 0, 0, 0, wide))
    )
    place = content.index(upright, content.index(b"tkhd"))
    return content[:place] + turned + content[place + len(turned) :]
