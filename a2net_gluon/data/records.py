"""RecordIO files: read image by image in Python, or by MXNet's C++ ImageRecordIter.

The iterator needs no processes. But it has fewer threads than half of the processors, a record it cannot decode ends
the whole process with a signal (mxnet 1.9.1), it draws one augmentation for a position in the batch, and it cannot
begin in the middle of an epoch. So it is there for those who ask for it.
"""

import contextlib
import functools
import io
import itertools
import multiprocessing.pool
import os
import pathlib
import struct

import mxnet as mx
import numpy as np
import PIL.Image
from tqdm import tqdm

from a2net_gluon.data.decoding import DecodeError, decode
from a2net_gluon.data.preprocessing import INTERPOLATION
from a2net_gluon.data.source import Batch, ImageList, ImageSource, Problems, Shard, check_batch_size
from a2net_gluon.errors import FailureError, UsageError

__all__ = ["RecordFile", "RecordSource", "record_source"]

_MAGIC = 0xCED7230A
_LENGTH_BITS = 29
_FRAME = 8  # bytes before a record: magic number and length
_HEADER = 24  # bytes of im2rec's own header: flag, label, two numbers
_LOOKED_AT = 1 << 13  # bytes of an image in which its header should end


class RecordFile:
    """A .rec file and its .idx, checked for being whole.

    Parameters
    ----------
    rec : str or Path
    idx : str or Path, optional
        ``rec`` with the ending .idx unless given.

    Attributes
    ----------
    names : list of str
        Of the records, in the order in which they lie in the file.

    Raises
    ------
    UsageError
        If one of the files is missing.
    FailureError
        If the index is damaged or names records the .rec file does not hold.
    """

    def __init__(self, rec, idx=None):
        self.rec = pathlib.Path(rec)
        self.idx = pathlib.Path(idx) if idx else self.rec.with_suffix(".idx")
        if not self.rec.is_file():
            raise UsageError(f"{self.rec}: no such record file")
        if not self.idx.is_file():
            raise UsageError(f"{self.idx}: no such index; pack the records with im2rec.py, which writes it")
        try:
            rows = [line.split("\t") for line in self.idx.read_text().splitlines()]
            places = sorted((int(row[1]), row[0]) for row in rows)
        except (ValueError, IndexError):
            raise FailureError(f"{self.idx}: not a record index; pack the records again") from None
        if not places:
            raise FailureError(f"{self.idx}: lists no record; pack the records again")
        self._offsets = [offset for offset, _ in places]
        self.names = [f"{self.rec}, record {key}" for _, key in places]
        if self._offsets[0] < 0:
            raise FailureError(f"{self.idx}: not a record index; pack the records again")
        with open(self.rec, "rb") as file:
            self._check_whole(file)

    def __len__(self):
        return len(self._offsets)

    @functools.cached_property
    def labels(self):
        """Label of every record, read from the records' headers."""
        labels = np.empty(len(self), np.float32)
        with open(self.rec, "rb") as file:
            for number, offset in enumerate(self._offsets):
                file.seek(offset + _FRAME)
                flag, label = struct.unpack("<If", file.read(8))
                if flag:
                    raise FailureError(f"{self.rec}: records have {flag} labels each; one is needed for classification")
                labels[number] = label
        return labels

    def images(self):
        """The records as a list of images that Python reads."""
        return ImageList(self.names, self.labels.astype(int), self.read)

    def read(self, number):
        """Decode the image of record `number`, in the file's order; raises `DecodeError`."""
        try:
            reader = _reader(str(self.rec), os.getpid())
            mx.base.check_call(mx.base._LIB.MXRecordIOReaderSeek(reader.handle, self._offsets[number]))
            record = reader.read()
            if record is None:
                raise DecodeError("the file ends before it")
            return decode(mx.recordio.unpack(record)[1])
        except (mx.MXNetError, OSError, struct.error):
            raise DecodeError("not a record") from None

    def undecodable(self, threads=8):
        """Names of the records whose image visibly cannot be decoded, and why.

        Only the start and the end of each image are looked at, and those that look wrong are decoded. Damage in
        between is not seen.
        """
        with open(self.rec, "rb") as file, multiprocessing.pool.ThreadPool(threads) as pool:
            look = functools.partial(_looks_sound, file.fileno())
            looks = pool.imap(look, self._offsets, chunksize=256)
            head = f"looking through {self.rec.name}"  # about a minute for a million records
            sound = list(tqdm(looks, head, len(self), unit=" records", leave=False, disable=None))
        found = {}
        for number in np.flatnonzero(~np.array(sound)):
            try:
                self.read(number)
            except DecodeError as error:
                found[self.names[number]] = str(error)
        return found

    def _check_whole(self, file):
        size = self.rec.stat().st_size
        file.seek(self._offsets[-1])
        frame = file.read(_FRAME)
        magic, field = struct.unpack("<II", frame) if len(frame) == _FRAME else (0, 0)
        end = self._offsets[-1] + _FRAME + (field & ((1 << _LENGTH_BITS) - 1))
        if magic != _MAGIC or end > size or size % 4:
            raise FailureError(f"{self.rec}: truncated, or not the file {self.idx} belongs to; copy or pack it again")


@functools.lru_cache(maxsize=4)
def _reader(path, process):
    """MXNet's reader of a record file; every process has its own, since reading moves it."""
    return mx.recordio.MXRecordIO(path, "r")


def _looks_sound(file, offset):
    """Whether the record at `offset` starts and ends like an image."""
    start = os.pread(file, _FRAME + _HEADER + _LOOKED_AT, offset)
    if len(start) <= _FRAME + _HEADER:
        return False
    magic, field = struct.unpack_from("<II", start)
    length = field & ((1 << _LENGTH_BITS) - 1)
    if magic != _MAGIC or field >> _LENGTH_BITS:  # the latter: a record in several parts, rare
        return False
    content = start[_FRAME + _HEADER : _FRAME + length]
    with contextlib.suppress(Exception):  # Pillow raises many kinds for a damaged header
        kind = PIL.Image.open(io.BytesIO(content)).format
        return kind == "PNG" or (kind == "JPEG" and b"\xff\xd9" in os.pread(file, 64, offset + _FRAME + length - 64))
    return False


def record_source(train, val, classes=None, native=False, on_skip=None, **options):
    """Batches from record files.

    Parameters
    ----------
    train, val : RecordFile
        `train` may be None where only validation is wanted.
    classes : int or sequence of str, optional
        How many classes there are, or their names; the labels tell unless given.
    native : bool
        Read with MXNet's iterator.
    on_skip : callable, optional
        Called with name and reason of each record that is skipped.
    options
        The other parameters of `ImageSource`.

    Raises
    ------
    FailureError
        If the iterator is asked for, and a record can be seen to be none that it can decode.
    """
    files = [file for file in (train, val) if file is not None]
    names = _class_names(classes, files)
    if not native:
        lists = [file.images() if file else None for file in (train, val)]
        return ImageSource(str(files[0].rec), names, *lists, on_skip=on_skip, **options)
    for file in files:
        damaged = file.undecodable()
        if damaged:
            name, reason = next(iter(damaged.items()))
            raise FailureError(
                f"{name} ({reason}), and {len(damaged) - 1} others, would end MXNet's iterator: leave --native-reader "
                "out, which skips them, or pack the file again"
            )
    return RecordSource(train, val, names, **options)


class RecordSource:
    """Training and validation batches from MXNet's record iterator, with the interface of `ImageSource`.

    Parameters
    ----------
    train, val : RecordFile
        `train` may be None where only validation is wanted.
    classes : sequence of str
    preprocessing, augmentation, batch_size, seed, shard
        As for `ImageSource`, but a process shuffles within its own part of the file.
    workers : int
        Threads that decode; MXNet uses at most one less than half of the processors, and at least one.

    Notes
    -----
    The iterator is made anew for every epoch, with seeds made of the run's seed and the epoch, and with
    ``seed_aug``: only so is the augmentation the same whatever thread decodes an image. MXNet then draws by an
    image's position in the batch, so within an epoch all batches share one set of draws.
    """

    def __init__(
        self,
        train,
        val,
        classes,
        preprocessing,
        augmentation,
        batch_size,
        workers,
        seed,
        shard=Shard(),  # noqa: B008  (immutable)
    ):
        if train is not None:
            check_batch_size(batch_size, min(_part_sizes(len(train), shard.count)) * shard.count, str(train.rec), shard)
        self.classes = tuple(classes)
        self._shard = shard
        self.train_count = len(train) if train is not None else 0
        self.val_count = len(val)
        self.batch_size = batch_size
        self.problems = Problems()
        self._train, self._val = train, val
        self._preprocessing, self._augmentation = preprocessing, augmentation
        self._workers, self._seed = workers, seed

    def close(self):
        """Nothing to end."""

    def image_lists(self):
        """The images of each part, ``{"training": ImageList, "validation": ImageList}``."""
        parts = {"training": self._train, "validation": self._val}
        return {part: file.images() for part, file in parts.items() if file is not None}

    @property
    def train_batches(self):
        """Batches in one epoch, the same number in every process; a last, partial one is left out."""
        return min(_part_sizes(self.train_count, self._shard.count)) // self.batch_size

    def train(self, epoch, first=0):
        """Batches of epoch `epoch` from batch `first` on, counted from 0; those before are decoded all the same."""
        order_seed, draw_seed = np.random.SeedSequence((self._seed, epoch)).generate_state(2) >> 4  # MXNet takes int32
        options = self._train_options(int(draw_seed))
        batches = self._batches(self._train, shuffle=True, seed=int(order_seed), **options)
        return itertools.islice(batches, first, self.train_batches)

    def validation(self):
        """Every validation image once, in order."""
        return self._batches(self._val, resize=self._preprocessing.resize)

    def _train_options(self, seed):
        augmentation = self._augmentation
        if augmentation is None:
            return {"resize": self._preprocessing.resize}
        return {
            "random_resized_crop": True,
            "min_random_area": augmentation.min_area,
            "max_random_area": 1.0,
            "min_aspect_ratio": 1 / augmentation.aspect,
            "max_aspect_ratio": augmentation.aspect,
            "rand_mirror": augmentation.mirror,
            "random_h": augmentation.hue,
            "random_s": augmentation.saturation,
            "random_l": augmentation.lightness,
            "seed_aug": seed,
        }

    def _batches(self, file, **options):
        size = self._preprocessing.size
        images = _part_sizes(len(file), self._shard.count)[self._shard.index]
        if not images:
            return
        rows = min(self.batch_size, images)  # MXNet fails on a batch larger than the file
        iterator = mx.io.ImageRecordIter(
            path_imgrec=str(file.rec),
            path_imgidx=str(file.idx),
            data_shape=(3, size, size),
            batch_size=rows,
            dtype="uint8",
            inter_method=INTERPOLATION,
            preprocess_threads=max(1, self._workers),
            verbose=False,
            part_index=self._shard.index,
            num_parts=self._shard.count,
            **options,
        )
        for batch in iterator:
            # The last batch is filled with records from the start; `pad` says how many.
            pixels, labels = batch.data[0], batch.label[0]
            if rows < self.batch_size:
                again = mx.nd.array(np.arange(self.batch_size) % rows)
                pixels, labels = pixels.take(again), labels.take(again)
            yield Batch(pixels, labels, rows - batch.pad)


def _part_sizes(images, parts):
    """How many of `images` MXNet gives to each of `parts` processes: the last ones get less, even none."""
    size = -(-images // parts)
    return [max(0, min(size, images - size * part)) for part in range(parts)]


def _class_names(classes, files):
    """Names of the classes: those given, or of the lists beside the records, or numbers."""
    lists = {file.rec: _names_in_list(file.rec.with_suffix(".lst")) for file in files}
    given = None if classes is None or isinstance(classes, int) else tuple(classes)
    for path, names in lists.items():
        expected = given or next(iter(lists.values()))
        # Numbers instead of names say nothing about the order.
        comparable = names and expected and expected != tuple(map(str, range(len(expected))))
        if comparable and names != expected:
            raise UsageError(
                f"{path} was packed with other classes ({len(names)}, {names[0]} first) than expected "
                f"({len(expected)}, {expected[0]} first): pack all parts with the same class folders"
            )
    if given:
        return given
    names = next(iter(lists.values()))
    count = classes or (len(names) if names else int(max(file.labels.max() for file in files)) + 1)
    return names if names and len(names) == count else tuple(str(number) for number in range(count))


def _names_in_list(path):
    """Class names from the .lst file im2rec leaves beside the records: lines of number, label, class/file."""
    try:
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        names = {int(float(row[1])): pathlib.PurePath(row[-1]).parts[0] for row in rows}
    except (OSError, ValueError, IndexError):
        return None
    return tuple(names[label] for label in sorted(names)) if sorted(names) == list(range(len(names))) else None
