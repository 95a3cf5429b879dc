"""The training loss: cross-entropy, smoothed, mixed, or distilled from a teacher."""

from __future__ import annotations

import mxnet as mx
import numpy as np
from mxnet import gluon

from a2net_gluon import settings

__all__ = ["ClassificationLoss", "mix"]

SMOOTHING = 0.1  # GluonCV's


class ClassificationLoss:
    """The loss of a batch of logits.

    * Label smoothing: right class 0.9 + 0.1 / classes, others 0.1 / classes (Szegedy et al. 2016).
    * Mixup: inputs and labels are mixed with those of the reversed batch, by a ratio drawn from Beta(α, α) for each
      step (Zhang et al. 2018).
    * Distillation (Hinton et al. 2015): hard_weight · CE(labels) + (1 - hard_weight) · T² · CE(teacher at T).

    Parameters
    ----------
    classes : int
    options : settings.Loss
    mixup_steps : int
        Steps from this one on are not mixed.
    seed : int
        Of the mixing ratios.
    """

    def __init__(self, classes: int, options: settings.Loss | None = None, mixup_steps: int = 0, seed: int = 0) -> None:
        self.classes, self.options = classes, options or settings.Loss()
        self._mixup_steps, self._seed = mixup_steps, seed
        self._sparse = not (self.options.label_smoothing or self.options.mixup)
        if self.options.teacher:
            from gluoncv.loss import DistillationSoftmaxCrossEntropyLoss

            self._loss = DistillationSoftmaxCrossEntropyLoss(
                self.options.temperature, self.options.hard_weight, sparse_label=self._sparse
            )
        else:
            self._loss = gluon.loss.SoftmaxCrossEntropyLoss(sparse_label=self._sparse)

    def mixing_ratio(self, step: int) -> float:
        """The weight of a sample in its own mixture at `step`, counted from 1: 1 without mixup."""
        if not self.options.mixup or step >= self._mixup_steps:
            return 1.0
        alpha = self.options.mixup_alpha
        return float(np.random.default_rng((self._seed, step)).beta(alpha, alpha))

    def targets(self, labels: mx.nd.NDArray, ratio: float) -> mx.nd.NDArray:
        """Targets of the labels (N,): the labels themselves, or smoothed and mixed probabilities (N, classes)."""
        if self._sparse:
            return labels
        off = SMOOTHING / self.classes if self.options.label_smoothing else 0.0
        on = 1 - SMOOTHING + off if self.options.label_smoothing else 1.0
        return mix(mx.nd.one_hot(labels, self.classes, on_value=on, off_value=off), ratio)

    def soft_targets(self, logits: mx.nd.NDArray) -> mx.nd.NDArray:
        """A teacher's probabilities at the temperature of the distillation, from its logits (N, classes)."""
        return mx.nd.softmax(logits / self.options.temperature)

    def __call__(
        self, logits: mx.nd.NDArray, targets: mx.nd.NDArray, soft_targets: mx.nd.NDArray | None = None
    ) -> mx.nd.NDArray:
        """Losses (N,) of float32 logits (N, classes)."""
        return self._loss(logits, targets) if soft_targets is None else self._loss(logits, targets, soft_targets)

    @staticmethod
    def counted_labels(labels: mx.nd.NDArray, ratio: float) -> mx.nd.NDArray:
        """The labels that training accuracy is counted by: those with the larger weight in the mixture."""
        return labels if ratio >= 0.5 else labels[::-1]


def mix(array: mx.nd.NDArray, ratio: float) -> mx.nd.NDArray:
    """``ratio · array + (1 - ratio) · reversed array`` along the batch."""
    return array if ratio == 1 else ratio * array + (1 - ratio) * array[::-1]
