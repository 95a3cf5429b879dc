"""BN and ReLU as one operator of oneDNN, for networks on the CPU.

MXNet has an operator for each; they pass over memory one after the other, forward and backward, which is a tenth of a
training step of A²-Net. ``BatchNormWithReLU`` does both in one pass. It exists for the CPU alone, in float32
alone, and ONNX does not know it: networks are therefore written without it, and their graphs rewritten where they run.
"""

import json
import os
import warnings

import mxnet as mx

__all__ = ["can_fuse", "fuse_relu", "fused"]

_FUSED = "_contrib_BatchNormWithReLU"
_BLOCK = 16  # channels that oneDNN keeps together, at most


def can_fuse():
    """Whether this MXNet computes with oneDNN, which the operator belongs to."""
    return mx.runtime.Features().is_enabled("MKLDNN") and os.environ.get("MXNET_MKLDNN_ENABLED") != "0"


def fused(net):
    """`net` with BN and ReLU as one operator where that leaves its gradients alone.

    Parameters
    ----------
    net : HybridBlock
        Initialised; one input.

    Returns
    -------
    SymbolBlock
        Hybridized, with the same `Parameter` objects. For training and inference on the CPU in float32.
    """
    data = mx.sym.var("data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Cannot decide type": the parameters know theirs
        quick = mx.gluon.SymbolBlock(fuse_relu(net(data)), data, params=net.collect_params())
    # With static_shape, operators on the CPU keep what they have allocated, 80 MB in a step of 16 images, and are no
    # faster.
    quick.hybridize(static_alloc=True)
    return quick


def fuse_relu(symbol, gradients=True):
    """Replace BN and the ReLU that alone reads it by one operator.

    Parameters
    ----------
    symbol : mxnet.sym.Symbol
    gradients : bool
        Only where gradients stay right. The operator's backward pass (mxnet 1.9.1) brings its input into the layout of
        the gradient where the input has the plain one; but its forward pass has noted the signs in the input's own
        layout. So BN must follow what oneDNN lays out itself: convolutions, pooling and sums of them, not what has been
        reshaped or multiplied.

    Returns
    -------
    mxnet.sym.Symbol
    """
    graph = json.loads(symbol.tojson())
    nodes = graph["nodes"]
    readers = _readers(nodes, graph["heads"])
    replaced = {}
    for number, node in enumerate(nodes):
        if not (node["op"] == "Activation" and _attribute(node, "act_type") == "relu"):
            continue
        source, output, *_ = node["inputs"][0]
        norm = nodes[source]
        if norm["op"] == "BatchNorm" and output == 0 and readers[source] == 1 and _can_fuse(nodes, norm, gradients):
            norm["op"] = _FUSED
            replaced[number] = source
    for entry in [entry for node in nodes for entry in node["inputs"]] + graph["heads"]:
        entry[0] = replaced.get(entry[0], entry[0])
    return mx.sym.load_json(json.dumps(graph))  # without the ReLUs, which nothing reads any more


def _readers(nodes, heads):
    """How many inputs of nodes, and outputs of the graph, each node is."""
    readers = [0] * len(nodes)
    for entry in [entry for node in nodes for entry in node["inputs"]] + heads:
        readers[entry[0]] += 1
    return readers


def _can_fuse(nodes, norm, gradients):
    if _attribute(norm, "axis", "1") != "1":
        return False
    own_statistics = _attribute(norm, "use_global_stats", "False") == "False"
    return not gradients or (own_statistics and _laid_out(nodes, norm["inputs"][0][0]))


def _attribute(node, name, default=None):
    return node.get("attrs", {}).get(name, default)


def _laid_out(nodes, number):
    """Whether oneDNN has certainly chosen the layout of what a node puts out."""
    node = nodes[number]
    if node["op"] == "Convolution":
        return _attribute(node, "num_group", "1") == "1" and int(_attribute(node, "num_filter")) % _BLOCK == 0
    if node["op"] in ("elemwise_add", "Pooling", "Activation", "BatchNorm", _FUSED):
        data = node["inputs"] if node["op"] == "elemwise_add" else node["inputs"][:1]
        return all(_laid_out(nodes, source) for source, *_ in data)
    return False
