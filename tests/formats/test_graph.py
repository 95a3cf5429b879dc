"""Graphs: whatever this package exports may be run, and what would end the process or run code is refused before."""

import copy
import json

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon.model_zoo import vision

from a2net_gluon import get_model, list_models
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.formats.graph import OPERATORS, read_graph
from a2net_gluon.mxnet_fixes import import_symbol_block, read_symbol
from a2net_gluon.networks.folding import fold_clips
from a2net_gluon.networks.fusion import can_fuse, fuse_relu

SMALL = "a2net_resnet20_small"


def graph_of(net):
    return net(mx.sym.var("data"))


@pytest.mark.parametrize("name", list_models())
def test_every_network(tmp_path, name):
    path = tmp_path / "net-symbol.json"
    symbol = graph_of(get_model(name, **({"association": "right"} if "a2net" in name else {})))
    symbol.save(str(path))
    assert read_symbol(path).tojson() == symbol.tojson()


@pytest.mark.parametrize(
    "name",
    [
        "resnet18_v1",
        "resnet50_v1",
        "resnet50_v2",
        "mobilenetv2_0.25",
        "squeezenet1.0",
        "densenet121",
        "inceptionv3",
        "vgg11",
    ],
)
def test_networks_of_mxnets_zoo(tmp_path, name):
    graph_of(vision.get_model(name)).save(str(tmp_path / "net-symbol.json"))
    read_symbol(tmp_path / "net-symbol.json")


@pytest.mark.skipif(not can_fuse(), reason="this MXNet has no oneDNN")
@pytest.mark.parametrize("name", [SMALL, "a2net_mobilenet_v2", "a2net_resnet20_small_3d", "resnet18_v1"])
def test_fused_graphs(tmp_path, name):
    net = vision.get_model(name, classes=3) if name == "resnet18_v1" else get_model(name, classes=3)
    net.initialize()
    x = mx.nd.random.normal(shape=(1, 3, 4, 32, 32) if name.endswith("3d") else (1, 3, 32, 32))
    net.hybridize()
    expected = net(x)
    net.export(str(tmp_path / "net"))
    arguments = mx.model.load_params(str(tmp_path / "net"), 0)
    fused = fold_clips(mx.sym.load(f"{tmp_path}/net-symbol.json"))
    fused = fused.optimize_for("MKLDNN", *arguments, skip_infer=True)
    fuse_relu(fused, gradients=False).save(str(tmp_path / "fused-symbol.json"))
    assert "_sg_mkldnn_conv" in (tmp_path / "fused-symbol.json").read_text()
    block = import_symbol_block(tmp_path / "fused-symbol.json", tmp_path / "net-0000.params", mx.cpu())
    np.testing.assert_allclose(block(x).asnumpy(), expected.asnumpy(), rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def graph():
    return json.loads(graph_of(get_model(SMALL)).tojson())


@pytest.fixture
def refused(tmp_path):
    """Return a function that asserts that a graph is refused, in one line that it returns."""

    def check(graph):
        path = tmp_path / "net-symbol.json"
        path.write_text(graph if isinstance(graph, str) else json.dumps(graph))
        with pytest.raises(FailureError, match="net-symbol.json: not a graph that may be run") as error:
            read_symbol(path)
        assert "\n" not in str(error.value)
        return str(error.value)

    return check


def first(graph, operator):
    return next(node for node in graph["nodes"] if node["op"] == operator)


@pytest.mark.parametrize(
    "operator", ["_Native", "_NDArray", "Custom", "_CrossDeviceCopy", "_foreach", "_sg_mkldnn_other"]
)
def test_operators_that_run_other_code(graph, refused, operator):
    graph = copy.deepcopy(graph)
    first(graph, "Activation").update(op=operator, attrs={"info": "12345"})
    assert f"the operator {operator!r} of " in refused(graph)


@pytest.mark.parametrize(
    "operator", sorted({"Convolution", "BatchNorm", "FullyConnected", "batch_dot", "elemwise_add"})
)
def test_missing_inputs(graph, refused, operator):
    graph = copy.deepcopy(graph)
    node = first(graph, operator)
    for inputs in ([], node["inputs"][:-1], node["inputs"] * 2):
        node["inputs"] = inputs
        assert f"{node['name']} has {len(inputs)} inputs in place of" in refused(graph)


ATTRIBUTES = [
    ("Convolution", "num_group", ("0", "-1", "", "4294967296", "none")),
    ("Convolution", "num_filter", ("0", "-4", "1e400")),
    ("Convolution", "kernel", ("(0, 3)", "()", "(3, -3)")),
    ("Convolution", "stride", ("(0, 0)", "(1, -1)")),
    ("Convolution", "dilate", ("(0, 1)",)),
    ("Convolution", "pad", ("(-1, 0)",)),
    ("FullyConnected", "num_hidden", ("0", "-1")),
    ("Pooling", "kernel", ("(0, 0)",)),
    ("transpose", "axes", ("(0, 1, 7)", "(0, 0, 0)", "(-1, 0, 1)")),
    ("Reshape", "shape", ("(0, -4)", "(0, -2, -3)")),
    ("BatchNorm", "eps", ("1e999",)),
]


@pytest.mark.parametrize(
    ("operator", "name", "values"), ATTRIBUTES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_attributes(graph, refused, operator, name, values):
    for value in (*values, 3, None, ["a"], "9" * 5000):
        changed = copy.deepcopy(graph)
        first(changed, operator)["attrs"][name] = value
        refused(changed)


@pytest.mark.parametrize(
    ("name", "value"), [("step", "(1, 1, 0, 2, 2)"), ("step", "()"), ("begin", "(0, 0, -1, 0, 0)")]
)
def test_attributes_of_slices(refused, name, value):
    changed = json.loads(fold_clips(graph_of(get_model("resnet20_small_3d"))).tojson())
    first(changed, "slice")["attrs"][name] = value
    assert f"{name} of " in refused(changed)


CHANGES = {
    "no object": lambda graph: graph.clear() or graph.update(nodes=[]),
    "no nodes": lambda graph: graph.update(nodes=[]),
    "nodes of another kind": lambda graph: graph.update(nodes=[1, 2]),
    "no heads": lambda graph: graph.update(heads=[]),
    "head that is not there": lambda graph: graph.update(heads=[[10**6, 0, 0]]),
    "second output": lambda graph: graph.update(heads=[[graph["heads"][0][0], 1, 0]]),
    "negative head": lambda graph: graph.update(heads=[[-1, 0, 0]]),
    "head in words": lambda graph: graph.update(heads=[["0", 0, 0]]),
    "other arguments": lambda graph: graph.update(arg_nodes=[10**6]),
    "unknown field": lambda graph: graph.update(subgraphs=[]),
    "other version": lambda graph: graph.update(attrs={"mxnet_version": ["str", "a"]}),
    "other attribute": lambda graph: graph.update(attrs={"a": ["int", 1]}),
    "node_row_ptr": lambda graph: graph.update(node_row_ptr=[-1]),
    "field of a node": lambda graph: graph["nodes"][5].update(control_deps=[1]),
    "older attributes": lambda graph: graph["nodes"][2].update(attr={"num_group": "0"}),
    "a loop": lambda graph: first(graph, "Activation").update(inputs=[[len(graph["nodes"]) - 1, 0, 0]]),
    "itself": lambda graph: graph["nodes"][2].update(inputs=[[2, 0, 0], [1, 0, 0]]),
    "a name of another kind": lambda graph: graph["nodes"][0].update(name=3),
    "a long name": lambda graph: graph["nodes"][0].update(name="a" * 2000),
    "a graph inside": lambda graph: first(graph, "Activation").update(subgraphs=[copy.deepcopy(graph)]),
    "an input of an input": lambda graph: graph["nodes"][1].update(inputs=[[0, 0, 0]]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_structure(graph, refused, change):
    changed = copy.deepcopy(graph)
    change(changed)
    refused(changed)


FUSED = {
    "nodes": [
        {"op": "null", "name": "data", "inputs": []},
        {"op": "null", "name": "weight", "inputs": []},
        {
            "op": "_sg_mkldnn_conv",
            "name": "fused",
            "attrs": {"with_act": "true"},
            "inputs": [[0, 0, 0], [1, 0, 0]],
            "subgraphs": [
                {
                    "nodes": [
                        {"op": "null", "name": "data0", "inputs": []},
                        {"op": "null", "name": "weight0", "inputs": []},
                        {
                            "op": "Convolution",
                            "name": "conv",
                            "attrs": {"kernel": "(1, 1)", "num_filter": "4", "no_bias": "True"},
                            "inputs": [[0, 0, 0], [1, 0, 0]],
                        },
                        {"op": "Activation", "name": "relu", "attrs": {"act_type": "relu"}, "inputs": [[2, 0, 0]]},
                    ],
                    "arg_nodes": [0, 1],
                    "heads": [[3, 0, 0]],
                }
            ],
        },
    ],
    "arg_nodes": [0, 1],
    "heads": [[2, 0, 0]],
}
FUSED_CHANGES = {
    "a missing flag": lambda node: node.update(attrs={}),
    "a wrong flag": lambda node: node.update(attrs={"with_act": "true", "with_bn": "true"}),
    "a false flag": lambda node: node.update(attrs={"with_act": "false"}),
    "an unknown flag": lambda node: node.update(attrs={"with_act": "true", "quantized": "true"}),
    "no graph": lambda node: node.pop("subgraphs"),
    "two graphs": lambda node: node["subgraphs"].append(copy.deepcopy(node["subgraphs"][0])),
    "an operator": lambda node: node["subgraphs"][0]["nodes"][3].update(op="_Native"),
    "another operator": lambda node: node["subgraphs"][0]["nodes"][3].update(op="softmax"),
    "num_group": lambda node: node["subgraphs"][0]["nodes"][2]["attrs"].update(num_group="0"),
    "the output": lambda node: node["subgraphs"][0].update(heads=[[2, 0, 0]]),
    "the order": lambda node: node["subgraphs"][0]["nodes"][3].update(inputs=[[0, 0, 0]]),
    "an input too few": lambda node: node.update(inputs=[[0, 0, 0]]),
    "a fused operator inside": lambda node: node["subgraphs"][0]["nodes"].append(copy.deepcopy(node)),
}


def test_a_fused_graph(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(FUSED))
    assert json.loads(read_graph(tmp_path / "a.json")) == FUSED


@pytest.mark.parametrize("change", FUSED_CHANGES.values(), ids=FUSED_CHANGES)
def test_fused_operators_hold_what_they_say(refused, change):
    graph = copy.deepcopy(FUSED)
    change(graph["nodes"][2])
    refused(graph)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "[" * 100_000, '{"nodes": ' * 50])
def test_what_is_no_graph(refused, text):
    refused(text)


def test_no_file(tmp_path):
    with pytest.raises(UsageError, match="no such graph"):
        read_symbol(tmp_path / "none.json")


def test_permitted_operators_are_operators_of_mxnet():
    known = {*dir(mx.sym.op), *dir(mx.sym._internal), *dir(mx.sym.contrib)}
    assert {name.replace("_contrib_", "") for name in OPERATORS} <= known
