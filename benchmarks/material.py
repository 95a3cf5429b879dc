"""What all contenders of a benchmark share: parameters, and the exports of the network that has them."""

import mxnet as mx
import numpy as np
from mxnet import autograd

import a2net_gluon
from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.deploy.exporting import export_network
from a2net_gluon.deploy.forms import exported_files
from a2net_gluon.deploy.quantization import write_int8
from a2net_gluon.networks.description import Description
from benchmarks import worker

CALIBRATION = 16


def prepare(task):
    """Write the parameters, and if an export is asked for, its forms; tells what the network costs.

    The parameters are random, those at which training starts; BN has the statistics of a batch, so that activations
    are as large as in a trained network.
    """
    mx.random.seed(0)
    np.random.seed(0)  # MXNet's initializers draw from both
    net = _settled(task)
    parameters = net._collect_params_with_prefix()
    np.savez(task["weights"], **{name: parameter.data().asnumpy() for name, parameter in parameters.items()})
    if task["export"]:
        _export(task)
    counted = a2net_gluon.cost(_build(task, association="auto"), (3, task["size"], task["size"]))
    return (lambda: None), {"macs": counted.macs, "params": counted.params}


def network(task, contexts=None, **kwargs):
    """Our network of a task, with the shared parameters; `kwargs` are further options of `get_model`."""
    net = _build(task, **kwargs)
    net.initialize(mx.init.Zero(), ctx=contexts or mx.cpu())
    with np.load(task["weights"]) as file:
        for name, parameter in net._collect_params_with_prefix().items():
            parameter.set_data(mx.nd.array(file[name]))
    if task.get("dtype"):
        net.cast(task["dtype"])
    return net


def _build(task, **kwargs):
    return a2net_gluon.get_model(task["network"], placement=task["placement"], input_size=task["size"], **kwargs)


def _settled(task):
    """A new network whose running statistics are those of one batch."""
    net = _build(task, norm_kwargs={"momentum": 0.0})  # keeps nothing of the statistics before
    net.initialize(mx.init.MSRAPrelu())
    with autograd.record():
        logits = net(mx.nd.array(worker.images({**task, "batch": 8})))
    logits.backward()
    mx.nd.waitall()
    return net


def _export(task):
    classes = tuple(f"class {number}" for number in range(task["classes"]))
    description = Description(task["network"], classes, Preprocessing(size=task["size"]))
    export_network(network(task, association="auto"), task["export"], description, forms=("optimized", "onnx"))
    model, quantized = (exported_files(task["export"], [form])[0] for form in ("onnx", "int8"))
    # `export_network` would refuse 8 bits here: the agreement on random parameters means nothing.
    write_int8(model, quantized, worker.images({**task, "batch": CALIBRATION}))
