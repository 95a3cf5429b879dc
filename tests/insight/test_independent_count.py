"""Counts of the symbol's walker against those of the ONNX file, with the shapes that ONNX Runtime meets in it."""

import math

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import cost, get_model, list_models
from a2net_gluon.deploy import onnx_file
from a2net_gluon.networks import input_shape

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

PRODUCTS = ("Conv", "Gemm", "MatMul")
WITH_WEIGHTS = ("Conv", "Gemm", "BatchNormalization")


@pytest.fixture
def weights_as_inputs(monkeypatch):
    """Have MXNet's converter declare weights with their shapes but leave out their values, which takes it long."""
    registry = mx.onnx.mx2onnx._export_onnx.MXNetGraph.registry_[12]
    convert = registry["null"]

    def declare(node, **kwargs):
        if kwargs["is_input"]:
            return convert(node, **kwargs)
        array = kwargs["weights"][node["name"]]
        return [onnx.helper.make_tensor_value_info(node["name"], onnx.TensorProto.FLOAT, array.shape)], (array.dtype,)

    monkeypatch.setitem(registry, "null", declare)


def onnx_model(net, shape, path):
    net.initialize(mx.init.Zero())
    parameters = {parameter.name: parameter.data() for parameter in net.collect_params().values()}
    with onnx_file._mended(onnx):
        mx.onnx.export_model(net(mx.sym.var("data")), parameters, [(1, *shape)], np.float32, str(path))
    model = onnx.load(str(path))
    model.ir_version = onnx_file._IR_VERSION
    return model


def inputs_of(model):
    """Names and shapes of the graph's inputs: the image or clip, and the weights."""
    return {one.name: [length.dim_value for length in one.type.tensor_type.shape.dim] for one in model.graph.input}


def shapes_of_operands(model, nodes):
    """For each of `nodes` the shapes of both operands and of the result, as they are when the model runs."""
    names = [name for node in nodes for name in (*node.input[:2], node.output[0])]
    del model.graph.output[:]
    for number, name in enumerate(names):
        model.graph.node.append(onnx.helper.make_node("Shape", [name], [f"shape{number}"]))
        model.graph.output.append(onnx.helper.make_tensor_value_info(f"shape{number}", onnx.TensorProto.INT64, None))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # the graph as written
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {name: np.zeros(shape, np.float32) for name, shape in inputs_of(model).items()}
    found = [tuple(one.tolist()) for one in session.run(None, feeds)]
    return zip(found[::3], found[1::3], found[2::3])


@pytest.mark.parametrize("name", list_models())
def test_walker_counts_what_the_onnx_graph_has(name, tmp_path, weights_as_inputs):
    net, shape = get_model(name), input_shape(name)
    model = onnx_model(net, shape, tmp_path / "net.onnx")
    inputs = inputs_of(model)
    weights = {name for node in model.graph.node if node.op_type in WITH_WEIGHTS for name in node.input[1:]}
    assert inputs.keys() == {"data", *weights}
    nodes = [node for node in model.graph.node if node.op_type in PRODUCTS]
    macs = 0
    for node, (left, right, result) in zip(nodes, shapes_of_operands(model, nodes)):
        # A weight is (out, in / groups, *kernel) or (out, in): its rows are one output's products.
        macs += math.prod(result) * (left[-1] if node.op_type == "MatMul" else math.prod(right[1:]))
    counted = cost(net, shape)
    assert (macs, sum(math.prod(inputs[weight]) for weight in weights)) == (counted.macs, counted.params)
