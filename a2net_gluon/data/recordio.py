"""The RecordIO format of MXNet: records in a file, each with a label and the content of an image file.

A record is a frame (magic number, length), im2rec's header (flag, label, two numbers), and the content, filled up to
whole words of 4 bytes. Where the content has the magic number at the start of a word, the record is split there into
parts with a frame each, and the number is left out.
"""

from __future__ import annotations

import struct

import numpy as np

__all__ = ["CLIPS", "FRAME", "HEADER", "LARGEST", "MAGIC", "WORD", "are_whole", "ends", "frame", "unframe"]

WORD = 4  # bytes; records start at whole words
FRAME = 8  # bytes
HEADER = 24  # bytes
CLIPS = b"A2CLIPS\x01"  # how the content of a record begins that is a video, see `clip_records`
_MAGIC = 0xCED7230A
MAGIC = struct.pack("<I", _MAGIC)
_LENGTH_BITS = 29
_LENGTHS = (1 << _LENGTH_BITS) - 1
LARGEST = _LENGTHS - HEADER  # bytes of the content of a record
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)  # what a part is of its record, in the bits above the length


def frame(content: bytes, label: int, number: int) -> bytes:
    """Return the record of an image: `number` is its key in the index.

    Raises
    ------
    ValueError
        If the content is larger than a record can be, half a gigabyte.
    """
    payload = struct.pack("<IfQQ", 0, label, number, 0) + content
    if len(content) > LARGEST:
        raise ValueError(f"larger than {_LENGTHS >> 20} MB, the limit of a record")
    parts = _split(payload)
    kinds = [_WHOLE] if len(parts) == 1 else [_FIRST, *[_MIDDLE] * (len(parts) - 2), _LAST]
    framed = (struct.pack("<II", _MAGIC, kind << _LENGTH_BITS | len(part)) + part for kind, part in zip(kinds, parts))
    return b"".join(framed) + bytes(-len(payload) % WORD)


def _split(payload: bytes) -> list[bytes]:
    """Split `payload` at each magic number that starts a word, and leave the numbers out."""
    parts, start, place = [], 0, payload.find(MAGIC)
    while place >= 0:
        if place % WORD:
            place = payload.find(MAGIC, place + 1)
            continue
        parts.append(payload[start:place])
        start = place + WORD
        place = payload.find(MAGIC, start)
    return [*parts, payload[start:]]


def unframe(record: bytes) -> bytes:
    """Return the content of a record, given all its bytes; raise ValueError if they are none."""
    parts, place = [], 0
    while place < len(record):
        start = place + FRAME
        magic, field = struct.unpack("<II", record[place:start].ljust(FRAME, b"\0"))
        length = field & _LENGTHS
        if magic != _MAGIC or start + length > len(record):
            raise ValueError("not a record")
        parts.append(record[start : start + length])
        place = start + length + -length % WORD
    return MAGIC.join(parts)[HEADER:]


def ends(words: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Find where records end, all at once.

    Parameters
    ----------
    words : ndarray of uint32
        The file.
    starts : ndarray of int
        Numbers of the words at which the records start.

    Returns
    -------
    ndarray of int
        Numbers of the words behind the records; -1 where there is no record.
    """
    found, unfinished = starts.copy(), np.arange(len(starts))
    while unfinished.size:
        at = found[unfinished]
        whole = at + 2 <= len(words)
        magic, field = (words[np.where(whole, at + place, 0)].astype(np.int64) for place in (0, 1))
        sound = whole & (magic == _MAGIC)
        found[unfinished] = np.where(sound, at + 2 + -(-(field & _LENGTHS) // WORD), -1)
        unfinished = unfinished[sound & np.isin(field >> _LENGTH_BITS, (_FIRST, _MIDDLE))]
    return found


def are_whole(words: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Whether each record has a single part, so that its content lies in the file as it is; arguments as for `ends`."""
    return words[starts + 1] >> _LENGTH_BITS == _WHOLE
