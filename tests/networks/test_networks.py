"""Every registered network, whatever is in the table."""

import inspect
import os
import pathlib
import re
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

import a2net_gluon
from a2net_gluon.blocks.double_attention import RELATION
from a2net_gluon.networks import MobileNetV2, input_shape
from a2net_gluon.networks.catalog import NETWORKS
from a2net_gluon.networks.mobilenet import MOBILENET_V2
from a2net_gluon.networks.placement import locations
from tests.helpers.weights import QUICK

GOLDEN = pathlib.Path(__file__).parent / "golden"


def small_batch(name, count=2):
    """Random input of the network's kind, smaller than its own to save time."""
    channels, *frames, height, width = input_shape(name)
    shape = (channels, *(min(count, 4) for count in frames), min(height, 32), min(width, 32))
    return mx.nd.random.normal(shape=(count, *shape))


def names_and_shapes(net):
    """One line a parameter: the name save_parameters gives it, the name in the graph, the shape."""
    return [
        f"{name} {parameter.name} {'x'.join(map(str, parameter.shape))}"
        for name, parameter in net._collect_params_with_prefix().items()
    ]


@pytest.mark.parametrize("name", a2net_gluon.list_models())
def test_parameter_names_are_frozen(name):
    expected = (GOLDEN / f"{name}.txt").read_text().splitlines()
    assert names_and_shapes(a2net_gluon.get_model(name)) == expected


@pytest.mark.parametrize("name", a2net_gluon.list_models())
def test_imperative_hybrid_and_symbol_agree(name):
    """And the two parts, features and output, make the network."""
    mx.random.seed(0)
    net = a2net_gluon.get_model(name, classes=7)
    net.initialize(QUICK)
    x = small_batch(name)
    imperative = net(x).asnumpy()
    np.testing.assert_array_equal(net.output(net.features(x)).asnumpy(), imperative)
    data = mx.sym.var("data")
    symbol = mx.gluon.SymbolBlock(net(data), data, params=net.collect_params())
    np.testing.assert_allclose(symbol(x).asnumpy(), imperative, rtol=1e-4, atol=1e-5)
    net.hybridize(static_alloc=True, static_shape=True)
    np.testing.assert_allclose(net(x).asnumpy(), imperative, rtol=1e-4, atol=1e-5)
    assert imperative.shape == (2, 7)


@pytest.mark.parametrize("association", ["right", "auto"])
def test_associations_agree_on_the_whole_network(association):
    """Logits and all gradients, in double precision."""
    mx.random.seed(0)
    x, found = small_batch("a2net_resnet20_small").astype("float64"), []
    parameters = None
    for one in ("left", association):
        net = a2net_gluon.get_model("a2net_resnet20_small", association=one)
        net.initialize(mx.init.MSRAPrelu())
        net.cast("float64")
        parameters = parameters or {name: p.data() for name, p in net.collect_params().items()}
        for name, parameter in net.collect_params().items():
            parameter.set_data(parameters[name])
        with mx.autograd.record():
            logits = net(x)
            loss = (logits * mx.nd.arange(logits.size, dtype="float64").reshape(logits.shape)).sum()
        loss.backward()
        trained = [p for p in net.collect_params().values() if p.grad_req != "null"]
        found.append([logits.asnumpy(), *(p.grad().asnumpy() for p in trained)])
    for expected, answer in zip(*found):
        np.testing.assert_allclose(answer, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("name", a2net_gluon.list_models())
def test_locations_are_those_of_the_maps(name):
    architecture = NETWORKS[name].architecture
    shape = tuple(length // 2 + 1 for length in input_shape(name)[1:])  # odd in part
    net, data = a2net_gluon.get_model(name), mx.sym.var("data")
    for stage, expected in locations(architecture, shape).items():
        part = mx.gluon.nn.HybridSequential(prefix="")
        for child, block in net.features._children.items():
            part.register_child(block, child)
            if child == stage:
                break
        _, ((_, _, *lengths),), _ = part(data).infer_shape(data=(1, 3, *shape))
        assert np.prod(lengths) == expected


def test_auto_is_what_needs_less():
    macs = {}
    for association in ("left", "right", "auto"):
        counted = a2net_gluon.cost(a2net_gluon.get_model("a2net_resnet50", association=association), (3, 224, 224))
        macs[association] = counted.macs
        assert counted.paper_macs == 6_538_174_464
    # The three blocks of conv4 have m = n = 512 and L = 196 and go to the right, those of conv3 256 and 784.
    assert macs["left"] - macs["auto"] == 3 * (2 * 512 * 512 * 196 - 1024 * 196**2)
    assert macs["auto"] < min(macs["left"], macs["right"])
    small = a2net_gluon.get_model("a2net_resnet50", association="auto", input_size=448)
    assert a2net_gluon.cost(small, (3, 448, 448)).macs == a2net_gluon.cost(small, (3, 448, 448)).paper_macs


@pytest.mark.parametrize(
    ("sizes", "right"),
    [
        ({}, ["conv4"]),  # m = n = 64 and L = 4·8·8 in conv3, 128 and 2·4·4 in conv4
        ({"input_frames": 64}, []),  # 32·8·8 and 16·4·4
        ({"input_size": 16}, ["conv4"]),  # 4·4·4, the same number of multiply-adds, and 2·2·2
        ({"input_size": 16, "input_frames": 4}, ["conv3", "conv4"]),  # 2·4·4 and 1·2·2
    ],
)
def test_auto_is_chosen_for_the_map_of_each_stage_of_a_clip(sizes, right):
    net = a2net_gluon.get_model("a2net_resnet20_small_3d", association="auto", **sizes)
    outputs = net(mx.sym.var("data")).get_internals().list_outputs()
    assert [name.partition("_")[0] for name in outputs if name.endswith(f"{RELATION}_output")] == right


def test_networks_for_images_ignore_frames():
    net = a2net_gluon.get_model("a2net_resnet20_small", association="auto", input_frames=4)
    assert net(mx.sym.var("data")).list_outputs() == ["fc_fwd_output"]


def test_identity_start_gives_the_backbones_answer():
    mx.random.seed(0)
    plain = a2net_gluon.get_model("resnet20_small")
    plain.initialize(mx.init.MSRAPrelu())
    extended = a2net_gluon.get_model("a2net_resnet20_small", identity_start=True)
    extended.initialize(mx.init.MSRAPrelu())
    for name, parameter in plain.collect_params().items():  # the backbone's names are the same in both
        extended.collect_params()[name].set_data(parameter.data())
    x = small_batch("resnet20_small")
    np.testing.assert_allclose(extended(x).asnumpy(), plain(x).asnumpy(), rtol=1e-4, atol=1e-5)


def test_last_gamma_starts_units_as_their_shortcuts():
    net = a2net_gluon.get_model("resnet20_small", last_gamma=True)
    net.initialize(mx.init.MSRAPrelu())
    weights = [p for name, p in net.collect_params().items() if "c1x1-c__conv" in name]
    assert len(weights) == 6
    assert not any(weight.data().asnumpy().any() for weight in weights)


def test_context_and_placement_on_another_backbone():
    net = a2net_gluon.get_model("resnet50", context="a2", placement={"conv3": (2, 4), "conv4": (2, 4, 6)})
    assert names_and_shapes(net) == names_and_shapes(a2net_gluon.get_model("a2net_resnet50"))
    compact = {"conv4": (1, 3), "conv5": (2, 4), "conv6": (2,)}
    net = a2net_gluon.get_model("mobilenet_v2", context="a2", placement=compact)
    assert names_and_shapes(net) == names_and_shapes(a2net_gluon.get_model("a2net_mobilenet_v2"))


def test_networks_for_images_and_for_clips():
    images, clips = a2net_gluon.list_models(ndim=2), a2net_gluon.list_models(ndim=3)
    assert sorted(images + clips) == a2net_gluon.list_models()
    assert all(name.endswith("_3d") for name in clips)
    assert not any(name.endswith("_3d") for name in images)
    assert a2net_gluon.get_model("resnet26_3d").output.weight.shape[0] == 400
    assert a2net_gluon.list_models(3, "nl") == ["nl_resnet26_3d"]
    with pytest.raises(ValueError, match="ndim is 7"):
        a2net_gluon.list_models(ndim=7)


def test_squeeze_excitation_stands_on_the_residual_branch():
    """With every scale at zero a unit is its shortcut; after the addition it would be nothing."""
    mx.random.seed(0)
    net = a2net_gluon.get_model("resnet20_small", context="se", placement={"conv2": (2,)})
    net.initialize(mx.init.MSRAPrelu())
    unit = net.features._children["conv2"]._children["unit2"]
    unit.context.excite.bias.set_data(mx.nd.full(64, -1e3))
    x = mx.nd.random.normal(shape=(2, 64, 8, 8))
    np.testing.assert_array_equal(unit(x).asnumpy(), x.asnumpy())


def test_keywords_are_spelled_out():
    """A misspelt keyword is an ordinary TypeError, with a suggestion from the signature."""
    kinds = {
        name: parameter.kind.name for name, parameter in inspect.signature(a2net_gluon.get_model).parameters.items()
    }
    assert [name for name, kind in kinds.items() if kind == "POSITIONAL_OR_KEYWORD"] == ["name", "pretrained"]
    assert {*kinds.values()} == {"POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY"}
    words = (
        r"^get_model\(\) got an unexpected keyword argument 'clases'; did you mean 'classes'\? there are: association"
    )
    with pytest.raises(TypeError, match=words):
        a2net_gluon.get_model("a2net_resnet50", clases=10)
    with pytest.raises(TypeError, match="unexpected keyword argument 'zzz'; there are: association"):
        a2net_gluon.get_model("a2net_resnet50", zzz=10)
    with pytest.raises(TypeError, match="positional argument"):
        a2net_gluon.get_model("a2net_resnet50", False, 10)


def test_none_is_not_given():
    options = ("classes", "association", "identity_start", "reduction", "input_size", "norm_layer", "norm_kwargs")
    for name in ("resnet20_small", "se_resnet50", "a2net_resnet20_small"):
        net = a2net_gluon.get_model(name, **dict.fromkeys(options), context=None, placement=None)
        assert names_and_shapes(net) == names_and_shapes(a2net_gluon.get_model(name))


def test_blocks_on_branches_are_for_networks_that_take_them():
    with pytest.raises(
        ValueError, match="context 'se' stands on residual branches; mobilenet_v2 takes no blocks there"
    ):
        a2net_gluon.get_model("mobilenet_v2", context="se", placement={"conv4": (1,)})
    with pytest.raises(ValueError, match="MobileNetV2 takes no context blocks on residual branches"):
        MobileNetV2(MOBILENET_V2, 5, on_branch=True)
    with pytest.raises(ValueError, match="there is no context to place"):
        MobileNetV2(MOBILENET_V2, 5, placement={"conv4": (1,)})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "a2net_resnet5"}, ValueError, r"did you mean 'a2net_resnet50'.*resnet20_small"),
        (
            {"name": "resnet50", "clases": 3},
            TypeError,
            "unexpected keyword argument 'clases'; did you mean 'classes'.*norm_layer",
        ),
        ({"name": "resnet50", "classes": 0}, ValueError, "classes is 0"),
        ({"name": "resnet50", "classes": True}, ValueError, "classes is True"),
        ({"name": "resnet50", "ctx": "cpu"}, ValueError, "ctx is 'cpu'"),
        ({"name": "resnet50", "ctx": [mx.cpu(), 3]}, ValueError, "ctx is"),
        ({"name": "resnet50", "context": "a3", "placement": {"conv3": (1,)}}, ValueError, "unknown context 'a3'.*a2"),
        ({"name": "resnet50", "context": "a2"}, ValueError, "needs a placement"),
        ({"name": "resnet50", "placement": {"conv3": (1,)}}, ValueError, "needs a context"),
        ({"name": "a2net_resnet50", "placement": {"conv3": (5,)}}, ValueError, "unit 5 of conv3; its units are 1 to 4"),
        ({"name": "a2net_resnet50", "placement": {"conv7": (1,)}}, ValueError, "stage 'conv7'.*conv2"),
        ({"name": "a2net_resnet50", "placement": {"conv3": 2}}, ValueError, "placement of conv3 is 2"),
        ({"name": "a2net_resnet50", "placement": "conv3:2"}, ValueError, "placement is 'conv3:2'; it must be a dict"),
        ({"name": "a2net_resnet50", "placement": {"conv3": ()}}, ValueError, r"placement of conv3 is \(\)"),
        ({"name": "a2net_resnet50", "placement": {"conv3": (2, 2)}}, ValueError, "each unit can be named once"),
        (
            {"name": "a2net_resnet50", "placement": {"conv3": (1.5,)}},
            ValueError,
            "unit 1.5 of conv3; its units are 1 to 4",
        ),
        ({"name": "a2net_resnet50", "placement": {"conv3": ("2",)}}, ValueError, "unit '2' of conv3; its units"),
        ({"name": "a2net_resnet50", "placement": {}}, ValueError, "needs a placement for context='a2'"),
        ({"name": "a2net_resnet50", "context": ""}, ValueError, "unknown context ''; there are: a2, nl, se"),
        ({"name": "a2net_resnet50", "context": ["a2"]}, ValueError, r"unknown context \['a2'\]"),
        ({"name": "a2net_resnet50", "reduction": True}, ValueError, "reduction is True"),
        ({"name": "a2net_resnet50", "reduction": 0}, ValueError, "reduction is 0"),
        ({"name": "resnet50", "ctx": [mx.cpu(), mx.cpu()]}, ValueError, "each device can be named once"),
        ({"name": "resnet50", "association": "right"}, ValueError, "resnet50 has none"),
        ({"name": "a2net_resnet50", "association": "best"}, ValueError, "association is 'best'"),
        ({"name": "a2net_resnet50", "input_size": "224"}, ValueError, "input_size is '224'"),
        ({"name": "nl_resnet50", "association": "right"}, ValueError, "not for 'nl' blocks; those have reduction, id"),
        ({"name": "se_resnet50", "identity_start": True}, ValueError, "not for 'se' blocks; those have reduction"),
        ({"name": "resnet50", "pretrained": True}, ValueError, "no published weights for resnet50"),
        ({"name": "resnet50", "pretrained": "absent.params"}, ValueError, "no such parameter file"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        a2net_gluon.get_model(**arguments)


@pytest.mark.skipif(mx.context.num_gpus() > 0, reason="this machine has a GPU")
def test_gpu_without_one():
    with pytest.raises(ValueError, match="GPU 0 asked for, but MXNet sees 0"):
        a2net_gluon.get_model("resnet50", ctx=[mx.cpu(), mx.gpu(0)])


def test_gluoncv_knows_our_names():
    gluoncv = pytest.importorskip("gluoncv")
    a2net_gluon.register_with_gluoncv()
    net = gluoncv.model_zoo.get_model("a2net_resnet20_small", classes=3, last_gamma=True)
    net.initialize()
    assert net(small_batch("a2net_resnet20_small")).shape == (2, 3)


def test_torch_beside_gluoncv_gets_a_sentence(tmp_path):
    pytest.importorskip("gluoncv")
    (tmp_path / "torch.py").write_text("__version__ = '2.1.0'\n")  # GluonCV only asks for the version
    script = "import a2net_gluon\ntry: a2net_gluon.register_with_gluoncv()\nexcept ValueError as e: print(e)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    assert re.fullmatch(r"gluoncv cannot be imported here \(.*torch==2.1.0.*\): .*without torch\n", done.stdout)
