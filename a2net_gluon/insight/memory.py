"""Checks before a network is computed: the memory it needs, and arrays of a size that MXNet cannot compute."""

from __future__ import annotations

import contextlib
import math
from typing import Iterator, Sequence

import mxnet as mx

from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.devices import free_memory
from a2net_gluon.environment import has_avx512
from a2net_gluon.errors import UsageError
from a2net_gluon.insight.graph import Graph
from a2net_gluon.mxnet_fixes import counts_values, divides_by_zero

__all__ = ["check_array_sizes", "check_inference", "check_memory", "inference_memory", "takes_size", "training_memory"]

_LOWER = "lower --batch-size or --input-size"


def training_memory(graph: Graph, batch_size: int, half: bool = False, ema: bool = False) -> int:
    """Estimate the bytes that one device needs to train a network, for parameters and activations.

    Weights, gradients and momentum are counted exactly. Activations are counted as the outputs of all operators, which
    the backward pass needs, except batch normalization, whose output is overwritten by the activation after it. Buffers
    that MXNet shares or that its libraries allocate are not counted. On the CPU the estimate came within an eighth of
    the growth of resident memory, for `resnet50` and `a2net_resnet50` at 224 pixels.

    Parameters
    ----------
    graph : Graph
    batch_size : int
        Of one device.
    half : bool
        Activations and weights in float16, master weights in float32.
    ema : bool
        With averaged weights.
    """
    activations, parameters = 0, 0
    for node in graph.nodes:
        size = math.prod(graph.shape(node))
        if node["op"] != "null":
            activations += 0 if "BatchNorm" in node["op"] else batch_size * size
        elif node["name"] != "data":
            parameters += size
    copies = 3 + half + ema  # weights, gradients, momentum
    return (2 if half else 4) * activations + 4 * copies * parameters


def inference_memory(graph: Graph) -> tuple[int, int]:
    """Estimate the bytes that a network needs on a device: for its parameters, and for each image of a batch.

    MXNet keeps no more activations than it must; an image takes what the operator with the largest inputs and output
    does.
    """
    largest, parameters = 0, 0
    for node in graph.nodes:
        if node["op"] == "null":
            parameters += math.prod(graph.shape(node)) if node["name"] != "data" else 0
        else:
            arrays = [node, *(one for one in graph.inputs(node) if one["op"] != "null" or one["name"] == "data")]
            largest = max(largest, sum(math.prod(graph.shape(one)) for one in arrays))
    return 4 * parameters, 4 * largest


def check_inference(
    net: mx.gluon.HybridBlock,
    model: str,
    preprocessing: Preprocessing,
    batch_size: int,
    contexts: Sequence[mx.Context],
    more: int = 0,
    fix: str = "lower --input-size",
) -> None:
    """Check that MXNet can compute the answers of `net`, before anything is read or computed.

    Parameters
    ----------
    net : HybridBlock
    model : str
        Its name.
    preprocessing : Preprocessing
    batch_size : int
        Images or clips that a device computes at a time.
    contexts : list of mxnet.Context
    more : int
        Bytes for other things, on each device.
    fix : str
        What the user can do.

    Raises
    ------
    UsageError
        If more memory is needed than is free, or `net` or MXNet does not take the input.
    """
    with takes_size(model, preprocessing.size):
        graph = Graph(net, preprocessing.input_shape)
    parameters, image = inference_memory(graph)
    check_memory(parameters + batch_size * image + more, contexts, fix)
    check_array_sizes(graph, batch_size, contexts, fix)


def check_array_sizes(graph: Graph, batch_size: int, contexts: Sequence[mx.Context], fix: str = _LOWER) -> None:
    """Refuse an input for which MXNet's inference ends the process, or that makes an array too large for MXNet.

    `mxnet_fixes.divides_by_zero` and `mxnet_fixes.counts_values` say which these are.

    Raises
    ------
    UsageError
        If the network has such an output.
    """
    dangerous = has_avx512() and any(one.device_type == "cpu" for one in contexts)
    for node in graph.nodes:
        if dangerous and divides_by_zero(node, graph.shape(node)):
            _, filters, *sizes = graph.shape(node)
            convolution = f"a 1×1 convolution of {filters} filters on {'×'.join(map(str, sizes))}"
            raise UsageError(
                f"{convolution} would end the process (MXNet 1.9.1 divides by zero): choose another --input-size, e.g. "
                "32 pixels less"
            )
        values = batch_size * math.prod(graph.shape(node))
        if node["op"] != "null" and not counts_values(values):
            raise UsageError(
                f"the output of {node['name']} would have {values:,} values, more than MXNet 1.9.1 can count: {fix}"
            )


@contextlib.contextmanager
def takes_size(model: str, size: int) -> Iterator[None]:
    """Turn MXNet's error, where a network is too deep for so small an input, into a UsageError."""
    try:
        yield
    except mx.MXNetError:
        raise UsageError(f"--input-size is {size}: {model} does not take it") from None


def check_memory(needed: int, contexts: Sequence[mx.Context], fix: str = _LOWER) -> str:
    """Compare an estimate with the memory that is free on each device, and return both in words.

    Raises
    ------
    UsageError
        If more is needed than is free.
    """
    text, free = f"about {needed / 1e9:.1f} GB for each device (estimate)", free_memory(contexts)
    if free is None:
        return text
    text = f"{text}, {free / 1e9:.1f} GB are free"
    if needed > free:
        raise UsageError(f"{text}: {fix}")
    return text
