"""Parameters and multiply-adds, counted on the traced graph: nothing here knows how a network was built."""

import dataclasses
import json
import math

import mxnet as mx

__all__ = ["Cost", "cost"]

# The paper's "#Params" leave out the tail's BN and the bias of the fully connected layer (worked out from Table 2).
NOT_IN_PAPER_PARAMS = ("tail__bn_gamma", "tail__bn_beta", "tail__bn_running_mean", "tail__bn_running_var", "fc_bias")
# Operators that multiply matrices but that no network here uses: counting them as free would be a wrong answer.
UNCOUNTED = ("Deconvolution", "DeformableConvolution", "RNN", "dot", "linalg_gemm", "linalg_gemm2", "Correlation")


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a network costs for one input.

    Attributes
    ----------
    params : int
        Every value of the network's parameter file, running means and variances included.
    trainable_params : int
        Values the optimizer moves.
    paper_params : int
        The paper's convention: `params` without the tail's BN and the bias of the fully connected layer.
    macs : int
        Multiply-adds of convolutions, fully connected layers and batched matrix products, as executed.
    paper_macs : int
        The paper's convention: the same with every double attention block in the left association, 2·m·n·L.
    """

    params: int
    trainable_params: int
    paper_params: int
    macs: int
    paper_macs: int


def cost(net, input_shape):
    """Count parameters and multiply-adds of `net` for one input.

    Parameters
    ----------
    net : HybridBlock
        Initialised or not; one input.
    input_shape : tuple of int
        Of one image or clip, without the batch: ``(3, 224, 224)``.

    Returns
    -------
    Cost

    Raises
    ------
    NotImplementedError
        If the graph holds a matrix product this function does not know how to count.
    """
    graph = _Graph(net(mx.sym.var("data")), (1, *input_shape))
    parameters = {name: (math.prod(p.shape), p.grad_req != "null") for name, p in net.collect_params().items()}
    return Cost(
        params=sum(size for size, _ in parameters.values()),
        trainable_params=sum(size for size, trainable in parameters.values() if trainable),
        paper_params=sum(s for name, (s, _) in parameters.items() if not name.endswith(NOT_IN_PAPER_PARAMS)),
        macs=sum(graph.macs(node) for node in graph.nodes),
        paper_macs=sum(graph.paper_macs(node) for node in graph.nodes),
    )


class _Graph:
    """A symbol's nodes with the shapes of their outputs."""

    def __init__(self, symbol, shape):
        internals = symbol.get_internals()
        _, shapes, _ = internals.infer_shape(data=shape)
        self.shapes = dict(zip(internals.list_outputs(), shapes))
        self.nodes = json.loads(symbol.tojson())["nodes"]

    def shape(self, node):
        return self.shapes[node["name"] if node["op"] == "null" else f"{node['name']}_output"]

    def inputs(self, node):
        return [self.nodes[entry[0]] for entry in node["inputs"]]

    def macs(self, node):
        """Multiply-adds of one node as executed."""
        kind = node["op"]
        if kind in UNCOUNTED:
            raise NotImplementedError(f"node {node['name']}: multiply-adds of {kind} are not counted")
        if kind == "Convolution":
            weight = self.shape(self.inputs(node)[1])  # (out, in / groups, *kernel): its rows are one output's products
            return math.prod(self.shape(node)) * math.prod(weight[1:])
        if kind == "FullyConnected":
            return math.prod(self.shape(node)) * self.shape(self.inputs(node)[1])[1]
        if kind == "batch_dot":
            transposed = node.get("attrs", {}).get("transpose_a") in ("True", "1")
            left = self.shape(self.inputs(node)[0])
            return math.prod(self.shape(node)) * left[-2 if transposed else -1]
        return 0

    def paper_macs(self, node):
        """Multiply-adds of one node as the paper counts them."""
        if node["op"] == "batch_dot" and node["name"].endswith("relation"):
            return 0  # the first half of the right association; the second half below counts for both
        if node["op"] == "batch_dot" and self.inputs(node)[1]["name"].endswith("relation"):
            values, relation = self.inputs(node)
            gathering = self.inputs(relation)[0]
            (_, m, locations), (_, n, _) = self.shape(values), self.shape(gathering)
            return 2 * m * n * locations
        return self.macs(node)
