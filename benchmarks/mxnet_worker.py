"""Contenders of this project: MXNet and ONNX Runtime on our exports. Run by `benchmarks.speed`."""

import a2net_gluon  # noqa: F401  isort: skip  (prepares the process before anything imports mxnet)
import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from a2net_gluon.deploy.forms import load_form, onnx_session
from a2net_gluon.environment import thread_count
from a2net_gluon.networks.fusion import fused
from benchmarks import material, photographs, readers, worker


def make(task):
    """Build what a task asks for, see `worker.serve`."""
    kinds = {
        "inference": inference,
        "training": training,
        "sgemm": sgemm,
        "input": readers.reading,
        "material": material.prepare,
        "photographs": photographs.prepare,
    }
    run, facts = kinds[task["kind"]](task)
    return run, {"version": f"mxnet {mx.__version__}", **facts}


def inference(task):
    """Logits of a batch: from the hybridized network (form "hybrid"), or from a form of its export."""
    inputs = worker.images(task)
    forward = hybrid(task, inputs) if task["form"] == "hybrid" else exported(task, inputs)
    for _ in range(3):
        logits = forward()
    worker.save_answers(task, {"logits": logits})
    return forward, {} if task["family"] == "mxnet" else {"version": f"onnxruntime {_onnxruntime_version()}"}


def hybrid(task, inputs):
    """The network as `get_model` gives it, unless asked otherwise."""
    net, batch = material.network(task), mx.nd.array(inputs)
    net.hybridize(static_alloc=True, static_shape=True)
    return lambda: net(batch).asnumpy()


def exported(task, inputs):
    """A form of the export, run as everything in the project runs it; "whole" is ONNX Runtime as it comes."""
    if task["form"] == "whole":
        session = onnx_session(f"{task['export']}.onnx", thread_count())
        return lambda: session.run(None, {"data": inputs})[0]
    run = load_form(task["export"], task["form"])
    return lambda: run(inputs)


def _onnxruntime_version():
    import onnxruntime

    return onnxruntime.__version__


def training(task):
    """A step of SGD with Nesterov momentum, with the parts that a2net_gluon.training puts together."""
    contexts = [mx.cpu(number) for number in range(task["contexts"])]
    net = material.network(task, contexts, association="auto")  # as the commands do
    net.hybridize(static_alloc=True, static_shape=True)
    quick = fused(net) if task.get("dtype", "float32") == "float32" else net
    options = {"learning_rate": worker.LEARNING_RATE, "momentum": worker.MOMENTUM, "wd": worker.WEIGHT_DECAY}
    kvstore = "device" if len(contexts) > 1 else None
    trainer = gluon.Trainer(net.collect_params(), "nag", options, kvstore=kvstore, update_on_kvstore=False)
    criterion = gluon.loss.SoftmaxCrossEntropyLoss()
    images, labels = worker.images(task), worker.labels(task)
    arrays = mx.nd.array(images, dtype=images.dtype), mx.nd.array(labels)
    parts = list(zip(*(gluon.utils.split_and_load(array, contexts) for array in arrays)))

    def backward():
        with autograd.record():
            losses = [criterion(quick(inputs), labels) for inputs, labels in parts]
        autograd.backward(losses)
        return float(np.mean([part.mean().asscalar() for part in losses]))

    def run():
        backward()
        trainer.step(task["batch"])
        mx.nd.waitall()

    loss = backward()
    worker.save_answers(task, {"loss": np.array(loss), **_gradients(net, task["batch"])})
    run()
    return run, {}


def _gradients(net, batch):
    """Gradients of the mean loss, by our parameters' names."""
    parameters = net._collect_params_with_prefix().items()
    return {name: parameter.grad().asnumpy() / batch for name, parameter in parameters if parameter.grad_req != "null"}


def sgemm(task):
    """A product of two large matrices, with MXNet or with NumPy."""
    a, b = worker.matrices(task)
    if task["form"] == "numpy":
        return lambda: a @ b, {"version": f"numpy {np.__version__}"}
    a, b = mx.nd.array(a), mx.nd.array(b)
    return lambda: mx.nd.dot(a, b).wait_to_read(), {}


if __name__ == "__main__":
    worker.serve(make)
