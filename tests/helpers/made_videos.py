"""Videos made in memory, which count what is read of them."""

import numpy as np

from a2net_gluon.data import Dataset, Sampling, VideoSamples
from a2net_gluon.data.decoding import DecodeError

CLASSES = ("a", "b", "c", "d", "e", "f", "g", "h")


class MadeVideo:
    """`length` random frames of `height` × `width` pixels; `reads` holds the frame numbers of each call."""

    def __init__(self, seed, length, height, width, damaged=False):
        self.frames = np.random.default_rng(seed).integers(0, 256, (length, height, width, 3), np.uint8)
        self.damaged, self.reads = damaged, []

    def length(self):
        return len(self.frames)

    def read(self, numbers):
        self.reads.append(numbers.tolist())
        if self.damaged:
            raise DecodeError("damaged")
        return self.frames[numbers]


def made_samples(sampling=Sampling(3, 2), count=9, damaged=()):  # noqa: B008  (immutable)
    """Videos of different lengths, wide, high and square ones, some of which are `damaged`."""
    sizes = [(20, 31), (33, 20), (24, 24), (18, 25)]
    videos = [MadeVideo(n, 3 + 4 * n, *sizes[n % 4], damaged=n in damaged) for n in range(count)]
    return VideoSamples([f"video {n}" for n in range(count)], [n % 5 for n in range(count)], videos, sampling)


def made_dataset(samples, training=None, split=None):
    """The samples as the validation part of a data set."""
    return Dataset("made videos", CLASSES, training, samples, split=split)


def plain_metrics(clip, video, labels):
    """Metrics of videos from the probabilities of their central view and the mean of their views, (N, classes)."""
    right = video.argmax(axis=1) == labels
    return {
        "clip_top1": np.mean(clip.argmax(axis=1) == labels),
        "video_top1": right.mean(),
        "video_top5": np.mean([label in np.argsort(-row)[:5] for row, label in zip(video, labels)]),
        "class_mean": np.mean([right[labels == label].mean() for label in {*labels.tolist()}]),
        "clip_loss": -np.log(clip[np.arange(len(labels)), labels]).mean(),
    }
