"""Clips in four dimensions: where, and that nothing changes by it."""

import json

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model, list_models, mxnet_fixes
from a2net_gluon.networks.folding import fold_clips
from tests.helpers.steps import assert_same_step, double_steps, small_network, step

OTHERS = {
    "squeeze-and-excitation": {"name": "resnet20_small_3d", "context": "se", "placement": {"conv3": (1, 2)}},
    "right association": {"name": "a2net_resnet20_small_3d", "association": "right"},
    "frozen statistics": {"name": "resnet50_3d", "norm_kwargs": {"use_global_stats": True}},
}


def clips(count=2, frames=4, size=32, dtype="float32"):
    return mx.nd.array(np.random.default_rng(0).normal(size=(count, 3, frames, size, size)), dtype=dtype)


def nodes(symbol):
    return [node for node in json.loads(symbol.tojson())["nodes"] if node["op"] != "null"]


@pytest.mark.parametrize("name", [*list_models(ndim=3), *OTHERS])
def test_steps_are_those_of_the_plain_network(name):
    """Loss, gradients, statistics: in double precision, and in single precision as far as rounding allows.

    There oneDNN's layouts would show: arrays that are read in another layout have nothing in common, and then the norm
    of the difference is about 1.4 of theirs. In conv5 of ResNet-50, two values make a statistic here, and rounding
    changes everything; with frozen statistics it is compared too.
    """
    options = OTHERS.get(name, {"name": name})
    inputs = clips(frames=2 if "50" in options["name"] else 4)
    net = small_network(**options)
    net.hybridize(static_alloc=True)
    assert fold_clips(net(mx.sym.var("data"))).list_inputs() == net(mx.sym.var("data")).list_inputs()
    single = step(net, net.collect_params(), inputs)
    expected, found = double_steps(options, inputs, fold_clips)
    assert_same_step(found, expected, tolerance=1e-10)
    for key, array in expected.items() if not name.endswith("resnet50_3d") else ():
        difference = np.linalg.norm(single[key] - array)
        assert difference <= 0.5 * np.linalg.norm(array), key


def test_other_steps_are_seen():
    """Those of projections that take other locations."""

    def wrong(graph):
        text = fold_clips(graph).tojson()
        assert "(1, 1, 2, 2, 2)" in text
        return mx.sym.load_json(text.replace("(0, 0, 0, 0, 0)", "(0, 0, 0, 1, 0)"))

    with pytest.raises(AssertionError):
        assert_same_step(*double_steps({"name": "resnet20_small_3d"}, clips(1), wrong), tolerance=1e-10)


@pytest.mark.parametrize("flags", [{}, {"static_alloc": True, "static_shape": True}], ids=["dynamic", "static"])
def test_weights_can_change_after_inference(flags):
    """Inference leaves weights in oneDNN's layouts; other weights, and other sizes of clips, give their own answers."""
    net, twin = (small_network("a2net_resnet20_small_3d") for _ in range(2))
    net(clips()).wait_to_read()  # operator by operator: also the weights of 1×1×1 convolutions are in such layouts now
    net.hybridize(**flags)
    for scale, size in ((1, 32), (1, 27), (0.5, 32)):
        for one, other in zip(net.collect_params().values(), twin.collect_params().values()):
            mxnet_fixes.load_parameter(one, scale * one.data().as_in_context(mx.cpu()).copy(), [mx.cpu()])
            mxnet_fixes.load_parameter(other, one.data().astype("float64"), [mx.cpu()])
        twin.cast("float64")
        expected = twin(clips(size=size, dtype="float64")).asnumpy()
        for _ in range(2):
            found = net(clips(size=size)).asnumpy()
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_what_is_folded():
    """All but the kernels over h and w and pooling; a stride over h and w is taken before the convolution."""
    graph = get_model("a2net_resnet26_3d")(mx.sym.var("data"))
    folded = nodes(fold_clips(graph))
    kernels = [node["attrs"]["kernel"] for node in folded if node["op"] == "Convolution"]
    assert {kernel: kernels.count(kernel) for kernel in kernels} == {"(3, 5, 5)": 1, "(3, 3, 3)": 8, "(1, 1)": 24}
    assert sum(node["op"] == "slice" for node in folded) == 3  # conv3 to conv5; the stride of conv2 is over t
    # The stem's output to four dimensions, the narrow arrays of 8 units to five and back, and the last one to five.
    # Each way has two reshapes less than the copies around it; weights have one each.
    reshapes = [node for node in folded if node["op"] in ("Reshape", "reshape_like")]
    assert len(reshapes) == 1 + 2 * 8 + 2 * 3 + 1 + 24 + 4


@pytest.mark.parametrize("name", list_models(ndim=3))
def test_inference_needs_no_copies_behind_reshapes(name):
    """The answers are the same to the last bit."""
    net, inputs = small_network(name), clips(1, frames=2)
    data = mx.sym.var("data")
    graphs = [fold_clips(net(data), gradients) for gradients in (True, False)]
    assert len(nodes(graphs[0])) > len(nodes(graphs[1]))
    expected, found = (mxnet_fixes.symbol_block(graph, data, net.collect_params())(inputs) for graph in graphs)
    np.testing.assert_array_equal(found.asnumpy(), expected.asnumpy())


def test_images_stay_as_they_are():
    graph = get_model("a2net_resnet20_small")(mx.sym.var("data"))
    assert fold_clips(graph) is graph


def test_the_export_has_five_dimensions(tmp_path):
    net = small_network("resnet20_small_3d")
    net.hybridize()
    expected = net(clips()).asnumpy()
    net.export(str(tmp_path / "net"))
    assert not any(node["op"] == "slice" for node in nodes(mx.sym.load(str(tmp_path / "net-symbol.json"))))
    loaded = mxnet_fixes.import_symbol_block(tmp_path / "net-symbol.json", tmp_path / "net-0000.params", mx.cpu())
    np.testing.assert_allclose(loaded(clips()).asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_other_operators_see_five_dimensions():
    """Those that the networks do not have, and an output that is a clip."""
    graph = mx.sym.Convolution(mx.sym.var("data"), kernel=(1, 1, 1), num_filter=16, no_bias=True, name="first")
    graph = mx.sym.LeakyReLU(graph, slope=0.1)
    graph = mx.sym.Convolution(graph, kernel=(1, 1, 1), pad=(0, 1, 1), num_filter=16, no_bias=True, name="padded")
    graph = mx.sym.Convolution(graph, kernel=(1, 1, 1), num_filter=16, no_bias=True, name="last") + 1
    graph = mx.sym.Group([graph, mx.sym.Pooling(graph, kernel=(1, 2, 2), pool_type="max")])
    shapes = zip(graph.list_arguments(), graph.infer_shape(data=(2, 3, 4, 8, 8))[0])
    arrays = {name: mx.nd.array(np.random.default_rng(1).normal(size=shape)) for name, shape in shapes}
    for one, other in zip(*(each.eval(**arrays) for each in (graph, fold_clips(graph)))):
        np.testing.assert_allclose(other.asnumpy(), one.asnumpy(), rtol=0, atol=1e-5 * np.abs(one.asnumpy()).max())
