"""What is minimised: cross-entropy, smoothed, mixed, or distilled from a teacher."""

import dataclasses
import functools
import typing

import mxnet as mx
import numpy as np
from mxnet import gluon

__all__ = ["Objective"]

SMOOTHING = 0.1  # GluonCV's


@dataclasses.dataclass
class Objective:
    """The training loss of a batch.

    Attributes
    ----------
    classes : int
    label_smoothing : bool
        Right class 0.9 + 0.1 / classes, others 0.1 / classes (Szegedy et al. 2016).
    mixup_alpha : float
        Images and labels are mixed with those of the reversed batch, with a share drawn from Beta(α, α) for each
        step (Zhang et al. 2018); 0: not at all.
    mixup_steps : int
        Steps from this one on are not mixed.
    teacher : callable, optional
        ``teacher(pixels, mix)``: logits of a trained network for uint8 pixels, its own normalised input passed
        through `mix`.
    temperature, hard_weight : float
        Of distillation (Hinton et al. 2015): hard_weight · CE(labels) + (1 - hard_weight) · T² · CE(teacher at T).
    seed : int
    """

    classes: int
    label_smoothing: bool = False
    mixup_alpha: float = 0.0
    mixup_steps: int = 0
    teacher: typing.Optional[typing.Callable] = None
    temperature: float = 20.0
    hard_weight: float = 0.5
    seed: int = 0

    def __post_init__(self):
        sparse = not (self.label_smoothing or self.mixup_alpha)
        if self.teacher:
            from gluoncv.loss import DistillationSoftmaxCrossEntropyLoss

            self._loss = DistillationSoftmaxCrossEntropyLoss(self.temperature, self.hard_weight, sparse_label=sparse)
        else:
            self._loss = gluon.loss.SoftmaxCrossEntropyLoss(sparse_label=sparse)
        self._sparse = sparse

    def share(self, step):
        """How much of an image is its own at `step`, counted from 1: 1 without mixup."""
        if not self.mixup_alpha or step >= self.mixup_steps:
            return 1.0
        return float(np.random.default_rng((self.seed, step)).beta(self.mixup_alpha, self.mixup_alpha))

    def losses(self, net, preprocessing, pixels, labels, share, dtype="float32"):
        """Logits and losses of one device's part of a batch; to be called while autograd records.

        Parameters
        ----------
        net : HybridBlock
        preprocessing : Preprocessing
        pixels : NDArray (N, 3, h, w), uint8
        labels : NDArray (N,)
        share : float
            From `share`.
        dtype : str
            Of the network's input; losses are computed in float32.

        Returns
        -------
        logits : NDArray (N, classes)
        losses : NDArray (N,)
        """
        with mx.autograd.pause():
            mix = functools.partial(_mix, share=share)
            inputs = mix(preprocessing.normalize(pixels)).astype(dtype)
            targets = labels if self._sparse else self._soft_targets(labels, share)
            if self.teacher:
                soft = mx.nd.softmax(self.teacher(pixels, mix) / self.temperature)
        logits = net(inputs).astype("float32")
        return logits, self._loss(logits, targets, soft) if self.teacher else self._loss(logits, targets)

    def counted_labels(self, labels, share):
        """The labels training accuracy is counted by: those with the larger share."""
        return labels if share >= 0.5 else labels[::-1]

    def _soft_targets(self, labels, share):
        off = SMOOTHING / self.classes if self.label_smoothing else 0.0
        on = 1 - SMOOTHING + off if self.label_smoothing else 1.0
        return _mix(mx.nd.one_hot(labels, self.classes, on_value=on, off_value=off), share)


def _mix(array, share):
    """``share · array + (1 - share) · reversed array`` along the batch."""
    return array if share == 1 else share * array + (1 - share) * array[::-1]
