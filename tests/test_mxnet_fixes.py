"""Each fault of MXNet 1.9.1 as plain MXNet shows it, and that its workaround is right.

A test of a fault fails with a release that has mended it: its workaround can then go.
"""

import json
import subprocess
import sys
import warnings

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from mxnet.gluon import nn

from a2net_gluon import mxnet_fixes
from a2net_gluon.errors import FailureError, UsageError
from tests.helpers.processes import ROOT

DEVICES = [mx.cpu(0), mx.cpu(1)]


def dense(**kwargs):
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.register_child(nn.Dense(3, prefix="fc_", **kwargs), "output")
    return net


def parameter_on_two_devices():
    """A parameter that is 1 on one device and 3 on the other."""
    parameter = gluon.Parameter("running_mean", shape=(2,))
    parameter.initialize(ctx=DEVICES)
    for device, value in zip(DEVICES, (1, 3)):
        parameter.data(device)[:] = value
    return parameter


# Parameters


def test_collect_params_has_other_names_than_files(tmp_path):
    net = dense(in_units=4)
    net.initialize()
    net.save_parameters(str(tmp_path / "net.params"))
    in_file = set(mx.nd.load(str(tmp_path / "net.params")))
    assert set(net.collect_params()) == {"net_fc_weight", "net_fc_bias"} != in_file
    assert set(mxnet_fixes.named_parameters(net)) == in_file
    assert mxnet_fixes.named_parameters(net)["output.bias"] is net.collect_params()["net_fc_bias"]


def test_values_are_asked_for_by_exceptions():
    net, errors = dense(), []
    parameter = net.collect_params()["net_fc_weight"]
    for prepare in (lambda: None, net.initialize):
        prepare()
        assert not mxnet_fixes.has_values(parameter)
        with pytest.raises(RuntimeError) as caught:
            parameter.list_data()
        errors.append(caught.type)
    assert len({*errors}) == 2
    net(mx.nd.zeros((1, 4)))
    assert mxnet_fixes.has_values(parameter)


def test_data_is_that_of_one_device():
    parameter = parameter_on_two_devices()
    assert parameter.data().asnumpy().tolist() == [1, 1]
    mean = mxnet_fixes.mean_over_devices(parameter)
    assert mean.asnumpy().tolist() == [2, 2]
    mean[:] = 0  # a copy
    assert parameter.data(DEVICES[1]).asnumpy().tolist() == [3, 3]


def test_set_data_does_not_initialise():
    with pytest.raises(AssertionError, match="not been initialized"):
        gluon.Parameter("weight", shape=(2,)).set_data(mx.nd.ones(2))


@pytest.mark.parametrize("initialised", [False, True])
def test_a_parameter_is_loaded(initialised):
    parameter = gluon.Parameter("weight", shape=(2,), dtype="float16")
    if initialised:
        parameter.initialize(ctx=DEVICES)
    mxnet_fixes.load_parameter(parameter, mx.nd.array([1, 2]), DEVICES)
    for device in DEVICES:
        assert parameter.data(device).dtype == np.float16
        assert parameter.data(device).asnumpy().tolist() == [1, 2]


def running_means(wait):
    """Running means of a static graph as they are read after each of three steps, and after all has finished."""
    mx.random.seed(0)
    net = nn.HybridSequential()
    net.add(nn.Conv2D(16, 3, padding=1, in_channels=3), nn.BatchNorm(in_channels=16))
    for _ in range(4):  # BN's backward pass comes after theirs
        net.add(nn.Conv2D(16, 3, padding=1, in_channels=16))
    net.initialize(mx.init.Normal(0.1))
    net.hybridize(static_alloc=True, static_shape=True)
    x, read, finished = mx.nd.random.normal(1, shape=(8, 3, 64, 64)), [], []
    for _ in range(3):
        with autograd.record():
            loss = net(x).sum()
        loss.backward()
        wait()
        read.append(net[1].running_mean.data().asnumpy().copy())
        mx.nd.waitall()
        finished.append(net[1].running_mean.data().asnumpy().copy())
    return read, finished


def test_running_statistics_are_read_before_they_are_written():
    read, finished = running_means(lambda: None)
    np.testing.assert_array_equal(read, [np.zeros(16), *finished[:-1]])


def test_running_statistics_are_waited_for():
    read, finished = running_means(mxnet_fixes.wait_for_running_statistics)
    np.testing.assert_array_equal(read, finished)
    assert np.abs(finished[0]).min() > 0


# Blocks


def test_hybridized_is_private():
    net = dense(in_units=4)
    public = {name: value for name, value in vars(net).items() if not name.startswith("_")}
    assert not mxnet_fixes.is_hybridized(net)
    net.hybridize()
    assert mxnet_fixes.is_hybridized(net)
    assert {name: value for name, value in vars(net).items() if not name.startswith("_")} == public
    net.hybridize(False)
    assert not mxnet_fixes.is_hybridized(net)


def warned(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    return result, [str(warning.message) for warning in caught]


@pytest.fixture
def exported(tmp_path):
    """A network, an input, and the files of its export."""
    net, x = dense(in_units=4), mx.nd.ones((1, 4))
    net.initialize()
    net.hybridize()
    net(x)
    net.export(str(tmp_path / "net"))
    return net, x, str(tmp_path / "net-symbol.json"), str(tmp_path / "net-0000.params")


def test_symbol_blocks_warn_about_types(exported):
    net, _, symbol, params = exported
    data = mx.sym.var("data")
    _, first = warned(lambda: gluon.SymbolBlock(net(data), data, params=net.collect_params()))
    _, second = warned(lambda: gluon.SymbolBlock.imports(symbol, ["data"], params))
    for messages in (first, second):
        assert [message[: len("Cannot decide type")] for message in messages] == ["Cannot decide type"]


def test_symbol_blocks_are_built_without_a_warning(exported):
    net, x, symbol, params = exported
    data = mx.sym.var("data")
    built, first = warned(lambda: mxnet_fixes.symbol_block(net(data), data, net.collect_params()))
    loaded, second = warned(lambda: mxnet_fixes.import_symbol_block(symbol, params, mx.cpu()))
    assert first == second == []
    for block in (built, loaded):
        np.testing.assert_array_equal(block(x).asnumpy(), net(x).asnumpy())
    assert built.collect_params()["net_fc_weight"] is net.collect_params()["net_fc_weight"]


# Files


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is Linux's")
def test_the_end_of_a_file_is_lost_on_a_full_disk():
    mx.nd.save("/dev/full", {"weight": mx.nd.ones(3)})  # no error


def test_arrays_are_read_back(tmp_path, monkeypatch):
    path = tmp_path / "net.params"
    mxnet_fixes.save_arrays({"weight": mx.nd.ones(3)}, path)
    assert mxnet_fixes.read_arrays(path)["weight"].asnumpy().tolist() == [1, 1, 1]
    whole, save = path.read_bytes(), mx.nd.save

    def save_the_start(name, arrays):
        save(name, arrays)
        path.write_bytes(whole[:-1])

    monkeypatch.setattr(mx.nd, "save", save_the_start)
    with pytest.raises(FailureError, match="truncated"):
        mxnet_fixes.save_arrays({"weight": mx.nd.ones(3)}, path)


def test_damaged_files_raise_different_errors(tmp_path):
    path, found = tmp_path / "net.params", set()
    mx.nd.save(str(path), {"weight": mx.nd.ones(3)})
    whole = path.read_bytes()
    unreadable = whole.replace(b"weight", b"\xff" * 6)
    for content in (whole[:-1], unreadable, b""):
        path.write_bytes(content)
        with pytest.raises(FailureError, match="truncated, or not an MXNet parameter file"):
            mxnet_fixes.read_arrays(path)
        with pytest.raises((mx.MXNetError, UnicodeDecodeError)) as caught:
            mx.nd.load(str(path))
        found.add(caught.type)
    assert len(found) == 2
    mx.nd.save(str(path), [mx.nd.ones(3)])  # without names: a list
    with pytest.raises(FailureError, match="not an MXNet parameter file"):
        mxnet_fixes.read_arrays(path)
    with pytest.raises(UsageError, match="no such parameter file"):
        mxnet_fixes.read_arrays(tmp_path / "absent.params")


# oneDNN's layouts


def gradients_of_clips(norm):
    """A step of convolution, `norm` and convolution on clips: output, and the gradient of the input."""
    mx.random.seed(0)
    net = nn.HybridSequential()
    net.add(nn.Conv3D(16, 3, padding=1, in_channels=3), norm, nn.Conv3D(16, 3, padding=1, in_channels=16))
    net.initialize(mx.init.Normal(0.1))
    x = mx.nd.random.normal(shape=(2, 3, 4, 8, 8))
    x.attach_grad()
    with autograd.record():
        y = net(x)
        loss = (y * y).sum()
    loss.backward()
    return y.asnumpy(), x.grad.asnumpy()


def test_batch_norm_of_clips_has_no_backward_pass():
    with pytest.raises(mx.MXNetError, match="!is_view"):
        gradients_of_clips(nn.BatchNorm(in_channels=16))


class ExplicitNorm(gluon.HybridBlock):
    """BN with the batch's statistics, written out."""

    def hybrid_forward(self, F, x):  # noqa: N803 (Gluon's)
        axes = (0, 2, 3, 4)
        centred = F.broadcast_sub(x, F.mean(x, axis=axes, keepdims=True))
        variance = F.mean(F.square(centred), axis=axes, keepdims=True)
        return F.broadcast_div(centred, F.sqrt(variance + 1e-5))


def test_batch_norm_of_clips():
    found = gradients_of_clips(mxnet_fixes.ClipBatchNorm(in_channels=16))
    for one, other in zip(found, gradients_of_clips(ExplicitNorm())):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())


RESHAPED = """
import mxnet as mx, numpy as np
from mxnet import gluon
from mxnet.gluon import nn
from a2net_gluon.mxnet_fixes import copy_to_plain_layout

class Flat(gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv3D(16, 3, padding=1, in_channels=3)
        self.second, self.third = nn.Conv3D(16, 1, in_channels=16), nn.Conv3D(16, 1, in_channels=16)

    def hybrid_forward(self, F, x):
        def flat(y):
            return F.reshape({copy}, shape=(0, 0, -1))

        x = self.first(x)
        return {reader}

mx.random.seed(0)
net = Flat()
net.initialize(mx.init.Normal(0.3))
x = mx.nd.random.normal(shape=(2, 3, 4, 6, 6))
expected = net(x).asnumpy()
net.hybridize(static_alloc=True, static_shape=True)
for _ in range(2):
    print(float(np.abs(net(x).asnumpy() - expected).max() / np.abs(expected).max()))
"""
READERS = {
    "other numbers": "F.batch_dot(flat(self.second(x)), F.softmax(flat(self.third(x)), axis=-1), transpose_b=True)",
    "error": "F.transpose(flat(self.second(x)), axes=(0, 2, 1))",
    "crash": "F.softmax(flat(self.second(x)), axis=-1)",
}


def reshaped(reader, copy):
    """Run a static graph that reshapes a clip, in a process of its own; exit code, differences, error."""
    script = RESHAPED.format(copy=copy, reader=READERS[reader])
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.returncode, [float(line) for line in done.stdout.split()], done.stderr


@pytest.mark.parametrize("reader", READERS)
def test_reshaped_clips_are_read_wrongly(reader):
    code, differences, error = reshaped(reader, "y")
    if reader == "other numbers":
        assert code == 0, error
        assert min(differences) > 0.1
    elif reader == "error":
        assert "could not create a primitive descriptor for a reorder primitive" in error
    else:
        assert code < 0 or "Segmentation fault" in error


@pytest.mark.parametrize("reader", READERS)
def test_copied_clips_are_read_rightly(reader):
    code, differences, error = reshaped(reader, "copy_to_plain_layout(F, y)")
    assert code == 0, error
    assert max(differences) < 1e-5


def graph(operator, reshape):
    """Convolution, BN and ReLU as one or two operators, convolution; between the first two a reshape or nothing."""
    x = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), pad=(1, 1), num_filter=16, name="first")
    if reshape:
        x = mx.sym.reshape(mx.sym.reshape(x, shape=(0, 0, -1)), shape=(0, 0, 6, 6))
    if operator == mxnet_fixes.FUSED_BN_RELU:
        x = mx.sym.contrib.BatchNormWithReLU(x, name="bn", fix_gamma=False)
    else:
        x = mx.sym.Activation(mx.sym.BatchNorm(x, name="bn", fix_gamma=False), act_type="relu")
    return mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=16, name="second")


def gradients(symbol):
    rng = np.random.default_rng(0)
    executor = symbol.simple_bind(mx.cpu(), data=(2, 3, 6, 6))
    for array in executor.arg_dict.values():
        array[:] = rng.normal(size=array.shape)
    executor.backward(mx.nd.ones_like(executor.forward(is_train=True)[0]))
    return {name: array.asnumpy() for name, array in executor.grad_dict.items()}


@pytest.mark.parametrize("reshape", [False, True])
def test_gradients_of_the_fused_operator(reshape):
    """They are right only where `has_onednn_layout` says so."""
    nodes = json.loads(graph("BatchNorm", reshape).tojson())["nodes"]
    (norm,) = (node for node in nodes if node["op"] == "BatchNorm")
    assert mxnet_fixes.has_onednn_layout(nodes, norm["inputs"][0][0]) is not reshape
    expected, found = gradients(graph("BatchNorm", reshape)), gradients(graph(mxnet_fixes.FUSED_BN_RELU, reshape))
    scale = np.abs(expected["bn_gamma"]).max()
    difference = np.abs(found["bn_gamma"] - expected["bn_gamma"]).max() / scale
    assert difference > 0.1 if reshape else difference < 1e-5
