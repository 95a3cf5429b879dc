"""The training step and the passes over data: everything that touches devices."""

import time

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from a2net_gluon.errors import FailureError, UsageError

__all__ = ["Learner", "Meter", "Progress", "check_finite", "check_labels", "evaluate_batches", "split"]


class Meter:
    """Loss, top-1 and top-5 accuracy of the images seen.

    Results are read one batch late: while Python waits for them, the devices already compute the next batch.
    """

    def __init__(self):
        self.count, self._loss, self._top1, self._top5 = 0, 0.0, 0, 0
        self._pending = None

    def add(self, logits, losses, labels, count):
        """Take the results of a batch: lists with one NDArray per device, of which the first `count` rows count."""
        previous, self._pending = self._pending, (logits, losses, labels, count)
        self._read(previous)

    def result(self):
        """The final `metrics`; waits for the last batch."""
        previous, self._pending = self._pending, None
        self._read(previous)
        return self.metrics

    @property
    def metrics(self):
        """``{"loss", "top1", "top5"}``, means over the images read so far (accuracies from 0 to 1)."""
        images = max(self.count, 1)
        return {"loss": self._loss / images, "top1": self._top1 / images, "top5": self._top5 / images}

    def _read(self, batch):
        if batch is None:
            return
        logits, losses, labels = (np.concatenate([part.asnumpy() for part in parts]) for parts in batch[:3])
        count = batch[3]
        rows, classes = np.arange(count), labels[:count].astype(int)
        # How many classes score at least as high as the right one. Ties and NaN count against the network: a
        # constant or broken output must not look like a good one.
        own = logits[rows, classes][:, np.newaxis]
        rank = np.sum(~(logits[:count] < own), axis=1)
        self.count += count
        self._loss += float(losses[:count].sum())
        self._top1 += int(np.sum(rank <= 1))
        self._top5 += int(np.sum(rank <= 5))


class Learner:
    """A network with its optimizer, trained by data parallelism over contexts.

    Parameters
    ----------
    make_net : callable
        Builds the network, uninitialised; called twice, see `validate`.
    contexts : list of mxnet.Context
    preprocessing : Preprocessing
    classes : int
    schedule : callable
        Learning rate of a step, counted from 1.
    momentum, wd : float
    """

    def __init__(self, make_net, contexts, preprocessing, classes, schedule, momentum, wd):
        self.contexts, self.preprocessing, self.classes = contexts, preprocessing, classes
        self.net, self._copy = (_prepare(make_net(), contexts) for _ in range(2))
        self._schedule = schedule
        self._loss = gluon.loss.SoftmaxCrossEntropyLoss()
        # Without a kvstore, several contexts would silently train apart. Updating on the devices keeps the
        # optimizer's state where it can be saved as plain arrays.
        self.trainer = gluon.Trainer(
            self.net.collect_params(),
            "nag",
            {"momentum": momentum, "wd": wd, "learning_rate": schedule(1)},
            kvstore="device" if len(contexts) > 1 else None,
            update_on_kvstore=False,
        )

    def train_epoch(self, batches, first_step, on_batch):
        """Train on `batches`; the first of them is step `first_step` of the run, counted from 1.

        `on_batch` is called after each batch with the epoch's `Progress`, which is also returned.
        """
        progress = Progress(Meter())
        for step, batch in enumerate(progress.watch(batches), start=first_step):
            if not batch.count:  # every image of it was unreadable
                continue
            check_labels(batch.labels, self.classes)
            progress.learning_rate = self._schedule(step)
            self.trainer.set_learning_rate(progress.learning_rate)
            pixels, labels = (split(array, self.contexts) for array in (batch.pixels, batch.labels))
            with autograd.record():
                logits = [self.net(self.preprocessing.normalize(part)) for part in pixels]
                losses = [self._loss(part, label) for part, label in zip(logits, labels)]
            autograd.backward(losses)
            self.trainer.step(batch.pixels.shape[0])
            progress.meter.add(logits, losses, labels, batch.pixels.shape[0])
            on_batch(progress)
        # oneDNN's BN writes the running statistics in the backward pass, and MXNet's engine does not know it: what
        # reads them before everything has finished may get those of the step before (seen with mxnet 1.9.1).
        mx.nd.waitall()
        progress.meter.result()
        check_count(progress.meter)
        return progress

    def validate(self, batches):
        """Measure the network on `batches`, every image once: the result of `evaluate_batches`.

        A copy is measured, with the parameters as a checkpoint has them. On the CPU, inference leaves a network's
        own weights in oneDNN's blocked layout, at a moment that depends on timing; training on from there is no
        longer reproducible (seen with mxnet 1.9.1).
        """
        trained = self.net.collect_params().values()
        for copied, parameter in zip(self._copy.collect_params().values(), trained):
            copied.set_data(parameter._reduce())  # the mean over devices, as in save_parameters
        return evaluate_batches(self._copy, batches, self.contexts, self.preprocessing, self.classes)


def _prepare(net, contexts):
    net.initialize(mx.init.MSRAPrelu(), ctx=contexts)
    net.hybridize(static_alloc=True, static_shape=True)
    return net


class Progress:
    """How an epoch goes: results, speed, and the share of time spent waiting for data."""

    def __init__(self, meter):
        self.meter = meter
        self.batches = self.images = 0
        self.learning_rate = None
        self._start = time.monotonic()
        self._waited = 0.0

    def watch(self, batches):
        """Yield `batches`, timing how long each was waited for."""
        batches = iter(batches)
        while True:
            asked = time.monotonic()
            batch = next(batches, None)
            self._waited += time.monotonic() - asked
            if batch is None:
                return
            self.batches += 1
            self.images += batch.count
            yield batch

    @property
    def images_per_second(self):
        """Mean speed since the start of the epoch."""
        return self.images / (time.monotonic() - self._start)

    @property
    def data_wait(self):
        """Share of the time, from 0 to 1, in which training waited for data."""
        return self._waited / (time.monotonic() - self._start)


def evaluate_batches(net, batches, contexts, preprocessing, classes):
    """Measure `net` on `batches`, every image once.

    Returns
    -------
    dict
        "loss", "top1", "top5" and "count", the number of images evaluated.
    """
    loss, meter = gluon.loss.SoftmaxCrossEntropyLoss(), Meter()
    for batch in batches:
        check_labels(batch.labels, classes)
        pixels, labels = (split(array, contexts) for array in (batch.pixels, batch.labels))
        logits = [net(preprocessing.normalize(part)) for part in pixels]
        meter.add(logits, [loss(part, label) for part, label in zip(logits, labels)], labels, batch.count)
    result = {**meter.result(), "count": meter.count}
    check_count(meter)
    return result


def split(array, contexts):
    """Cut a batch into equal parts, one for each context."""
    return gluon.utils.split_and_load(array, contexts)


def check_labels(labels, classes):
    """Raise UsageError where a label has no output: MXNet's loss would silently take the nearest class."""
    labels = labels.asnumpy()
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise UsageError(f"the data have label {int(wrong[0])}, the network has {classes} classes: set --classes")


def check_count(meter):
    """Raise FailureError if no image could be read at all."""
    if not meter.count:
        raise FailureError("not a single image could be read: see the lines above, and check the data")


def check_finite(loss, epoch):
    """Raise FailureError if training has diverged."""
    if not np.isfinite(loss):
        raise FailureError(f"the training loss is {loss} in epoch {epoch}: lower --lr, or add --warmup-epochs")
