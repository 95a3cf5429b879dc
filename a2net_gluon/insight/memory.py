"""An estimate of the memory a training step needs."""

import json

import mxnet as mx
import numpy as np

__all__ = ["training_memory"]


def training_memory(net, shape, half=False, ema=False):
    """Estimate the bytes one device needs to train `net`: parameters with what belongs to them, and activations.

    Weights, gradients and momentum are counted exactly. Of the activations, what operators put out is counted, since
    the backward pass needs it, but for batch normalisation, which the activation after it overwrites. Buffers that
    MXNet shares, or its libraries take for themselves, are not known beforehand. On the CPU it came within an eighth
    of what resident memory grew by, for `resnet50` and `a2net_resnet50` at 224 pixels.

    Parameters
    ----------
    net : HybridBlock
        With one input.
    shape : tuple of int
        Of a batch on one device.
    half : bool
        float16 activations and weights, float32 master weights.
    ema : bool
        Averaged weights are kept too.
    """
    outputs = net(mx.sym.var("data")).get_internals()
    _, shapes, _ = outputs.infer_shape(data=shape)
    inputs = {*outputs.list_inputs()}
    sizes = {name: int(np.prod(one)) for name, one in zip(outputs.list_outputs(), shapes)}
    overwritten = {
        f"{node['name']}_output" for node in json.loads(outputs.tojson())["nodes"] if "BatchNorm" in node["op"]
    }
    activations = sum(size for name, size in sizes.items() if name not in inputs | overwritten)
    parameters = sum(size for name, size in sizes.items() if name in inputs and name != "data")
    copies = 3 + half + ema  # weights, gradients, momentum
    return (2 if half else 4) * activations + 4 * copies * parameters
