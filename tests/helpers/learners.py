"""Small learners and batches, and their parameters."""

import mxnet as mx
import numpy as np

from a2net_gluon import get_model
from a2net_gluon.data import Batch, Preprocessing
from a2net_gluon.settings import Optimization
from a2net_gluon.training.learner import Learner
from a2net_gluon.training.loss import ClassificationLoss
from a2net_gluon.training.progress import Progress
from tests.helpers.twins import clips

CLASSES = 6
CPU = (mx.cpu(),)
FILE_NAMES = "_collect_params_with_prefix"


def make_batches(count=3, size=8, classes=CLASSES, valid=None, frames=()):
    rng = np.random.default_rng(0)
    pixels = [mx.nd.array(rng.integers(0, 256, (size, 3, *frames, 16, 16)), dtype="uint8") for _ in range(count)]
    return [Batch(one, mx.nd.array(rng.integers(0, classes, size)), valid or size) for one in pixels]


def make_learner(contexts=CPU, norm=None, scaler=None, communicator=None, loss=None, **optimization):
    mx.random.seed(0)

    def make_net():
        net = get_model("a2net_resnet20_small", classes=CLASSES, norm_kwargs=norm)
        net.initialize(mx.init.MSRAPrelu(), ctx=list(contexts))
        net.hybridize(static_alloc=True, static_shape=True)
        return net

    net, loss = make_net(), loss or ClassificationLoss(CLASSES)
    settings = Optimization(**{"wd": 1e-4, **optimization})
    return Learner(net, make_net(), contexts, Preprocessing(16), loss, settings, communicator, scaler=scaler)


def make_clip_learner(**optimization):
    """A learner for clips of any length; the first of the two units of a stage has kernels along time."""
    settings = Optimization(**{"wd": 1e-4, **optimization})
    nets = [clips(temporal=(3, 3, 1), classes=CLASSES) for _ in range(2)]
    for net in nets:
        net.hybridize(static_alloc=True, static_shape=True)
    return Learner(*nets, CPU, Preprocessing(16, frames=4), ClassificationLoss(CLASSES), settings)


def train(learner, batches, first_step=1, rate=0.1, on_step=lambda progress: None):
    """One epoch; returns its progress."""
    progress = Progress()
    learner.train_epoch(batches, progress, lambda step: rate, first_step, on_step)
    return progress


def parameters(net, named="collect_params"):
    return {name: parameter.data().asnumpy() for name, parameter in getattr(net, named)().items()}
