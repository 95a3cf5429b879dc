"""Clips whose frames are all the same image, seen by the network that was inflated from the image's."""

import functools

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from a2net_gluon import SqueezeExcitation, get_model
from a2net_gluon.errors import UsageError
from a2net_gluon.networks import MobileNetV2, ResNet, inflate
from a2net_gluon.networks.mobilenet import MOBILENET_V2
from a2net_gluon.networks.resnet import Architecture, image_stages
from tests.helpers.twins import FRAMES, WIDTHS, clips, images, still, with_blocks

# Frames at either end of the clip that have seen the temporal padding, after each part of `clips()`.
REACH = {"conv1": 1, "conv1_bn": 1, "conv1_relu": 1, "pool1": 1, "conv2": 2, "conv3": 3, "tail_bn": 3, "tail_relu": 3}


def stages(net, x):
    for name, block in net.features._children.items():
        x = block(x)
        yield name, x.asnumpy()


def values(net):
    return {name: p.data().asnumpy().copy() for name, p in net._collect_params_with_prefix().items()}


def test_features_of_a_still_clip_are_those_of_the_image():
    flat, deep = images(), clips()
    inflate(flat, deep)
    x, clip = still()
    compared = {}
    for (name, expected), (_, features) in zip(stages(flat, x), stages(deep, clip)):
        if name not in REACH:
            break
        reach = compared[name] = REACH[name]
        difference = np.abs(features - expected[:, :, None]).max(axis=(0, 1, 3, 4))
        scale = np.abs(expected).max()
        assert difference[reach : FRAMES - reach].max() < 1e-5 * scale, name
        assert difference[[reach - 1, -reach]].min() > 1e-2 * scale, name  # and not beyond: the padding is felt there
    assert compared == REACH


def test_without_a_temporal_kernel_there_is_no_border():
    """Also with blocks, whose gathering maps spread over the frames, and up to the logits."""
    placement = {"conv2": (1,), "conv3": (2,)}
    flat, deep = images(**with_blocks(**placement)), clips(temporal=(1, 1, 1), **with_blocks(**placement))
    report = inflate(flat, deep)
    x, clip = still(3)
    expected = flat(x).asnumpy()
    np.testing.assert_allclose(deep(clip).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 0.1
    assert (report.left, report.new) == ((), ())


def test_new_blocks_stay_as_they_are():
    deep = clips(**with_blocks(conv3=(2,)))
    before = values(deep)
    report, after = inflate(images(), deep), values(deep)
    assert {name.split(".")[2] for name in report.new} == {"context2"}
    assert len(report.new) == 4 * 5  # four convolutions with their BN
    for name in report.new:
        np.testing.assert_array_equal(after[name], before[name])


def with_scales(**placement):
    """Squeeze-and-excitation, on the residual branch."""

    def context(stage, channels, ndim, prefix):
        return SqueezeExcitation(channels, 4, ndim=ndim, prefix=prefix)

    return {"context": context, "placement": placement, "on_branch": True}


def test_new_blocks_on_the_branch_stay_as_they_are():
    report = inflate(images(), clips(**with_scales(conv3=(2,))))
    assert {name.split(".")[3] for name in report.new} == {"context"}
    assert len(report.new) == 4  # two layers with bias


@pytest.mark.parametrize("name", ["resnet26", "resnet29"])
def test_registered_networks(name):
    """Stage by stage, in the middle of 36 frames, which no temporal border reaches."""
    flat, deep = get_model(name, classes=3), get_model(f"{name}_3d", classes=3)
    for net in (flat, deep):
        mx.random.seed(0)
        net.initialize(mx.init.MSRAPrelu())
    report = inflate(flat, deep)
    assert not report.left
    assert not report.new
    image = mx.nd.random.normal(shape=(1, 3, 32, 32))
    clip = mx.nd.broadcast_to(image.expand_dims(2), (1, 3, 36, 32, 32))
    for stage, block in flat.features._children.items():
        if stage == "tail_bn":
            break
        image, clip = block(image), deep.features._children[stage](clip)
        middle = clip.shape[2] // 2 - (stage.startswith("conv") and clip.shape[2] == 18)
        expected = image.asnumpy()
        np.testing.assert_allclose(
            clip.asnumpy()[:, :, middle], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max(), err_msg=stage
        )
    assert stage == "tail_bn"


def test_registered_networks_of_50_layers():
    flat, deep = get_model("a2net_resnet50"), get_model("a2net_resnet50_3d")
    for net in (flat, deep):
        net.initialize()
    report = inflate(flat, deep)
    assert (len(report.inflated), report.left) == (73, ("output.weight", "output.bias"))
    assert report.new == report.left  # of another number of classes
    spread = [name for name in report.inflated if deep._collect_params_with_prefix()[name].shape[2] == 3]
    # The stem; k = 3 in three units of conv2, two of conv3, three of conv4 and one of conv5 (Table 1).
    assert len(spread) == 1 + 3 + 2 + 3 + 1


def test_values_and_report():
    flat, deep = images(), clips()
    report, sources, targets = inflate(flat, deep), values(flat), values(deep)
    assert sorted((*report.inflated, *report.copied)) == sorted(sources) == sorted(targets)
    assert {"features.conv1.weight", "features.conv2.unit2.b.conv.weight"} <= {*report.inflated}
    assert {"output.weight", "output.bias", "features.tail_bn.running_var"} <= {*report.copied}
    assert str(report) == f"{len(report.inflated)} inflated, {len(report.copied)} copied"
    for name in report.copied:
        np.testing.assert_array_equal(targets[name], sources[name])
    for name in report.inflated:
        frames = targets[name].shape[2]
        assert frames == (3 if name == "features.conv1.weight" or ".unit1.b." in name else 1)
        for frame in range(frames):
            np.testing.assert_allclose(targets[name][:, :, frame], sources[name] / frames, rtol=1e-6)


def test_another_number_of_classes():
    deep = clips(classes=3)
    before = values(deep)
    report = inflate(images(), deep)
    assert report.left == report.new == ("output.weight", "output.bias")
    assert str(report).endswith("; 2 left (output.weight, output.bias); 2 new (output)")
    np.testing.assert_array_equal(deep.output.weight.data().asnumpy(), before["output.weight"])


def test_several_devices_and_half_precision():
    flat, deep = images(), clips()
    expected = inflate(flat, deep) and values(deep)
    devices = [mx.cpu(0), mx.cpu(1)]
    flat.collect_params().reset_ctx(devices)
    flat.features._children["tail_bn"].running_mean.data(mx.cpu(1))[:] += 2  # each device has its own
    other = clips()
    other.cast("float16")
    other.collect_params().reset_ctx(devices)
    inflate(flat, other)
    expected["features.tail_bn.running_mean"] += 1
    for name, parameter in other._collect_params_with_prefix().items():
        for device in devices:
            np.testing.assert_allclose(parameter.data(device).asnumpy(), expected[name], rtol=2e-3, atol=1e-5)


def uninitialised():
    return ResNet(Architecture(8, (5, 5), (2, 2), (2, 2), image_stages((2, 2), WIDTHS)), 5)


def mobilenet():
    net = MobileNetV2(MOBILENET_V2, 5)
    net.initialize()
    return net


def a_unit_more():
    return clips(temporal=(3, 3, 1, 1))


def with_an_open_head():
    net = clips()
    net.output = nn.Dense(3)
    net.output.initialize()
    return net


@pytest.mark.parametrize(
    ("flat", "deep", "message"),
    [
        (
            images,
            functools.partial(clips, widths=(16, 64)),
            r"conv3.unit1.a.conv.weight is \(8, 16, 1, 1\) in net2d and \(16, 16, 1, 1, 1\)",
        ),
        (
            functools.partial(images, **with_blocks(conv3=(1,))),
            clips,
            "conv3.context1.*is only in net2d; place the same",
        ),
        (
            functools.partial(images, **with_scales(conv3=(1,))),
            clips,
            "conv3.unit1.context.*is only in net2d; place the same",
        ),
        (images, a_unit_more, "only it has features.conv2.unit3.*same stages and units"),
        (mobilenet, clips, "features.conv1.conv.weight .* is only in net2d; build both"),
        (clips, images, "net2d is a network for clips"),
        (images, images, "net3d is a network for images"),
        (uninitialised, clips, r"net2d has no values yet \(features.conv1.weight\): load"),
        (images, with_an_open_head, r"net3d has no values yet \(output.weight\).*one batch"),
    ],
)
def test_networks_that_do_not_correspond(flat, deep, message):
    flat, deep = flat(), deep()
    before = values(deep.features)
    with pytest.raises(UsageError, match=message):
        inflate(flat, deep)
    for name, value in values(deep.features).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
