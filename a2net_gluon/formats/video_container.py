"""The length that a video's container declares, against that of the file: what a cut file is known by.

Of containers whose outermost parts begin with their size: MP4 and QuickTime, Matroska and WebM, AVI.
"""

from __future__ import annotations

import os
import typing

__all__ = ["missing_bytes"]

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_BOXES = 10_000  # at most so many outermost boxes are looked at; a fragmented MP4 has one or two for each second


def missing_bytes(path: str | os.PathLike[str]) -> int:
    """Return how many bytes the container of a video declares beyond the end of the file.

    0 where the file is whole, and where its container is another, or does not tell its length, as that of a stream.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(12)
        if start[:4] == b"RIFF":
            end = 8 + int.from_bytes(start[4:8], "little")
            end = 0 if end in (8, 8 + 0xFFFFFFFF) else end + end % 2
        elif start[:4] == _EBML:
            end = _end_of_segment(file)
        elif start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            end = _end_of_boxes(file, size)
        else:
            end = 0
    return max(end - size, 0)


def _end_of_segment(file: typing.BinaryIO) -> int:
    """End of the segment of a Matroska file, or 0."""
    file.seek(len(_EBML))
    header = _ebml_size(file)
    if header is None:
        return 0
    file.seek(header, os.SEEK_CUR)
    if file.read(len(_SEGMENT)) != _SEGMENT:
        return 0
    size = _ebml_size(file)
    return 0 if size is None else file.tell() + size


def _ebml_size(file: typing.BinaryIO) -> int | None:
    """Read a size of EBML: the leading zero bits of the first byte tell how many bytes follow. None if unknown."""
    first = file.read(1)
    length = 8 - int.from_bytes(first, "big").bit_length()
    rest = file.read(length)
    if length > 7 or len(rest) < length:
        return None
    marker = 1 << 7 * (length + 1)
    value = int.from_bytes(first + rest, "big") - marker
    return None if value == marker - 1 else value


def _end_of_boxes(file: typing.BinaryIO, size: int) -> int:
    """End of the last of the outermost boxes of an MP4; the file ends within it, or behind it."""
    place = 0
    for _ in range(_BOXES):
        file.seek(place)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if place >= size or length < 8:  # the end, or a box that extends to it
            break
        place += length
    return place
