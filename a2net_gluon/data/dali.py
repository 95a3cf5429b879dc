"""Batches of image files and records that NVIDIA DALI decodes and crops, on GPUs or with threads (``--reader dali``).

Which image comes when, and the random numbers of its crop, are those of `SampleSource`: an epoch can go on in its
middle. The pixels are DALI's own: it interpolates otherwise than OpenCV. It has no hue, lightness and saturation, so
that augmentations with a jitter of colours are refused. JPEGs that all decoders decode alike are handed over as they
are; everything else is decoded here, or skipped, since DALI ends a whole batch for one image that it cannot decode.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import math
import typing

import cv2
import mxnet as mx
import numpy as np

from a2net_gluon.data.augmentation import Augmentation
from a2net_gluon.data.decoding import decode, plain_jpeg_size
from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.data.samples import (
    Batch,
    Dataset,
    ImageSamples,
    OnSkip,
    Samples,
    Shard,
)
from a2net_gluon.data.source import DatasetSource, EpochSampler, read_or_next
from a2net_gluon.errors import FailureError, UsageError, reason_of

__all__ = ["DaliSource"]

_AHEAD = 2  # batches that are decoded while one is trained on


@dataclasses.dataclass(frozen=True)
class _Image:
    """An image for DALI: its bytes, the box of whole pixels to decode, and the region within it that is resized."""

    number: int
    label: int
    content: np.ndarray
    box: tuple[int, int, int, int]  # left, top, width, height
    region: tuple[float, float, float, float]  # in pixels of the box: left, top, right, bottom
    mirrored: bool


class _Read(typing.NamedTuple):
    """An image, None if it cannot be read; problems of it and of those tried before it."""

    image: _Image | None
    skipped: typing.Mapping[str, str]
    enlarged: typing.Sequence[str] = ()


class _Decoded(typing.NamedTuple):
    """A batch as it was read, the images in it, and their pixels (N, 3, h, w); None if there is no image."""

    read: typing.Sequence[_Read]
    images: typing.Sequence[_Image]
    pixels: np.ndarray | None


class DaliSource(DatasetSource):
    """Training and validation batches of a `Dataset` of image files or records, decoded by DALI.

    Parameters
    ----------
    dataset, preprocessing, augmentation, batch_size, seed, on_skip, shard
        As for `SampleSource`.
    workers : int
        Threads that read files, and those that decode where there is no GPU.
    gpus : sequence of int
        Numbers of the GPUs that decode, each an equal part of a batch; none: the CPU does.

    Raises
    ------
    UsageError
        If DALI is not installed, or `augmentation` has a jitter of colours.
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        batch_size: int,
        workers: int,
        seed: int,
        on_skip: OnSkip | None = None,
        shard: Shard = Shard(),  # noqa: B008  (immutable)
        gpus: typing.Sequence[int] = (),
    ) -> None:
        _check_installed()
        if augmentation is not None and (augmentation.hue or augmentation.saturation or augmentation.lightness):
            raise UsageError("--reader dali has no jitter of colours: choose another --augmentation, e.g. small")
        super().__init__(dataset, batch_size, on_skip, shard)
        self._preprocessing, self._augmentation, self._seed = preprocessing, augmentation, seed
        self._devices: typing.Sequence[int | None] = tuple(gpus) or (None,)
        self._threads = max(1, workers)
        self._pool = concurrent.futures.ThreadPoolExecutor(self._threads)

    def train(self, epoch: int, first: int = 0) -> typing.Iterator[Batch]:
        """Batches of epoch `epoch` from batch `first` on, counted from 0; no earlier one is decoded."""
        assert self._dataset.training is not None  # callers that train open the source for training
        return self._batches(self._dataset.training, self._augmentation, self._seed, epoch, first)

    def validation(self) -> typing.Iterator[Batch]:
        """Every validation image of this process once, in order."""
        return self._batches(self._dataset.validation, None, None)

    def close(self) -> None:
        """End the threads that read; the source cannot be used any more."""
        self._pool.shutdown(wait=False)

    def _batches(
        self,
        samples: Samples,
        augmentation: Augmentation | None,
        seed: int | None,
        epoch: int = 0,
        first: int = 0,
    ) -> typing.Iterator[Batch]:
        sampler = EpochSampler(samples, self.batch_size, seed, self._shard)
        sampler.epoch, sampler.first = epoch, first
        reader = _Reader(typing.cast(ImageSamples, samples), self._preprocessing, augmentation, seed)
        rows = self.batch_size // len(self._devices)
        pipelines = [_pipeline(device, rows, self._threads, self._preprocessing.size) for device in self._devices]
        with concurrent.futures.ThreadPoolExecutor(1) as ahead:  # one batch after the other, beside the training
            running: collections.deque[concurrent.futures.Future[_Decoded]] = collections.deque()
            for keys in sampler:
                running.append(ahead.submit(self._decode, pipelines, reader, keys))
                if len(running) > _AHEAD:
                    yield from self._batch(running.popleft().result())
            while running:
                yield from self._batch(running.popleft().result())

    def _decode(
        self, pipelines: typing.Sequence[typing.Any], reader: _Reader, keys: typing.Sequence[tuple[int, int]]
    ) -> _Decoded:
        """Read and decode a batch, which repetitions fill."""
        read = list(self._pool.map(reader.read, keys))
        images = [one.image for one in read if one.image is not None]
        if not images:
            return _Decoded(read, images, None)
        rows = self.batch_size // len(pipelines)
        filled = [images[row % len(images)] for row in range(self.batch_size)]
        try:
            for number, pipeline in enumerate(pipelines):
                _feed(pipeline, filled[number * rows : (number + 1) * rows])
            return _Decoded(read, images, np.concatenate([_result(pipeline) for pipeline in pipelines]))
        except RuntimeError as error:
            reason = next((line for line in str(error).splitlines() if "rror" in line), reason_of(error))
            raise FailureError(
                f"DALI cannot decode one of the images {', '.join(str(image.number) for image in images[:3])} …: "
                f"leave --reader dali out, so that it is skipped ({reason})"
            ) from None

    def _batch(self, decoded: _Decoded) -> typing.Iterator[Batch]:
        """The batch, if there is any image; adds problems, and tells of images that are skipped for the first time."""
        for _, skipped, enlarged in decoded.read:
            self._note(skipped, enlarged)
        images = decoded.images
        if decoded.pixels is None:
            return
        labels = np.array([images[row % len(images)].label for row in range(self.batch_size)], np.float32)
        numbers = tuple(image.number for image in images)
        yield Batch(mx.nd.array(decoded.pixels, dtype=np.uint8), mx.nd.array(labels), len(numbers), numbers)


class _Reader:
    """Reads an image, or in training the next one that can be read, and draws its crop, as `SampleSource` does."""

    def __init__(
        self,
        samples: ImageSamples,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        seed: int | None,
    ) -> None:
        assert samples.content is not None  # of files and records
        self._samples, self._content, self._preprocessing = samples, samples.content, preprocessing
        self._augmentation, self._seed = augmentation, seed

    def read(self, key: tuple[int, int]) -> _Read:
        """The image of an epoch and a number; in training, the next one that can be read."""
        number, read, skipped = read_or_next(self._samples, key, self._seed, self._read)
        image, enlarged = read or (None, False)
        return _Read(image, skipped, [self._samples.names[number]] if enlarged else [])

    def _read(self, number: int, rng: np.random.Generator | None) -> tuple[_Image, bool]:
        """An image, and whether it is smaller than the input."""
        content = self._content(number)
        size = plain_jpeg_size(content)
        if size is None:
            pixels = decode(content)
            size, content = (pixels.shape[1], pixels.shape[0]), _as_bmp(pixels)
        if self._augmentation is not None and rng is not None:
            box, mirrored, _ = self._augmentation.draw(rng, *size)
            region = (0.0, 0.0, float(box[2]), float(box[3]))
        else:
            (box, region), mirrored = _centre(self._preprocessing, *size), False
        label = int(self._samples.labels[number])
        image = _Image(number, label, np.frombuffer(content, np.uint8), box, region, mirrored)
        return image, min(size) < self._preprocessing.size


def _as_bmp(pixels: np.ndarray) -> bytes:
    """An image as a file that needs no decoding, without loss."""
    return cv2.imencode(".bmp", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


def _centre(
    preprocessing: Preprocessing, width: int, height: int
) -> tuple[tuple[int, int, int, int], tuple[float, float, float, float]]:
    """The box of whole pixels that has `Preprocessing.centre_region`, and this region within the box.

    The box has two more pixels at each edge, from which bicubic interpolation takes values.
    """
    left, top, right, bottom = preprocessing.centre_region(width, height)
    x, y = max(math.floor(left) - 2, 0), max(math.floor(top) - 2, 0)
    box = (x, y, min(math.ceil(right) + 2, width) - x, min(math.ceil(bottom) + 2, height) - y)
    return box, (left - x, top - y, right - x, bottom - y)


def _check_installed() -> None:
    try:
        import nvidia.dali  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--reader dali needs DALI ({reason_of(error)}): pip install nvidia-dali-cuda110==1.34.0"
        ) from None


def _pipeline(device: int | None, rows: int, threads: int, size: int) -> typing.Any:
    """A DALI pipeline of `rows` images a batch: encoded images and their crops become (3, size, size) of uint8."""
    from nvidia.dali import fn, types
    from nvidia.dali.pipeline import Pipeline

    pipeline = Pipeline(rows, threads, device, prefetch_queue_depth=1)
    with pipeline:
        content, start, shape, low, high, mirrored = (fn.external_source(name=name) for name in _INPUTS)
        images = fn.decoders.image_slice(
            content,
            start=start,
            shape=shape,
            device="cpu" if device is None else "mixed",
            output_type=types.RGB,
            jpeg_fancy_upsampling=True,
        )
        images = fn.resize(
            images, size=(size, size), roi_start=low, roi_end=high, interp_type=types.INTERP_CUBIC, antialias=False
        )
        pipeline.set_outputs(fn.transpose(fn.flip(images, horizontal=mirrored), perm=[2, 0, 1]))
    pipeline.build()
    return pipeline


_INPUTS = ("content", "start", "shape", "low", "high", "mirrored")


def _feed(pipeline: typing.Any, images: typing.Sequence[_Image]) -> None:
    """Begin to decode a batch."""
    boxes = np.array([image.box for image in images], np.int32)
    regions = np.array([image.region for image in images], np.float32)
    values = ([image.content for image in images], boxes[:, :2], boxes[:, 2:], regions[:, 1::-1], regions[:, :1:-1])
    mirrored = np.array([image.mirrored for image in images], np.int32)
    for name, value in zip(_INPUTS, (*values, mirrored)):
        pipeline.feed_input(name, value if isinstance(value, list) else np.ascontiguousarray(value))
    pipeline.schedule_run()


def _result(pipeline: typing.Any) -> np.ndarray:
    """Wait for the batch that was fed; returns its pixels (N, 3, h, w)."""
    (output,) = pipeline.share_outputs()
    pixels = np.array((output.as_cpu() if hasattr(output, "as_cpu") else output).as_array())
    pipeline.release_outputs()
    return pixels
