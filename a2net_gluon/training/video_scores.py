"""Accuracy of clips and of videos, from one pass over the views of all videos."""

from __future__ import annotations

import typing

import numpy as np

from a2net_gluon.data import ViewSamples
from a2net_gluon.training.metrics import Column, ranks

__all__ = ["OnVideo", "VideoScores"]

# Called with the number of a video and the probabilities of its views, (views, classes) of float64.
OnVideo = typing.Callable[[int, np.ndarray], object]


class VideoScores:
    """Results of videos, each of which counts once all its views have been seen.

    The scores of a video are the mean of its views' probabilities, in float64. Only the views of one video are kept.

    Parameters
    ----------
    samples : ViewSamples
    classes : int
    on_video : callable
        Called when the last view of a video has been seen, in the order of the videos.
    on_incomplete : callable
        Called with name and reason of each video of which some views are missing.
    """

    columns: typing.ClassVar[tuple[Column, ...]] = (
        Column("clip_top1", "clip@1", fraction=True),
        Column("video_top1", "video@1", fraction=True),
        Column("video_top5", "video@5", fraction=True),
        Column("class_mean", "mean of classes", fraction=True),
        Column("clip_loss", "loss of clips", fraction=False),
    )

    def __init__(
        self,
        samples: ViewSamples,
        classes: int,
        on_video: OnVideo,
        on_incomplete: typing.Callable[[str, str], object],
    ) -> None:
        self._samples, self._on_video, self._on_incomplete = samples, on_video, on_incomplete
        self._counts = np.array([row.counts for row in samples.rows])
        self._central = next(number for number, row in enumerate(samples.rows) if samples.views.is_central(row))
        self._last = -1
        self._logits: list[np.ndarray] = []  # of the video that the last view is of
        self._incomplete = self._clip_top1 = self._top5 = 0
        self._clip_loss = 0.0
        self._top1, self._videos = np.zeros(classes), np.zeros(classes)  # by class

    def add(self, logits: np.ndarray, numbers: typing.Sequence[int]) -> None:
        """Add views.

        Parameters
        ----------
        logits : ndarray (N, classes)
        numbers : sequence of int
            Numbers of the N views in the samples, ascending from one call to the next.
        """
        each = len(self._samples.rows)
        for row, number in zip(logits, numbers):
            if number <= self._last:
                raise ValueError(f"view {number} came after view {self._last}")
            if number // each != self._last // each:
                self._end_video()
            self._last = number
            self._logits.append(row)

    def sums(self) -> tuple[float, ...]:
        """Numbers that can be added over processes, and that `results` takes; no view may be added afterwards."""
        self._end_video()
        return (self._incomplete, self._clip_top1, self._top5, self._clip_loss, *self._top1, *self._videos)

    @classmethod
    def results(cls, sums: typing.Sequence[float]) -> tuple[dict[str, float], int, int]:
        """Metrics by the names of the columns, the number of videos that they are of, and that of incomplete ones.

        The mean of classes is over those that have a video.
        """
        incomplete, clip_top1, top5, clip_loss, *by_class = sums
        top1, videos = np.split(np.array(by_class), 2)
        there, count = videos > 0, int(videos.sum())
        class_mean = np.mean(top1[there] / videos[there]) if count else 0.0
        means = [total / max(count, 1) for total in (clip_top1, top1.sum(), top5, clip_loss)]
        values = (*means[:3], class_mean, means[3])
        metrics = {column.name: float(value) for column, value in zip(cls.columns, values)}
        return metrics, count, int(incomplete)

    def _end_video(self) -> None:
        logits, self._logits = self._logits, []
        each, number = len(self._samples.rows), self._last // len(self._samples.rows)
        if not logits:
            return
        if len(logits) < each:
            self._incomplete += 1
            reason = f"only {len(logits)} of {each} views could be read: it does not count"
            self._on_incomplete(self._samples.videos.names[number], reason)
            return
        self._count(np.stack(logits), int(self._samples.videos.labels[number]), number)

    def _count(self, logits: np.ndarray, label: int, number: int) -> None:
        logarithms = _log_softmax(logits)
        probabilities = np.exp(logarithms)
        mean = probabilities[self._counts].mean(axis=0)
        clip_rank, video_rank = ranks(np.stack([logits[self._central], mean]), np.array([label, label]))
        self._videos[label] += 1
        self._clip_top1 += int(clip_rank <= 1)
        self._clip_loss -= float(logarithms[self._central, label])
        self._top1[label] += video_rank <= 1
        self._top5 += int(video_rank <= 5)
        self._on_video(number, probabilities)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities, over the last axis, in float64; not finite where a logit is not."""
    with np.errstate(invalid="ignore"):
        shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
