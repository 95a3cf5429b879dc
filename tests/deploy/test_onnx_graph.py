"""What is done to ONNX graphs, seen through ONNX Runtime and ONNX's own inference."""

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model, list_models
from a2net_gluon.data import Preprocessing
from a2net_gluon.deploy.onnx_graph import batch_norm_as_convolution
from a2net_gluon.networks.description import Description
from tests.helpers.exports import describe, make
from tests.helpers.onnx_files import check_strictly, lengths
from tests.helpers.weights import QUICK

onnx = pytest.importorskip("onnx", reason="ONNX is an extra")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is an extra")


@pytest.fixture(
    scope="module", params=["a2net_resnet20_small", "nl_resnet20_small", "a2net_mobilenet_v2", "a2net_resnet26_3d"]
)
def exported(request, tmp_path_factory):
    """The ONNX model of a network with both associations between them, and its number of channels after each block."""
    from a2net_gluon.deploy.onnx_file import write_onnx

    prefix = tmp_path_factory.mktemp("onnx") / "net"
    mx.random.seed(0)
    if request.param == "nl_resnet20_small":
        net = get_model("resnet20_small", classes=10, context="nl", placement={"conv3": (2,), "conv4": (2,)})
    else:
        net = get_model(request.param, classes=10, association="auto", input_size=32)
    net.initialize(QUICK)
    net.hybridize()
    frames = 8 if "3d" in request.param else None
    net(mx.nd.zeros((1, 3, *([frames] if frames else []), 32, 32)))
    net.export(str(prefix))
    description = Description(request.param, tuple("abcdefghij"), Preprocessing(32, frames=frames))
    write_onnx(f"{prefix}-symbol.json", f"{prefix}-0000.params", f"{prefix}.onnx", description)
    return onnx.load(f"{prefix}.onnx")


def other_shape(model):
    """A shape of the input that is not the export's."""
    return (2, 3, *([6] if len(model.graph.input[0].type.tensor_type.shape.dim) == 5 else []), 48, 64)


def test_strict_readers_accept_open_sizes_and_other_sizes(exported):
    check_strictly(exported)
    check_strictly(exported, other_shape(exported))


@pytest.mark.parametrize(
    # Large networks have the weights of each channel quantized in a loop, for up to half a minute.
    "name",
    [pytest.param(name, marks=[] if "small" in name else pytest.mark.peers) for name in list_models()],
)
def test_strict_readers_accept_8_bits_of_every_network(name, tmp_path):
    """Open, and fixed to a size that is not the export's: by the input alone, and everywhere."""
    from a2net_gluon.deploy.onnx_file import fix_size, write_onnx
    from a2net_gluon.deploy.quantization import write_int8

    net, description = make(name), describe(name, size=32)
    net.hybridize()
    net(mx.nd.zeros((1, *description.input_shape)))
    net.export(str(tmp_path / "net"))
    graph, path = tmp_path / "net-symbol.json", tmp_path / "net-int8.onnx"
    write_onnx(graph, tmp_path / "net-0000.params", tmp_path / "net.onnx", description)
    write_int8(
        tmp_path / "net.onnx", path, np.random.default_rng(0).normal(size=(2, *description.input_shape)).astype("f")
    )
    model = onnx.load(str(path))
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}
    check_strictly(model)
    check_strictly(model, other_shape(model))
    fix_size(path, graph, other_shape(model))
    fixed = onnx.load(str(path))
    check_strictly(fixed)
    assert lengths(*fixed.graph.input) == [*other_shape(model)]


def test_no_piece_of_a_shape_is_empty(exported):
    constants = {constant.name: onnx.numpy_helper.to_array(constant) for constant in exported.graph.initializer}
    for node in exported.graph.node:
        if node.op_type == "Slice":
            begin, end = (constants[name] for name in node.input[1:3])
            assert begin < end, node.name


def test_products_take_one_transpose(exported):
    makers = {node.output[0]: node.op_type for node in exported.graph.node}
    operands = [makers[name] for node in exported.graph.node if node.op_type == "MatMul" for name in node.input]
    assert operands
    assert set(operands) <= {"Reshape", "Softmax", "Transpose", "MatMul"}
    assert not [name for name in makers if name.endswith(("_lhs_3d", "_rhs_3d"))]


def test_everything_is_used(exported):
    """Every node leads to the output, and every constant to a node."""
    used = {name for node in exported.graph.node for name in node.input} | {"logits"}
    assert all(set(node.output) & used for node in exported.graph.node)
    assert {constant.name for constant in exported.graph.initializer} <= used


def test_ranks_reach_every_convolution(exported):
    shapes = onnx.shape_inference.infer_shapes(exported).graph.value_info
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in shapes}
    ranks["data"] = len(exported.graph.input[0].type.tensor_type.shape.dim)
    convolutions = [node for node in exported.graph.node if node.op_type == "Conv"]
    assert {ranks.get(node.input[0]) for node in convolutions} == {ranks["data"]}


def test_batch_norm_as_convolution():
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 5, 4, 3)).astype(np.float32)
    gamma, beta, mean, variance = random.uniform(0.5, 2, (4, 5)).astype(np.float32)
    node = onnx.helper.make_node("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], ["y"], epsilon=1e-3)
    constants = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    graph = onnx.helper.make_graph(
        [node],
        "bn",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, x.shape)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 13)])
    batch_norm_as_convolution(model.graph)
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    assert len(model.graph.initializer) == 2
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    shape = (1, 5, 1, 1)
    scaled = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 1e-3)
    expected = gamma.reshape(shape) * scaled + beta.reshape(shape)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=0, atol=1e-5)
