"""Estimates of the memory that a network needs, compared with what is free."""

from __future__ import annotations

import contextlib
import math
from typing import Callable, Iterator, Sequence

import mxnet as mx

from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.devices import free_memory
from a2net_gluon.errors import UsageError
from a2net_gluon.insight.graph import Graph

__all__ = ["check_inference_memory", "check_memory", "inference_memory", "takes_size", "training_memory"]


def training_memory(net: mx.gluon.HybridBlock, shape: Sequence[int], half: bool = False, ema: bool = False) -> int:
    """Estimate the bytes that one device needs to train `net`, for parameters and activations.

    Weights, gradients and momentum are counted exactly. Activations are counted as the outputs of all operators, which
    the backward pass needs, except batch normalization, whose output is overwritten by the activation after it. Buffers
    that MXNet shares or that its libraries allocate are not counted. On the CPU the estimate came within an eighth of
    the growth of resident memory, for `resnet50` and `a2net_resnet50` at 224 pixels.

    Parameters
    ----------
    net : HybridBlock
        With one input.
    shape : tuple of int
        Shape of a batch on one device.
    half : bool
        Activations and weights in float16, master weights in float32.
    ema : bool
        With averaged weights.
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


def inference_memory(net: Callable[[mx.sym.Symbol], mx.sym.Symbol], shape: Sequence[int]) -> tuple[int, int]:
    """Estimate the bytes that a network needs on a device: for its parameters, and for each image of a batch.

    MXNet keeps no more activations than it must; an image takes what the operator with the largest inputs and output
    does.

    Parameters
    ----------
    net : HybridBlock
        With one input. Or any other function from a symbol to that of the output.
    shape : tuple of int
        Of an image, or of a clip.
    """
    graph, largest, parameters = Graph(net, shape), 0, 0
    for node in graph.nodes:
        if node["op"] == "null":
            parameters += math.prod(graph.shape(node)) if node["name"] != "data" else 0
        else:
            arrays = [node, *(one for one in graph.inputs(node) if one["op"] != "null" or one["name"] == "data")]
            largest = max(largest, sum(math.prod(graph.shape(one)) for one in arrays))
    return 4 * parameters, 4 * largest


def check_inference_memory(
    net: mx.gluon.HybridBlock,
    model: str,
    preprocessing: Preprocessing,
    batch_size: int,
    contexts: Sequence[mx.Context],
    more: int = 0,
    fix: str = "lower --input-size",
) -> None:
    """Compare the memory for the answers of `net` with what is free, before anything is read or computed.

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
        If more is needed than is free, or `net` does not take the input.
    """
    with takes_size(model, preprocessing.size):
        parameters, image = inference_memory(net, preprocessing.input_shape)
    check_memory(parameters + batch_size * image + more, contexts, fix)


@contextlib.contextmanager
def takes_size(model: str, size: int) -> Iterator[None]:
    """Turn MXNet's error, where a network is too deep for so small an input, into a UsageError."""
    try:
        yield
    except mx.MXNetError:
        raise UsageError(f"--input-size is {size}: {model} does not take it") from None


def check_memory(needed: int, contexts: Sequence[mx.Context], fix: str = "lower --batch-size or --input-size") -> str:
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
