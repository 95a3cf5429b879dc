"""The training step: forward and backward pass, gradients, optimizer."""

from __future__ import annotations

import itertools
import typing

import mxnet as mx
from mxnet import autograd, gluon

from a2net_gluon import mxnet_fixes
from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.data.samples import Batch
from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.errors import FailureError
from a2net_gluon.networks.trained import TrainedNetwork
from a2net_gluon.settings import Optimization
from a2net_gluon.training.averaging import WeightAverage
from a2net_gluon.training.batches import Contexts, check_labels, split
from a2net_gluon.training.loss import ClassificationLoss, mix
from a2net_gluon.training.metrics import ClassificationMeter, Meter
from a2net_gluon.training.multipliers import set_multipliers
from a2net_gluon.training.precise_bn import BatchStatistics
from a2net_gluon.training.progress import Progress
from a2net_gluon.training.scaling import LossScaler
from a2net_gluon.training.schedules import Rate
from a2net_gluon.training.validation import Measured, evaluate_batches

__all__ = ["Learner", "check_finite", "evaluate_batches"]


class Learner:
    """A network with its optimizer, trained by data parallelism over contexts and processes.

    Parameters
    ----------
    net : HybridBlock
        Initialized on the contexts.
    validation_net : HybridBlock
        A second network of the same kind, initialized on the contexts; `validate` fills it.
    contexts : list of mxnet.Context
    preprocessing : Preprocessing
    loss : ClassificationLoss
    optimization : settings.Optimization
    communicator : Communicator, optional
        Default: a job of one process.
    teacher : TrainedNetwork, optional
        The network to distil from, with preprocessing of its own.
    scaler : LossScaler, optional
        Default: the one for the data type.

    Attributes
    ----------
    bad_steps : int
        Number of the last consecutive steps that were skipped.
    meter : type
        Class of the `Meter` that measures training and validation.
    """

    meter: typing.ClassVar[type[Meter]] = ClassificationMeter

    def __init__(
        self,
        net: gluon.HybridBlock,
        validation_net: gluon.HybridBlock,
        contexts: Contexts,
        preprocessing: Preprocessing,
        loss: ClassificationLoss,
        optimization: Optimization,
        communicator: Communicator | None = None,
        teacher: TrainedNetwork | None = None,
        scaler: LossScaler | None = None,
    ) -> None:
        if bool(teacher) != bool(loss.options.teacher):
            raise ValueError("the loss distils from a teacher if, and only if, the learner has one")
        self.contexts, self.preprocessing = list(contexts), preprocessing
        self.loss, self.optimization, self.teacher = loss, optimization, teacher
        self.communicator = communicator or Communicator("device" if len(contexts) > 1 else None)
        self.net, self._copy = net, validation_net
        half = optimization.dtype == "float16"
        self.scaler = scaler or (LossScaler() if half else LossScaler(1.0, None))
        self._guarded = bool(half or scaler or optimization.skip_bad_steps)
        self.bad_steps = 0
        self.trainer = self.communicator.trainer(self._prepare_parameters(), "nag", self._optimizer_options())
        self.average = WeightAverage(net, optimization.ema) if optimization.ema else None

    def train_epoch(
        self,
        batches: typing.Iterable[Batch],
        progress: Progress,
        rate: Rate,
        first_step: int,
        on_step: typing.Callable[[Progress], object],
    ) -> None:
        """Train on `batches`, the rest of an epoch.

        Parameters
        ----------
        batches : iterable of Batch
        progress : Progress
            Of the epoch, which resumes at its place.
        rate : callable
            Learning rate of a step.
        first_step : int
            Number of the epoch's first step in the run, counted from 1.
        on_step : callable
            Called with the progress after each step; a true value ends the epoch there.

        Raises
        ------
        FailureError
            If training diverges.
        """
        batches = progress.watch(batches)
        while True:
            step = first_step + progress.batches // self.optimization.accumulate
            group = list(itertools.islice(batches, self.optimization.accumulate))
            if len(group) < self.optimization.accumulate:  # the end, or a signal in the middle of a step
                progress.take_back(group)
                break
            progress.learning_rate = rate(step)
            self._step(group, step, progress)
            if on_step(progress):
                break
        mxnet_fixes.wait_for_running_statistics()
        progress.meter.sums()
        check_finite(progress.meter)

    def validate(self, batches: typing.Iterable[Batch], average: bool = False) -> Measured:
        """Evaluate the network on `batches`, every sample once: the result of `evaluate_batches`.

        A copy is evaluated, with the parameters of a checkpoint; with `average` those of the running
        average. On the CPU, inference leaves a network's own weights in oneDNN's blocked layout, at a moment that
        depends on timing; training is no longer reproducible from there (seen with mxnet 1.9.1).
        """
        self._fill_copy(average)
        return evaluate_batches(
            self._copy,
            batches,
            self.contexts,
            self.preprocessing,
            self.loss.classes,
            self.communicator,
            self.optimization.dtype,
            self.meter,
        )

    def measure_running_statistics(self, batches: typing.Iterable[Batch], average: bool = False) -> None:
        """Replace the running statistics of BN by those of `batches`, see `a2net_gluon.training.precise_bn`.

        They are measured on the copy that `validate` evaluates, without mixup. Training itself does not use running
        statistics, so its weights stay a function of the batches it has seen.

        Parameters
        ----------
        batches : iterable of Batch
            Of this process; without one, nothing is changed.
        average : bool
            For the running average of the weights instead.
        """
        self._fill_copy(average)
        measured = BatchStatistics(self._copy).measure(
            batches, self.contexts, self.preprocessing, self.communicator, self.optimization.dtype
        )
        copied = mxnet_fixes.named_parameters(self._copy)
        for name, parameter in self._running_statistics().items() if measured else ():
            value = measured[copied[name].name]
            if average and self.average:
                value.copyto(self.average.arrays[name])
            else:
                parameter.set_data(value)

    def average_running_statistics(self) -> None:
        """Give every process the mean of all processes' BN running statistics, so that all hold one network."""
        if self.communicator.size == 1:
            return
        own = self._running_statistics()
        means = [mxnet_fixes.mean_over_devices(parameter).astype("float32") for parameter in own.values()]
        averages = [self.average.arrays[name] for name in own] if self.average else []
        self.communicator.average([*means, *averages])
        for parameter, mean in zip(own.values(), means):
            parameter.set_data(mean)

    def _fill_copy(self, average: bool) -> None:
        """Give the copy the parameters of a checkpoint, or with `average` those of the running average."""
        trained = mxnet_fixes.named_parameters(self.net)
        for name, copied in mxnet_fixes.named_parameters(self._copy).items():
            if average and self.average:
                array = self.average.arrays[name]
            else:
                array = mxnet_fixes.mean_over_devices(trained[name])
            mxnet_fixes.replace_values(copied, array)

    def _prepare_parameters(self) -> gluon.ParameterDict:
        set_multipliers(self.net, self.optimization)
        if self.optimization.accumulate > 1:
            for parameter in self._trained():
                parameter.grad_req = "add"
        return self.net.collect_params()

    def _optimizer_options(self) -> dict[str, typing.Any]:
        options: dict[str, typing.Any] = {"momentum": self.optimization.momentum, "wd": self.optimization.wd}
        if self.optimization.clip_gradient:
            options["clip_gradient"] = self.optimization.clip_gradient
        if self.optimization.dtype == "float16":
            options["multi_precision"] = True
        return options

    def _running_statistics(self) -> dict[str, gluon.Parameter]:
        """The running statistics of BN, by the names of parameter files."""
        parameters = mxnet_fixes.named_parameters(self.net)
        return {name: parameter for name, parameter in parameters.items() if "running" in name}

    def _trained(self) -> list[gluon.Parameter]:
        return [parameter for parameter in self.net.collect_params().values() if parameter.grad_req != "null"]

    def _step(self, group: typing.Sequence[Batch], step: int, progress: Progress) -> None:
        ratio = self.loss.mixing_ratio(step)
        kept = self._running_statistics().values() if self._guarded else ()
        before = [(array, array.copy()) for parameter in kept for array in parameter.list_data()]
        results = [self._backward(batch, ratio) for batch in group]
        self.trainer.set_learning_rate(progress.learning_rate)
        self.trainer.allreduce_grads()
        if self._accept_gradients(progress, step):
            images = sum(batch.count for batch in group) * self.communicator.size
            self.trainer.update(images * self.scaler.scale)
            if self.average:
                self.average.update()
            for batch, result in zip(group, results):
                progress.meter.add(*result, batch.count)
            check_finite(progress.meter)
        else:
            mxnet_fixes.wait_for_running_statistics()
            for array, copy in before:  # the skipped batches have changed them
                array[:] = copy
        if self._guarded:
            self.scaler.update(finite=self.bad_steps == 0)
        if self.optimization.accumulate > 1:
            for parameter in self._trained():
                parameter.zero_grad()

    def _backward(self, batch: Batch, ratio: float) -> tuple[typing.Any, typing.Any, typing.Any]:
        """Gradients of one batch; returns logits, losses and labels, lists with one NDArray per device."""
        check_labels(batch.labels, self.loss.classes)
        pixels, labels = (split(array, self.contexts) for array in (batch.pixels, batch.labels))
        with autograd.record():
            results = [self._forward(*part, ratio) for part in zip(pixels, labels)]
            scaled = [losses * self.scaler.scale if self._guarded else losses for _, losses in results]
        autograd.backward(scaled)
        logits, losses = zip(*results)
        return logits, losses, [self.loss.counted_labels(part, ratio) for part in labels]

    def _forward(
        self, pixels: mx.nd.NDArray, labels: mx.nd.NDArray, ratio: float
    ) -> tuple[mx.nd.NDArray, mx.nd.NDArray]:
        """Logits and losses of one device's part of a batch, in float32; to be called while autograd records."""
        soft_targets = None
        with autograd.pause():
            inputs = mix(self.preprocessing.normalize(pixels), ratio).astype(self.optimization.dtype)
            targets = self.loss.targets(labels, ratio)
            if self.teacher:
                taught = self.teacher.description.preprocessing.normalize(pixels)
                soft_targets = self.loss.soft_targets(self.teacher.net(mix(taught, ratio)))
        logits = self.net(inputs).astype("float32")
        return logits, self.loss(logits, targets, soft_targets)

    def _accept_gradients(self, progress: Progress, step: int) -> bool:
        """Return whether the step can be made, the same in every process; count the steps that cannot."""
        if not self._guarded:
            return True
        finite = mxnet_fixes.all_finite([parameter.list_grad()[0] for parameter in self._trained()])
        self.bad_steps = 0 if finite else self.bad_steps + 1
        if finite:
            return True
        progress.skipped_steps += 1
        allowed = self.optimization.skip_bad_steps
        if self.scaler.exhausted or 0 < allowed < self.bad_steps:
            raise FailureError(
                f"gradients of {self.bad_steps} consecutive steps, up to step {step}, are not finite: {_CURE}"
            )
        return False


_CURE = "lower --lr, lengthen --warmup-epochs, or check the data"


def check_finite(meter: Meter) -> None:
    """Raise FailureError if training has diverged."""
    if not meter.finite:
        raise FailureError(
            f"the training loss is not finite any more after {meter.count:,} samples of the epoch: {_CURE}, "
            "or skip such steps with --skip-bad-steps N"
        )
