"""Implementations of this project: MXNet, and ONNX Runtime on our exports. Run by `runner.Worker`."""

import a2net_gluon  # isort: skip  (prepares the process before anything imports mxnet)
import importlib.metadata
import itertools
import tempfile

import cv2
import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from a2net_gluon import settings
from a2net_gluon.blocks import DoubleAttention, NonLocal
from a2net_gluon.data.augmentation import AUGMENTATIONS
from a2net_gluon.data.folder import read_image
from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.deploy.forms import load_form
from a2net_gluon.mxnet_fixes import named_parameters
from a2net_gluon.networks.torch_weights import torch_name
from benchmarks import preparation, videos, worker


def make(task):
    """Build the implementation of a task, see `worker.serve`."""
    kinds = {
        "inference": inference,
        "training": training,
        "sgemm": sgemm,
        "input": reading,
        "epochs": epochs,
        "block": block,
        "row": table_row,
        "parameters": preparation.write_parameters,
        "photographs": preparation.write_photographs,
        "videos": videos.write_videos,
        "clips": videos.read_clips,
    }
    run, facts = kinds[task["kind"]](task)
    return run, {"version": f"mxnet {mx.__version__}", **facts}


def inference(task):
    """Logits of a batch: of the network as `get_model` makes it (form "hybrid"), or of a form of its export."""
    inputs = worker.images(task)
    if task["form"] == "hybrid":
        net, batch = preparation.load_network(task), mx.nd.array(inputs)
        net.hybridize(static_alloc=True, static_shape=True)
        forward = lambda: net(batch).asnumpy()  # noqa: E731
    else:
        run = load_form(task["export"], task["form"])
        forward = lambda: run(inputs)  # noqa: E731
    for _ in range(3):
        logits = forward()
    worker.save_answers(task, {"logits": logits})
    onnx = task["family"] == "onnxruntime"
    return forward, {"version": f"onnxruntime {importlib.metadata.version('onnxruntime')}"} if onnx else {}


def training(task):
    """A step of SGD with Nesterov momentum, as in the commands (form "hybrid"), or of a user's loop (form "loop").

    The loop has the network as `get_model` makes it, hybridized with the flags of GluonCV's scripts.
    """
    own = task["form"] == "loop"
    net = preparation.load_network(task, **({} if own else {"association": "auto"}))
    net.hybridize(static_alloc=True, static_shape=own)
    backward, run = _training_step(net, task)
    answers = {"loss": np.array(backward())}
    for name, parameter in named_parameters(net).items():
        if parameter.grad_req != "null":
            answers[torch_name(name)] = parameter.grad().asnumpy() / task["batch"]  # of the mean loss
    worker.save_answers(task, answers)
    run()
    return run, {}


def table_row(task):
    """A training step, or logits, of a row of the paper's tables, from random parameters."""
    worker.limit_memory(task["limit_gb"])
    sizes = {"input_size": task["size"], "input_frames": task["frames"], "classes": task["classes"]}
    blocks = {name: task[name] or None for name in ("context", "placement")}
    net = a2net_gluon.get_model(task["network"], association="auto", **blocks, **sizes)
    net.initialize(mx.init.MSRAPrelu())
    net.hybridize(static_alloc=True, static_shape=task["mode"] == "inference")
    inputs = mx.nd.array(worker.images(task))
    run = _training_step(net, task)[1] if task["mode"] == "training" else lambda: net(inputs).wait_to_read()
    run()
    return run, {}


def _training_step(net, task):
    """Return a function that computes loss and gradients, and one that makes a whole step."""
    options = {"learning_rate": worker.LEARNING_RATE, "momentum": worker.MOMENTUM, "wd": worker.WEIGHT_DECAY}
    trainer = gluon.Trainer(net.collect_params(), "nag", options, kvstore=None)
    criterion = gluon.loss.SoftmaxCrossEntropyLoss()
    images = worker.images(task)
    inputs, labels = mx.nd.array(images, dtype=images.dtype), mx.nd.array(worker.labels(task))

    def backward():
        with autograd.record():
            losses = criterion(net(inputs), labels)
        losses.backward()
        return losses.mean().asscalar()

    def run():
        backward()
        trainer.step(task["batch"])
        mx.nd.waitall()

    return backward, run


def sgemm(task):
    """A product of two large matrices, with MXNet or with NumPy."""
    a, b = worker.matrices(task)
    if task["form"] == "numpy":
        return lambda: a @ b, {"version": f"numpy {np.__version__}"}
    a, b = mx.nd.array(a), mx.nd.array(b)
    return lambda: mx.nd.dot(a, b).wait_to_read(), {}


def epochs(task):
    """Train as the commands do; the facts are of all epochs but the first, in which everything is set up."""
    folder = tempfile.mkdtemp(dir=task["folder"])
    schedule, optimization = settings.Schedule(warmup_epochs=0), settings.Optimization(lr=worker.LEARNING_RATE)
    more = {"epochs": task["epochs"], "optimization": optimization, "schedule": schedule, "save_dir": folder}
    rows = a2net_gluon.train(training_settings(task, **more)).history[1:]
    seconds = [1 / row["images_per_second"] for row in rows]  # of an image
    return (lambda: None), {"seconds": seconds, "data_wait": [row["data_wait"] for row in rows]}


def reading(task):
    """Take batches as training takes them: NDArrays (N, 3, h, w) of uint8 in the process that trains, and labels.

    Form "native" is MXNet's ImageRecordIter, the others are processes that read in Python. Epochs follow
    each other without a break, so that readers do not wait for the end of a turn.
    """
    from a2net_gluon.training.sources import open_source  # large: not in the memory of the others

    source = open_source(training_settings(task).resolved(), Preprocessing(size=task["size"]))
    epochs = itertools.chain.from_iterable(source.train(epoch) for epoch in itertools.count(1))
    run = worker.batch_taker((batch.pixels.wait_to_read() for batch in epochs), task["reads"])
    run()
    # MXNet's iterator draws its own numbers, and smaller records have other pixels. Tests of the package compare both.
    if task["form"] not in ("native", "smaller"):
        crops = worker.crops_to_compare(task, lambda path, size, rng: augment(read_image(path), size, rng))
        worker.save_answers(task, {"pixels": crops})
    return run, {"version": f"mxnet {mx.__version__}, OpenCV {cv2.__version__}"}


def training_settings(task, **more):
    """Return the settings of training on a task's data: the name of a class of `a2net_gluon.settings`, and fields."""
    fields = dict(task["data"])
    return settings.Training(
        data=getattr(settings, fields.pop("kind"))(**fields),
        network=settings.Network(task["network"]),
        input=settings.Input(size=task["size"]),
        batch_size=task["batch"],
        workers=task["workers"],
        augmentation="dpn",
        **more,
    )


def augment(image, size, rng):
    """Return a crop of an RGB image (h, w, 3) by the augmentation "dpn"."""
    augmentation = AUGMENTATIONS["dpn"]
    draws = augmentation.draw(rng, image.shape[1], image.shape[0])
    return augmentation.apply(image, draws, size)


def block(task):
    """Steps of one block on a map; the facts have the memory of the process before the first of them.

    That includes the input, the parameters and the arrays of the gradients. What is more at the peak is the block's.
    """
    # Threads, libraries and kernels, which a small map needs as well, are no memory of the block.
    _block_step({**task, "map": (2,) * len(task["map"])})()
    step = _block_step(task)
    worker.give_memory_back()
    worker.reset_peak()
    before = worker.peak_bytes()
    run = lambda: [step() for _ in range(task["steps"])]  # noqa: E731
    run()
    return run, {"before_mb": before / 1e6}


def _block_step(task):
    """Return a function that runs the block once, on its input."""
    channels, width, ndim = task["channels"], task["width"], len(task["map"])
    if task["form"] == "nl":
        net = NonLocal(channels, width, width, ndim=ndim)
    else:
        net = DoubleAttention(channels, width, width, ndim=ndim, association=task["form"])
    mx.random.seed(0)
    net.initialize(mx.init.MSRAPrelu())
    net.hybridize(static_alloc=True, static_shape=True)
    shape = (1, channels, *task["map"])
    x, head = mx.nd.random.normal(shape=shape), mx.nd.ones(shape)
    if task["mode"] == "training":
        x.attach_grad()  # as inside a network: the block computes the gradient of its input

    def infer():
        net(x)
        mx.nd.waitall()

    def train():
        with autograd.record():
            output = net(x)
        output.backward(head)
        mx.nd.waitall()

    mx.nd.waitall()
    return train if task["mode"] == "training" else infer


if __name__ == "__main__":
    worker.serve(make)
