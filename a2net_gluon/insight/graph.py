"""A traced network: its nodes, and the shapes of what they put out."""

import json

import mxnet as mx

__all__ = ["Graph"]


class Graph:
    """The graph of a network for one input.

    Parameters
    ----------
    net : HybridBlock
        Initialised or not; one input.
    input_shape : tuple of int
        Of one image or clip, without the batch.

    Attributes
    ----------
    nodes : list of dict
        In the order of execution, as in the symbol's JSON: "op" ("null" for inputs and parameters), "name", "inputs".
    """

    def __init__(self, net, input_shape):
        symbol = net(mx.sym.var("data"))
        internals = symbol.get_internals()
        _, shapes, _ = internals.infer_shape(data=(1, *input_shape))
        self._shapes = dict(zip(internals.list_outputs(), shapes))
        self.nodes = json.loads(symbol.tojson())["nodes"]
        self._by_name = {node["name"]: node for node in self.nodes}

    def find(self, name):
        """The node called `name`, or None."""
        return self._by_name.get(name)

    def shape(self, node):
        """Shape of a node's output, of its first one if there are several."""
        name = node["name"]
        if node["op"] == "null":
            return self._shapes[name]
        return self._shapes[f"{name}_output" if f"{name}_output" in self._shapes else f"{name}_output0"]

    def inputs(self, node):
        """The nodes a node takes."""
        return [self.nodes[entry[0]] for entry in node["inputs"]]
