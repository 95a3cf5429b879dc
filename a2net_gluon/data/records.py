"""RecordIO files, read, decoded and augmented by MXNet's C++ ImageRecordIter.

Pack an image folder with MXNet's own tool, ``mxnet/tools/im2rec.py`` (see README).
"""

import pathlib
import struct

import mxnet as mx
import numpy as np

from a2net_gluon.data.batches import Batch, Problems, check_batch_size
from a2net_gluon.data.preprocessing import INTERPOLATION
from a2net_gluon.errors import FailureError, UsageError

__all__ = ["RecordFile", "RecordSource"]

_MAGIC = 0xCED7230A
_LENGTH_BITS = 29


class RecordFile:
    """A .rec file and its .idx, checked for being whole.

    Parameters
    ----------
    rec : str or Path
    idx : str or Path, optional
        ``rec`` with the ending .idx unless given.

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
            self._offsets = sorted(int(line.split("\t")[1]) for line in self.idx.read_text().splitlines())
        except (ValueError, IndexError):
            raise FailureError(f"{self.idx}: not a record index; pack the records again") from None
        if self._offsets and self._offsets[0] < 0:
            raise FailureError(f"{self.idx}: not a record index; pack the records again")
        if not self._offsets:
            raise FailureError(f"{self.idx}: lists no record; pack the records again")
        with open(self.rec, "rb") as file:
            self._check_whole(file)

    def __len__(self):
        return len(self._offsets)

    def labels(self):
        """Label of every record, read from the records' headers."""
        labels = np.empty(len(self), np.float32)
        with open(self.rec, "rb") as file:
            for number, offset in enumerate(self._offsets):
                file.seek(offset + 8)  # after the frame's magic number and length
                flag, label = struct.unpack("<If", file.read(8))
                if flag:
                    raise FailureError(f"{self.rec}: records have {flag} labels each; one is needed for classification")
                labels[number] = label
        return labels

    def _check_whole(self, file):
        size = self.rec.stat().st_size
        file.seek(self._offsets[-1])
        frame = file.read(8)
        magic, field = struct.unpack("<II", frame) if len(frame) == 8 else (0, 0)
        end = self._offsets[-1] + 8 + (field & ((1 << _LENGTH_BITS) - 1))
        if magic != _MAGIC or end > size or size % 4:
            raise FailureError(f"{self.rec}: truncated, or not the file {self.idx} belongs to; copy or pack it again")


class RecordSource:
    """Training and validation batches from record files, with the interface of `ImageSource`.

    Parameters
    ----------
    train, val : RecordFile
        `train` may be None where only validation is wanted.
    classes : int or sequence of str, optional
        How many classes there are, or their names; the validation labels tell unless given.
    preprocessing, augmentation, batch_size, seed
        As for `ImageSource`.
    workers : int
        Threads that decode; MXNet uses at most half of the processors.

    Notes
    -----
    The iterator is made anew for every epoch, with seeds made of the run's seed and the epoch, and with
    ``seed_aug``: only so is the augmentation the same whatever thread decodes an image. MXNet then draws by an
    image's position in the batch, so within an epoch all batches share one set of draws.
    """

    def __init__(self, train, val, preprocessing, augmentation, batch_size, workers, seed, classes=None):
        if train is not None:
            check_batch_size(batch_size, len(train), str(train.rec))
        self.classes = _class_names(classes, [file for file in (train, val) if file is not None])
        self.train_count = len(train) if train is not None else 0
        self.val_count = len(val)
        self.batch_size = batch_size
        self.problems = Problems()
        self._train, self._val = train, val
        self._preprocessing, self._augmentation = preprocessing, augmentation
        self._workers, self._seed = workers, seed

    @property
    def train_batches(self):
        """Batches in one epoch; a last, partial one is left out."""
        return self.train_count // self.batch_size

    def train(self, epoch):
        """Batches of epoch `epoch`."""
        order_seed, draw_seed = np.random.SeedSequence((self._seed, epoch)).generate_state(2) >> 4  # MXNet takes int32
        options = self._train_options(int(draw_seed))
        batches = self._batches(self._train, shuffle=True, seed=int(order_seed), **options)
        return (batch for batch in batches if batch.count == self.batch_size)

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
        rows = min(self.batch_size, len(file))  # MXNet fails on a batch larger than the file
        iterator = mx.io.ImageRecordIter(
            path_imgrec=str(file.rec),
            path_imgidx=str(file.idx),
            data_shape=(3, size, size),
            batch_size=rows,
            dtype="uint8",
            inter_method=INTERPOLATION,
            preprocess_threads=max(1, self._workers),
            verbose=False,
            **options,
        )
        for batch in iterator:
            # The last batch is filled with records from the start; `pad` says how many.
            pixels, labels = batch.data[0], batch.label[0]
            if rows < self.batch_size:
                again = mx.nd.array(np.arange(self.batch_size) % rows)
                pixels, labels = pixels.take(again), labels.take(again)
            yield Batch(pixels, labels, rows - batch.pad)


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
    count = classes or (len(names) if names else int(max(file.labels().max() for file in files)) + 1)
    return names if names and len(names) == count else tuple(str(number) for number in range(count))


def _names_in_list(path):
    """Class names from the .lst file im2rec leaves beside the records: lines of number, label, class/file."""
    try:
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        names = {int(float(row[1])): pathlib.PurePath(row[-1]).parts[0] for row in rows}
    except (OSError, ValueError, IndexError):
        return None
    return tuple(names[label] for label in sorted(names)) if sorted(names) == list(range(len(names))) else None
