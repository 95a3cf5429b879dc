"""Videos in record files, one in each record: the JPEGs of its frames, of which a clip reads those it needs.

The content of a record, in words of 4 bytes, little-endian:

* 8 bytes `recordio.CLIPS`, the number of frames n, and the number of bytes of the text;
* n rows: place in the content and number of bytes of each JPEG;
* the text: the name of the video, and after a zero byte the split that it belongs to, if it has one;
* the JPEGs. Each begins where the magic number of RecordIO starts no word in it: so a record is never split into parts,
  and every frame lies in the file as its row says.
"""

from __future__ import annotations

import dataclasses
import re
import struct
import typing

import numpy as np

from a2net_gluon.data.clips import Sampling, VideoSamples, clip_of
from a2net_gluon.data.decoding import DecodeError, decode
from a2net_gluon.data.recordio import CLIPS, MAGIC, WORD
from a2net_gluon.data.records import RecordFile, class_names
from a2net_gluon.data.samples import Dataset
from a2net_gluon.errors import UsageError

__all__ = ["PackedVideo", "clip_content", "clip_record_dataset"]

_HEAD = struct.Struct(f"<{len(CLIPS)}sII")
_ROW = 8  # bytes
_TEXT = 1 << 13  # bytes of the text that are read


def clip_content(jpegs: typing.Sequence[bytes], name: str, split: str | None = None) -> bytes:
    """Make the content of the record of a video.

    Parameters
    ----------
    jpegs : sequence of bytes
        Its frames.
    name : str
        Printable, see `terminal.printable`.
    split : str, optional
        As of `Dataset`.

    Raises
    ------
    ValueError
        If there is no place for a JPEG, which then has the magic number of RecordIO at four different places.
    """
    text = f"{name}\0{split or ''}".encode("utf-8", "replace")
    text += bytes(-len(text) % WORD)
    place = _HEAD.size + _ROW * len(jpegs) + len(text)
    rows, parts = [], []
    for jpeg in jpegs:
        gap = -place % WORD + _shift(jpeg)
        rows += [place + gap, len(jpeg)]
        parts += [bytes(gap), jpeg]
        place += gap + len(jpeg)
    return b"".join([_HEAD.pack(CLIPS, len(jpegs), len(text)), np.array(rows, "<u4").tobytes(), text, *parts])


def _shift(jpeg: bytes) -> int:
    """The offset of a JPEG from the start of a word with which no word in it begins with the magic number."""
    starts = {-match.start() % WORD for match in re.finditer(re.escape(MAGIC), jpeg)}
    free = sorted({*range(WORD)} - starts)
    if not free:
        raise ValueError("a frame cannot be kept in a record")
    return free[0]


@dataclasses.dataclass(frozen=True)
class PackedVideo:
    """A `Video` in a record. What the record says is not believed: everything must lie inside it.

    Attributes
    ----------
    file : RecordFile
    number : int
        Of the record, in the order of the file.
    """

    file: RecordFile
    number: int

    def length(self) -> int:
        """Number of frames; `DecodeError` if the record is damaged."""
        return len(self._rows())

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Read and decode frames by number, each once; `DecodeError` if one is damaged, or has another size."""
        rows = self._rows()
        if not 0 <= min(numbers) <= max(numbers) < len(rows):
            raise DecodeError(f"has {len(rows)} frames; frame {max(numbers)} is wanted")
        frames = {int(number): self._frame(int(number), *map(int, rows[number])) for number in np.unique(numbers)}
        return clip_of(frames, numbers)

    def frames(self) -> typing.Iterator[np.ndarray]:
        """All frames in order; `DecodeError` if one is damaged."""
        for number, row in enumerate(self._rows()):
            yield self._frame(number, *map(int, row))

    def texts(self) -> tuple[str, str]:
        """Name and split of the video; both empty if the record is damaged."""
        _, count, size = self._head()
        text = self.file.part(self.number, _HEAD.size + _ROW * count, min(size, _TEXT)).decode("utf-8", "replace")
        name, _, split = text.rstrip("\0").partition("\0")
        return name, split

    def _head(self) -> tuple[bytes, int, int]:
        head = self.file.part(self.number, 0, _HEAD.size)
        return _HEAD.unpack(head) if len(head) == _HEAD.size and head.startswith(CLIPS) else (b"", 0, 0)

    def _rows(self) -> np.ndarray:
        """Place and number of bytes of each frame."""
        start, count, _ = self._head()
        if not start:
            raise DecodeError("not a record of a video")
        rows = self.file.part(self.number, _HEAD.size, _ROW * count)
        if not count or len(rows) < _ROW * count:
            raise DecodeError(f"damaged: a record of {count} frames that does not hold their places")
        return np.frombuffer(rows, "<u4").reshape(count, 2)

    def _frame(self, number: int, place: int, size: int) -> np.ndarray:
        jpeg = self.file.part(self.number, place, size)
        if len(jpeg) < size:
            raise DecodeError(f"frame {number}: ends behind its record")
        try:
            return decode(jpeg)
        except DecodeError as error:
            raise DecodeError(f"frame {number}: {error}") from None


def clip_record_dataset(
    train: RecordFile | None,
    val: RecordFile,
    sampling: Sampling,
    classes: int | typing.Sequence[str] | None = None,
) -> Dataset:
    """The videos of record files as a `Dataset`.

    Parameters
    ----------
    train, val : RecordFile
        `train` may be None where only validation is wanted.
    sampling : Sampling
    classes : int or sequence of str, optional
        The number of classes, or their names; default: those of the lists beside the records, or of the labels.

    Raises
    ------
    UsageError
        If a file holds images, or the files were packed with other classes or from different splits of a data set.
    """
    files = {"training": train, "validation": val} if train is not None else {"validation": val}
    samples, splits = {}, {}
    for part, file in files.items():
        if not file.holds_clips:
            raise UsageError(f"{file.rec}: holds images, not clips: a2net pack-clips packs clips; train takes images")
        videos = [PackedVideo(file, number) for number in range(len(file))]
        texts = [video.texts() for video in videos]
        names = [f"{file.rec}, {name}" if name else other for (name, _), other in zip(texts, file.names)]
        samples[part] = VideoSamples(names, file.labels, videos, sampling)
        splits[part] = next((split for _, split in texts if split), None)
    split = splits["validation"]
    if train is not None and splits["training"] != split:
        raise UsageError(
            f"{train.rec} is of split {splits['training'] or 'none'}, {val.rec} of {split or 'none'}: videos of one "
            "are training videos of the other; take both from one folder of a2net pack-clips"
        )
    names_of_classes = class_names(classes, list(files.values()))
    return Dataset(
        str((train or val).rec), names_of_classes, samples.get("training"), samples["validation"], split=split
    )
