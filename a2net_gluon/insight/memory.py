"""An estimate of the memory a training step needs."""

import math

from a2net_gluon.insight.graph import Graph

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
    graph, activations, parameters = Graph(net, shape[1:]), 0, 0
    for node in graph.nodes:
        size = math.prod(graph.shape(node))
        if node["op"] != "null":
            activations += 0 if "BatchNorm" in node["op"] else shape[0] * size
        elif node["name"] != "data":
            parameters += size
    copies = 3 + half + ema  # weights, gradients, momentum
    return (2 if half else 4) * activations + 4 * copies * parameters
