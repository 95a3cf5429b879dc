"""Files for PyTorch, and the way back, without PyTorch: tests/deploy/test_torch_equal.py runs them."""

import ast
import dataclasses
import json

import mxnet as mx
import numpy as np
import pytest

import a2net_gluon as a2
from a2net_gluon import settings
from a2net_gluon.deploy import export_network
from a2net_gluon.errors import UsageError
from a2net_gluon.mxnet_fixes import read_arrays
from a2net_gluon.networks import Description, find_weights
from tests.helpers.commands import SMALL, call, error

pytest.importorskip("safetensors", reason="pip install '.[safetensors]' installs it")

TYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64, "BF16": np.uint16}


def read(path):
    """Tensors and metadata of a file, read as its format says: length of the header, header, numbers."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    metadata, tensors = header.pop("__metadata__", {}), {}
    for name, entry in header.items():
        first, last = (start + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(content[first:last], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def write(path, tensors, metadata, kinds=None):
    """Write such a file; `kinds` are types of tensors that NumPy does not have."""
    names = {np.dtype(kind): name for name, kind in TYPES.items()}
    header, body = {"__metadata__": metadata}, b""
    for name, values in tensors.items():
        kind = (kinds or {}).get(name, names[values.dtype])
        place = [len(body), len(body) + values.nbytes]
        header[name] = {"dtype": kind, "shape": values.shape, "data_offsets": place}
        body += values.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The export of the network that comes with the package."""
    prefix = tmp_path_factory.mktemp("exported") / "cifar"
    a2.export(settings.Export(settings.Network(SMALL), pretrained=True, output=prefix, torch=True, pixels=True))
    return prefix.with_suffix(".safetensors")


def test_the_file_holds_all_parameters_by_the_names_of_pytorch(exported):
    tensors, metadata = read(exported)
    kept = read_arrays(find_weights(SMALL, True))
    assert set(tensors) == {name.replace(".gamma", ".weight").replace(".beta", ".bias") for name in kept}
    np.testing.assert_array_equal(tensors["features.conv1_bn.weight"], kept["features.conv1_bn.gamma"].asnumpy())
    np.testing.assert_array_equal(tensors["output.bias"], kept["output.bias"].asnumpy())
    described = json.loads(metadata["description"])
    assert (described["model"], described["classes"][3], described["input"]) == (SMALL, "cat", "normalized")
    assert json.loads(exported.with_suffix(".json").read_text())["input"] == "pixels"  # that of the graph


def test_the_code_has_what_the_network_needs_and_no_more(exported):
    code = exported.with_name("cifar_torch.py").read_text(encoding="utf-8")
    tree = ast.parse(code)
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert classes == {"DoubleAttention", "Network", "ResNet", "Stage", "Unit"}
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "collections", "safetensors", "safetensors.torch", "torch"}
    assert "DoubleAttention(256, 128, 128, ndim=2)" in code
    assert max(map(len, code.splitlines())) <= 120


def test_back_to_the_same_bits(exported, tmp_path, capsys):
    code, said, _ = call(capsys, "import", exported, "--output", tmp_path / "new" / "back.params")
    assert (code, said.split(", written")[0]) == (0, f"{SMALL}, 10 classes")
    kept, found = read_arrays(find_weights(SMALL, True)), read_arrays(tmp_path / "new" / "back.params")
    assert set(kept) == set(found)
    for name, array in kept.items():
        np.testing.assert_array_equal(found[name].asnumpy(), array.asnumpy())
    description = Description.beside(tmp_path / "new" / "back.params")
    assert description == dataclasses.replace(Description.beside(exported.with_suffix(".params")), input="normalized")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"back.params", "back.json"}


def test_half_precision_counters_and_a_file_without_description(exported, tmp_path, capsys):
    tensors, _ = read(exported)
    halves = {name: values.astype(np.float16) for name, values in tensors.items()}
    halves["features.conv1_bn.num_batches_tracked"] = np.array(7)
    path = write(tmp_path / "half.safetensors", halves, {})
    refused = error(capsys, 2, "import", path, "--output", tmp_path / "half.params")
    assert "has no description: name its network with --model" in refused
    size = ("--input-size", 48)
    assert call(capsys, "import", path, "--model", SMALL, *size, "--output", tmp_path / "half.params")[0] == 0
    found = read_arrays(tmp_path / "half.params")["features.conv2.unit1.a.bn.gamma"].asnumpy()
    np.testing.assert_array_equal(found, tensors["features.conv2.unit1.a.bn.weight"].astype(np.float16))
    assert Description.beside(tmp_path / "half.params").preprocessing.size == 48


def without(tensors):
    del tensors["features.conv1.weight"]


def renamed(tensors):
    tensors["module.output.bias"] = tensors.pop("output.bias")


def misshaped(tensors):
    tensors["features.conv1.weight"] = tensors["features.conv1.weight"][:, :2]


def no_number(tensors):
    tensors["output.bias"] = np.array([np.nan] * 10, np.float32)


def whole_numbers(tensors):
    tensors["output.bias"] = np.arange(10)


def scalar(tensors):
    tensors["output.bias"] = np.array(0, np.float32)


WRONG = {
    without: (2, "it lacks 1 of its parameters (features.conv1.weight)"),
    renamed: (2, "has 1 it does not know (module.output.bias)"),
    misshaped: (2, "features.conv1.weight is (16, 2, 3, 3) in the file, (16, 3, 3, 3) in the network"),
    no_number: (1, "output.bias holds numbers that are NaN, infinite or too large for float32"),
    whole_numbers: (1, "output.bias is of type I64, not F16, F32, F64: save it in float32"),
    scalar: (1, "output.bias is of shape ()"),
}


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_a_wrong_tensor_is_told_in_one_line(change, exported, tmp_path, capsys):
    tensors, metadata = read(exported)
    change(tensors)
    path = write(tmp_path / "wrong.safetensors", tensors, metadata)
    code, expected = WRONG[change]
    assert expected in error(capsys, code, "import", path, "--output", tmp_path / "x.params")
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_files_are_told_in_one_line(exported, tmp_path, capsys):
    path, output = tmp_path / "x.safetensors", ("--output", tmp_path / "x.params")
    tensors, metadata = read(exported)

    def said(code, *words):
        return error(capsys, code, "import", *words)

    assert "x.safetensors: no such file" in said(2, path, *output)
    assert "is no file of safetensors: their names end in" in said(2, exported.with_suffix(".json"), *output)
    for count in (0, 7, 300, 1000, exported.stat().st_size - 1):
        path.write_bytes(exported.read_bytes()[:count])
        assert "truncated, or not a file of safetensors" in said(1, path, *output)
    write(path, {"output.bias": tensors["output.bias"].astype(np.float16)}, metadata, {"output.bias": "BF16"})
    assert "output.bias is of type BF16" in said(1, path, *output)
    write(path, {}, {})
    assert "it holds no tensors" in said(1, path, "--model", SMALL, *output)
    write(path, tensors, {"description": "{"})
    assert "not a description of a network" in said(1, path, *output)
    assert "does not hold this network" in said(2, exported, "--model", "mobilenet_v2", *output)
    assert "--output is" in said(2, exported, "--output", tmp_path / "x")
    (tmp_path / "x.json").write_text("[]")
    assert "x.json would be replaced, and is no description of a network" in said(2, exported, *output)
    assert not (tmp_path / "x.params").exists()


def test_the_files_are_parameters_like_others(exported, capsys):
    """``--params`` and `get_model` take them."""
    x = mx.nd.random.normal(shape=(2, 3, 32, 32))
    nets = [a2.get_model(SMALL, pretrained=one) for one in (True, exported)]
    np.testing.assert_array_equal(*[net(x).asnumpy() for net in nets])
    assert nets[1].classes == nets[0].classes


def test_an_export_without_them_removes_them(exported, tmp_path):
    net, description = a2.get_model(SMALL, pretrained=True), Description.beside(exported)
    export_network(net, tmp_path / "x", description, ["torch"])
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".params", ".py", ".safetensors"}
    export_network(net, tmp_path / "x", description)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".params"}


@pytest.mark.parametrize(
    "parts", [{"norm_layer": mx.gluon.nn.InstanceNorm}, {"gathering": "bilinear"}, {"distribution": "uniform"}], ids=str
)
def test_unknown_parts_are_refused(parts, exported, tmp_path):
    net = a2.get_model(SMALL, **parts)
    net.initialize()
    with pytest.raises(UsageError, match="ResNet has parts that --torch does not know"):
        export_network(net, tmp_path / "x", Description.beside(exported), ["torch"])
    assert not any(tmp_path.iterdir())
