"""The training step and the passes over data: everything that touches devices."""

import dataclasses
import itertools
import typing

import mxnet as mx
from mxnet import autograd, gluon

from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.networks.fusion import can_fuse, fused
from a2net_gluon.training.averaging import WeightAverage
from a2net_gluon.training.progress import Meter
from a2net_gluon.training.scaling import LossScaler

__all__ = ["Learner", "Optimization", "check_count", "check_finite", "check_labels", "evaluate_batches", "split"]


@dataclasses.dataclass(frozen=True)
class Optimization:
    """How weights move: SGD with Nesterov momentum, and what is done to gradients before.

    Attributes
    ----------
    momentum, wd : float
    no_wd : bool
        No weight decay for biases and for BN's γ and β.
    clip_gradient : float, optional
        Limit of each value of a gradient, as MXNet's optimizers have it.
    accumulate : int
        Batches whose gradients are added up for one step.
    dtype : str
        "float16" computes in float16 with float32 master weights and dynamic loss scaling.
    skip_bad_steps : int
        How many steps in a row may be left out since a gradient is not finite; with 0 gradients are not looked at,
        which saves a wait in each step.
    ema : float, optional
        Decay of the running average of the weights.
    """

    momentum: float = 0.9
    wd: float = 1e-4
    no_wd: bool = False
    clip_gradient: typing.Optional[float] = None
    accumulate: int = 1
    dtype: str = "float32"
    skip_bad_steps: int = 0
    ema: typing.Optional[float] = None


class Learner:
    """A network with its optimizer, trained by data parallelism over contexts and processes.

    Parameters
    ----------
    make_net : callable
        Builds the network, initialised on the contexts; called twice, see `validate`.
    contexts : list of mxnet.Context
    preprocessing : Preprocessing
    objective : Objective
    optimization : Optimization
    exchange : Communicator, optional
        A job of one process unless given.
    scaler : LossScaler, optional
        That of the data type unless given.

    Attributes
    ----------
    bad_steps : int
        How many of the last steps in a row were left out.
    """

    def __init__(self, make_net, contexts, preprocessing, objective, optimization, exchange=None, scaler=None):
        self.contexts, self.preprocessing = contexts, preprocessing
        self.objective, self.optimization = objective, optimization
        self.exchange = exchange or Communicator("device" if len(contexts) > 1 else None)
        self.net, self._copy = make_net(), make_net()
        self._quick_net, self._quick_copy = self._quick(self.net), self._quick(self._copy)
        half = optimization.dtype == "float16"
        self.scaler = scaler or (LossScaler() if half else LossScaler(1.0, None))
        self._guarded = bool(half or scaler or optimization.skip_bad_steps)
        self.bad_steps = 0
        self.trainer = self.exchange.trainer(self._prepare_parameters(), "nag", self._optimizer_options())
        self.average = WeightAverage(self.net, optimization.ema) if optimization.ema else None

    def train_epoch(self, batches, progress, rate, first_step, on_step):
        """Train on `batches`, the rest of an epoch.

        Parameters
        ----------
        batches : iterable of Batch
        progress : Progress
            Of the epoch; goes on from where it stands.
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
        # oneDNN's BN writes the running statistics in the backward pass, and MXNet's engine does not know it: what
        # reads them before everything has finished may get those of the step before (seen with mxnet 1.9.1).
        mx.nd.waitall()
        progress.meter.result()
        check_finite(progress.meter)

    def validate(self, batches, average=False):
        """Measure the network on `batches`, every image once: the result of `evaluate_batches`.

        A copy is measured, with the parameters as a checkpoint has them; with `average` those of the running
        average. On the CPU, inference leaves a network's own weights in oneDNN's blocked layout, at a moment that
        depends on timing; training on from there is no longer reproducible (seen with mxnet 1.9.1).
        """
        trained = self.net._collect_params_with_prefix()
        for name, copied in self._copy._collect_params_with_prefix().items():
            # The mean over devices, as in save_parameters.
            array = self.average.arrays[name] if average else trained[name]._reduce()
            copied.set_data(array.astype(copied.dtype, copy=False))  # MXNet does not cast between devices
        dtype = self.optimization.dtype
        return evaluate_batches(
            self._quick_copy, batches, self.contexts, self.preprocessing, self.objective.classes, self.exchange, dtype
        )

    def share_running_statistics(self):
        """Give every process the mean of all processes' BN running statistics, so that all hold one network."""
        if self.exchange.size == 1:
            return
        own = self._running_statistics()
        means = [parameter._reduce().astype("float32") for parameter in own.values()]
        averages = [self.average.arrays[name] for name in own] if self.average else []
        self.exchange.average([*means, *averages])
        for parameter, mean in zip(own.values(), means):
            parameter.set_data(mean)

    def state(self):
        """What a checkpoint needs besides arrays, for JSON."""
        average = {"ema_steps": self.average.steps} if self.average else {}
        return {"loss_scale": self.scaler.state(), "bad_steps": self.bad_steps, **average}

    def _quick(self, net):
        """What computes the same as `net`, with the same parameters, in less time."""
        if self.contexts[0].device_type != "cpu" or not net._active or not can_fuse():
            return net  # not hybridized: --mode imperative runs operator by operator
        return fused(net)

    def _prepare_parameters(self):
        parameters = self.net.collect_params()
        if self.optimization.no_wd:
            for parameter in self.net.collect_params(".*beta|.*gamma|.*bias").values():
                parameter.wd_mult = 0.0
        if self.optimization.accumulate > 1:
            for parameter in self._trained():
                parameter.grad_req = "add"
        return parameters

    def _optimizer_options(self):
        options = {"momentum": self.optimization.momentum, "wd": self.optimization.wd}
        if self.optimization.clip_gradient:
            options["clip_gradient"] = self.optimization.clip_gradient
        if self.optimization.dtype == "float16":
            options["multi_precision"] = True
        return options

    def _running_statistics(self):
        """BN's, by the names that parameter files have."""
        parameters = self.net._collect_params_with_prefix()
        return {name: parameter for name, parameter in parameters.items() if "running" in name}

    def _trained(self):
        return [parameter for parameter in self.net.collect_params().values() if parameter.grad_req != "null"]

    def _step(self, group, step, progress):
        share = self.objective.share(step)
        kept = self._running_statistics().values() if self._guarded else ()
        before = [(array, array.copy()) for parameter in kept for array in parameter.list_data()]
        results = [self._backward(batch, share) for batch in group]
        self.trainer.set_learning_rate(progress.learning_rate)
        self.trainer.allreduce_grads()
        if self._accept_gradients(progress, step):
            images = sum(batch.count for batch in group) * self.exchange.size
            self.trainer.update(images * self.scaler.scale)
            if self.average:
                self.average.update()
            for batch, result in zip(group, results):
                progress.meter.add(*result, batch.count)
            check_finite(progress.meter)
        else:
            mx.nd.waitall()
            for array, copy in before:  # a bad batch has gone into them too
                array[:] = copy
        if self._guarded:
            self.scaler.update(finite=self.bad_steps == 0)
        if self.optimization.accumulate > 1:
            for parameter in self._trained():
                parameter.zero_grad()

    def _backward(self, batch, share):
        """Gradients of one batch; returns logits, losses and labels, lists with one NDArray per device."""
        check_labels(batch.labels, self.objective.classes)
        pixels, labels = (split(array, self.contexts) for array in (batch.pixels, batch.labels))
        dtype = self.optimization.dtype
        with autograd.record():
            results = [
                self.objective.losses(self._quick_net, self.preprocessing, *part, share, dtype)
                for part in zip(pixels, labels)
            ]
            scaled = [losses * self.scaler.scale if self._guarded else losses for _, losses in results]
        autograd.backward(scaled)
        logits, losses = zip(*results)
        return logits, losses, [self.objective.counted_labels(part, share) for part in labels]

    def _accept_gradients(self, progress, step):
        """Whether the step can be made; counts those that cannot. The same answer in every process."""
        if not self._guarded:
            return True
        finite = _all_finite([parameter.list_grad()[0] for parameter in self._trained()])
        self.bad_steps = 0 if finite else self.bad_steps + 1
        if finite:
            return True
        progress.skipped_steps += 1
        allowed = self.optimization.skip_bad_steps
        if self.scaler.exhausted or 0 < allowed < self.bad_steps:
            raise FailureError(
                f"gradients of {self.bad_steps} steps in a row, up to step {step}, are not finite: {_CURE}"
            )
        return False


_CURE = "lower --lr, lengthen --warmup-epochs, or look at the data"


def _all_finite(arrays):
    """Whether no value in `arrays` is NaN or infinite; waits for them."""
    groups = {}
    for array in arrays:  # with float16, BN's parameters stay in float32
        groups.setdefault(array.dtype, []).append(array)
    # The operator has room for 200 arrays and crashes with more (mxnet 1.9.1).
    parts = [same[start : start + 200] for same in groups.values() for start in range(0, len(same), 200)]
    return all(mx.nd.multi_all_finite(*part, num_arrays=len(part)).asscalar() == 1 for part in parts)


def evaluate_batches(net, batches, contexts, preprocessing, classes, exchange=None, dtype="float32"):
    """Measure `net` on `batches`, every image once; with an `exchange` over the images of all processes.

    Returns
    -------
    dict
        "loss", "top1", "top5" and "count", the number of images evaluated.
    """
    loss, meter = gluon.loss.SoftmaxCrossEntropyLoss(), Meter()
    for batch in batches:
        check_labels(batch.labels, classes)
        pixels, labels = (split(array, contexts) for array in (batch.pixels, batch.labels))
        logits = [net(preprocessing.normalize(part).astype(dtype)).astype("float32") for part in pixels]
        meter.add(logits, [loss(part, label) for part, label in zip(logits, labels)], labels, batch.count)
    total = Meter((exchange or Communicator()).sum(meter.sums()))
    return {**total.metrics, "count": int(total.count)}


def split(array, contexts):
    """Cut a batch into equal parts, one for each context."""
    return gluon.utils.split_and_load(array, contexts)


def check_labels(labels, classes):
    """Raise UsageError where a label has no output: MXNet's loss would silently take the nearest class."""
    labels = labels.asnumpy()
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise UsageError(f"the data have label {int(wrong[0])}, the network has {classes} classes: set --classes")


def check_count(measured):
    """Raise FailureError if no image could be read at all."""
    if not measured["count"]:
        raise FailureError("not a single image could be read: see the lines above, and check the data")


def check_finite(meter):
    """Raise FailureError if training has diverged."""
    if not meter.finite:
        raise FailureError(
            f"the training loss is not finite any more after {meter.count:,} images of the epoch: {_CURE}, "
            "or leave such steps out with --skip-bad-steps N"
        )
