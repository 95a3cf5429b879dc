"""Each fault of MXNet 1.9.1 as plain MXNet shows it, and that its workaround is right.

A test of a fault fails with a release that has mended it: its workaround can then go.
"""

import contextlib
import json
import pickle
import signal
import sys
import warnings

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from mxnet.gluon import nn

from a2net_gluon import mxnet_fixes
from a2net_gluon.environment import has_avx512
from a2net_gluon.errors import FailureError, UsageError, reason_of
from tests.fuzz.case import Case
from tests.fuzz.zygote import Zygote

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


@pytest.fixture(scope="module")
def prepared():
    with contextlib.closing(Zygote(0)) as running:
        yield running


@pytest.fixture
def run_python(prepared, tmp_path):
    """Return a function that runs a script in a process of its own, as it may crash; exit code, output, errors."""

    def run(script):
        outcome = prepared.run(
            Case(("python", f"import mxnet as mx, numpy as np\n{script}"), seconds=300), tmp_path / "run"
        )
        return outcome.code, outcome.output, outcome.errors

    return run


# Parameters


@pytest.mark.parametrize("mended", [False, True])
def test_weights_of_3d_convolutions_cannot_be_set_after_inference(mended, run_python):
    script = f"""
from a2net_gluon import mxnet_fixes
layer = mx.gluon.nn.Conv3D(16, 3, in_channels=16, use_bias=False)
layer.initialize()
layer.hybridize(static_alloc=True, static_shape=True)
x = mx.nd.random.uniform(shape=(2, 16, 4, 8, 8))
first = [layer(x).asnumpy() for _ in range(2)][-1]
other = 2 * mx.nd.random.uniform(shape=layer.weight.shape)
if {mended}:
    mxnet_fixes.replace_values(layer.weight, other)
else:
    layer.weight.set_data(other)
second = layer(x).asnumpy()
fresh = mx.gluon.nn.Conv3D(16, 3, in_channels=16, use_bias=False)
fresh.initialize()
fresh.weight.set_data(other)
assert np.array_equal(second, fresh(x).asnumpy()) and not np.array_equal(second, first)
"""
    code, _, error = run_python(script)
    assert (code == 0) == mended, error
    assert mended or "IsDefaultData" in error


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


class Doubled(mxnet_fixes.RewritableBlock):
    """A layer whose graph is replaced by one with twice the output in training, three times in inference."""

    def __init__(self, **options):
        super().__init__(**options)
        self.asked = []
        with self.name_scope():
            self.layer = nn.Dense(2, in_units=3)

    def hybrid_forward(self, F, x):  # noqa: N803 (Gluon's)
        return self.layer(x)

    def can_rewrite(self, x):
        return x.dtype == np.float32

    def rewritten(self, graph, training):
        self.asked.append(training)
        return graph * (2 if training else 3)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def doubled():
    net = Doubled()
    net.initialize(mx.init.Normal(1.0))
    return net, mx.nd.random.normal(shape=(4, 3))


@pytest.mark.parametrize("flags", [{}, {"static_alloc": True, "static_shape": True}], ids=["dynamic", "static"])
def test_rewritten_graphs_run_when_hybridized(doubled, flags):
    net, x = doubled
    plain = net(x).asnumpy()
    net.hybridize(**flags)
    for _ in range(2):
        assert_close(net(x).asnumpy(), 3 * plain)
        with autograd.record():
            y = net(x)
        y.backward()
        assert_close(y.asnumpy(), 2 * plain)
        assert_close(net.layer.weight.grad().asnumpy(), 2 * np.tile(x.sum(0).asnumpy(), (2, 1)))
    assert net.asked == [False, True]  # each is compiled once
    net.layer.weight.set_data(2 * net.layer.weight.data())
    assert_close(net(x).asnumpy(), 6 * plain)
    net.cast("float64")
    assert_close(net(x.astype("float64")).asnumpy(), 2 * plain)
    net.cast("float32")
    assert_close(net(x).asnumpy(), 6 * plain)
    assert net.asked == [False, True, False]
    net.hybridize(False)
    assert_close(net(x).asnumpy(), 2 * plain)


def test_where_the_traced_graph_runs(doubled, tmp_path):
    """With a backend or a hook, where the modes are mixed, inside another block, as a symbol, and in the export."""
    net, x = doubled
    plain = net(x).asnumpy()
    net.hybridize()
    with autograd.record(train_mode=False):
        mixed = net(x)
    with autograd.train_mode():
        forward = net(x)
    outer = nn.HybridSequential()
    outer.add(net)
    outer.hybridize()
    inside = outer(x)
    net.hybridize(backend="MKLDNN")
    partitioned = net(x)
    net.hybridize()
    net.register_op_hook(lambda *names: None)
    for y in (mixed, forward, inside, partitioned, net(x)):
        assert_close(y.asnumpy(), plain)
    assert net.asked == []
    fresh = Doubled(prefix="net_")
    fresh.initialize()
    fresh.hybridize()
    fresh(x)
    fresh.export(str(tmp_path / "net"))
    assert fresh.asked == [False]
    assert mx.sym.load(str(tmp_path / "net-symbol.json")).tojson() == fresh(mx.sym.var("data")).tojson()
    loaded = mxnet_fixes.import_symbol_block(tmp_path / "net-symbol.json", tmp_path / "net-0000.params", mx.cpu())
    assert_close(3 * loaded(x).asnumpy(), fresh(x).asnumpy())


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


@pytest.mark.parametrize("reader", READERS)
def test_reshaped_clips_are_read_wrongly(reader, run_python):
    code, said, error = run_python(RESHAPED.format(copy="y", reader=READERS[reader]))
    if reader == "other numbers":
        assert code == 0, error
        assert min(map(float, said.split())) > 0.1
    elif reader == "error":
        assert "could not create a primitive descriptor for a reorder primitive" in error
    else:
        assert code < 0 or "Segmentation fault" in error


@pytest.mark.parametrize("reader", READERS)
def test_copied_clips_are_read_rightly(reader, run_python):
    code, said, error = run_python(RESHAPED.format(copy="copy_to_plain_layout(F, y)", reader=READERS[reader]))
    assert code == 0, error
    assert max(map(float, said.split())) < 1e-5


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


@pytest.mark.parametrize(
    "infer", [lambda one: one.infer_shape(data=(1, 3)), lambda one: mxnet_fixes.output_shapes(one, (1, 3))]
)
def test_only_plain_mxnet_prints_shapes_that_do_not_fit(infer, capsys):
    wrong = mx.sym.Convolution(mx.sym.var("data"), kernel=(1, 1), num_filter=2, name="conv")
    with pytest.raises(mx.MXNetError) as caught:
        infer(wrong)
    assert ("infer_shape error" in capsys.readouterr().out) is (infer.__code__.co_names[0] == "infer_shape")
    assert "Error in operator" not in reason_of(caught.value)
    assert ".cc" not in reason_of(caught.value)


# Data


# Filters, sizes of the map, and the stride: maps with few columns are as long as large ones are high.
MAPS = {
    (15, (65536, 1), 1): True,
    (64, (16384, 4), 1): True,
    (16, (4, 32768, 1), 1): True,  # a clip
    (16, (65535, 1), 1): False,
    (32, (16384, 4), 1): False,
    (16, (32768, 2), 1): False,
    (16, (65536, 1), 2): False,
}
CONVOLVE = """
import os
for filters, sizes, stride in {maps}:
    child = os.fork()  # importing takes seconds
    if not child:
        n = len(sizes)
        x = mx.nd.zeros((1, 4, *(stride * size for size in sizes)))
        weight, stride = mx.nd.zeros((filters, 4, *[1] * n)), (stride,) * n
        mx.nd.Convolution(x, weight, kernel=(1,) * n, stride=stride, num_filter=filters, no_bias=True).wait_to_read()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
"""


@pytest.mark.skipif(not has_avx512(), reason="oneDNN does this with AVX-512")
def test_some_maps_are_divided_by_zero(run_python):
    _, said, _ = run_python(CONVOLVE.format(maps=list(MAPS)))
    assert said.split() == [str(-signal.SIGFPE if ends else 0) for ends in MAPS.values()]


def test_maps_that_are_divided_by_zero_are_known():
    for (filters, sizes, stride), ends in MAPS.items():
        n = len(sizes)
        options = {"kernel": (1,) * n, "num_filter": filters, "no_bias": True}
        symbol = mx.sym.Convolution(mx.sym.var("x"), stride=(stride,) * n, **options, name="conv")
        _, (shape,), _ = symbol.infer_shape(x=(1, 4, *(stride * size for size in sizes)))
        node = next(one for one in json.loads(symbol.tojson())["nodes"] if one["name"] == "conv")
        assert mxnet_fixes.divides_by_zero(node, shape) is ends
        assert not mxnet_fixes.divides_by_zero({**node, "op": "Pooling"}, shape)
        assert not mxnet_fixes.divides_by_zero({**node, "attrs": {**node["attrs"], "kernel": "(3, 3)"}}, shape)


def test_larger_arrays_than_mxnet_counts_are_known():
    assert mxnet_fixes.counts_values(2**31 - 2)
    for values in (2**31 - 1, 2**31):
        assert not mxnet_fixes.counts_values(values)
        with pytest.raises(Exception, match="larger than 2\\^31 elements"):
            mx.nd.empty((values,), dtype=np.uint8)


@pytest.mark.parametrize("context", [mx.cpu(), mx.Context("cpu_shared", 0)], ids=str)
def test_the_memory_of_an_array_is_written_through(context):
    array = mx.nd.zeros((2, 3, 4), ctx=context, dtype=np.uint8)
    assert not hasattr(array, "__array_interface__")  # a release with a writable view needs no `memory_of`
    array.asnumpy()[:] = 7  # a copy
    assert array.asnumpy().sum() == 0
    memory = mxnet_fixes.memory_of(array)
    assert (memory.shape, memory.dtype) == ((2, 3, 4), np.uint8)
    memory[1, 2] = (1, 2, 3, 255)
    assert array.asnumpy()[1, 2].tolist() == [1, 2, 3, 255]
    assert array.asnumpy()[0].sum() == 0


def loader(workers, count=16):
    return gluon.data.DataLoader(gluon.data.ArrayDataset(np.arange(count)), 4, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_iterator_of_a_loader_knows_the_batch_that_is_awaited(workers):
    made = loader(workers)
    processes = mxnet_fixes.take_worker_processes(made)
    assert len(processes) == workers
    iterator, read = mxnet_fixes.prefetching_iterator(made), []
    for _ in range(4 if workers else 0):
        pending = mxnet_fixes.awaited_batch(iterator)
        pending.wait(60)
        assert pending.ready()
        read += next(iterator).asnumpy().tolist()
    if workers:
        assert read == [*range(16)]
        assert mxnet_fixes.awaited_batch(iterator) is None
        assert next(iterator, None) is None
    else:
        assert [value for batch in iterator for value in batch.asnumpy()] == [*range(16)]
    for process in processes:
        process.kill()


def test_iter_hides_the_awaited_batch():
    made = loader(1)
    for process in mxnet_fixes.take_worker_processes(made):
        iterator = iter(made)
        with pytest.raises(AttributeError):
            mxnet_fixes.awaited_batch(iterator)
        process.kill()


KILLED = """
import os, time
from a2net_gluon import mxnet_fixes
loader = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(np.arange(16)), 4, num_workers=2)
before = {workers}
before[0].kill()
before[0].join()
time.sleep(1)  # the pool looks ten times a second
import multiprocessing
print(len({{process.pid for process in multiprocessing.active_children()}} - {{process.pid for process in before}}))
print(len(multiprocessing.active_children()), flush=True)
for process in multiprocessing.active_children():
    process.kill()
os._exit(0)  # the pool would wait for ever
"""


@pytest.mark.parametrize(
    ("workers", "new", "alive"),
    [("list(loader._worker_pool._pool)", 1, 2), ("mxnet_fixes.take_worker_processes(loader)", 0, 1)],
    ids=["plain", "taken"],
)
def test_only_a_plain_loader_replaces_a_killed_worker(workers, new, alive, run_python):
    code, said, problem = run_python(KILLED.format(workers=workers))
    assert code == 0, problem
    assert said.split() == [str(new), str(alive)]


HELD = """
import os, threading
from a2net_gluon import mxnet_fixes
loader = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(np.arange(16)), 4, num_workers=2)
pool = loader._worker_pool
before = threading.active_count() - 3
workers = {workers}
pool._outqueue._wlock.acquire()  # as a worker that is killed while it hands over a batch
for worker in workers:
    worker.kill()
    worker.join()
ending = threading.Thread(target={end}, daemon=True)
ending.start()
ending.join({seconds})
print(ending.is_alive(), threading.active_count() - before, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(
    ("workers", "end", "seconds", "waits"),
    [
        ("list(pool._pool)", "pool.terminate", 3, True),
        ("mxnet_fixes.take_worker_processes(loader)", "mxnet_fixes.close_worker_pool, args=(loader,)", 60, False),
    ],
    ids=["plain", "taken"],
)
def test_only_a_plain_pool_waits_for_the_lock_of_a_killed_worker(workers, end, seconds, waits, run_python):
    code, said, problem = run_python(HELD.format(workers=workers, end=end, seconds=seconds))
    assert code == 0, problem
    waiting, threads = said.split()
    assert waiting == str(waits)
    assert (int(threads) > 0) is waits


def test_a_loader_without_workers_has_none_to_take():
    plain = loader(0)
    assert mxnet_fixes.take_worker_processes(plain) == []
    mxnet_fixes.close_worker_pool(plain)


# Training


MANY = "arrays = [mx.nd.ones(3) for _ in range({count})]\n"


@pytest.mark.parametrize("bad", [None, 0, 199, 200, 449])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_many_arrays_are_finite_or_not(bad, value):
    arrays = [mx.nd.ones(3) for _ in range(450)]
    if bad is not None:
        arrays[bad][1] = value
    assert mxnet_fixes.all_finite(arrays) is (bad is None)
    assert mxnet_fixes.all_finite(iter(arrays)) is (bad is None)


def test_arrays_of_two_types_are_finite_or_not():
    arrays = [mx.nd.ones(3), mx.nd.ones(3, dtype=np.float16)]
    assert mxnet_fixes.all_finite(arrays)
    arrays[1][2] = np.inf
    assert not mxnet_fixes.all_finite(arrays)
    assert mxnet_fixes.all_finite([])
    with pytest.raises(mx.MXNetError, match="data type do not match"):
        mx.nd.multi_all_finite(*arrays, num_arrays=2).asscalar()


@pytest.mark.parametrize(("count", "crashes"), [(200, False), (201, True), (450, True)])
def test_the_operator_has_room_for_two_hundred_arrays(count, crashes, run_python):
    script = MANY.format(count=count) + f"print(mx.nd.multi_all_finite(*arrays, num_arrays={count}).asscalar())"
    code, said, _ = run_python(script)
    assert (code != 0) is crashes
    assert crashes or said.split() == ["1.0"]


def make_trainer(dtype="float32", **options):
    """A trainer of three parameters on two devices, one of them not trained, before its first step."""
    parameters = gluon.ParameterDict()
    for name in ("a", "fixed", "b"):
        grad_req = "null" if name == "fixed" else "write"
        parameters.get(name, shape=(2, 3), dtype=dtype, grad_req=grad_req).initialize(mx.init.One(), ctx=DEVICES)
    return gluon.Trainer(parameters, "sgd", {"learning_rate": 0.1, "momentum": 0.9, **options}, update_on_kvstore=False)


def step(trainer, factor=1.0):
    """A step with the gradient `factor` in every value."""
    trained = [one for one in mxnet_fixes.trained_parameters(trainer) if one.grad_req != "null"]
    with autograd.record():
        losses = [parameter.data(context).sum() * factor for parameter in trained for context in DEVICES]
    autograd.backward(losses)
    trainer.step(1)


def test_a_trainer_keeps_its_devices_and_parameters_to_itself():
    trainer = make_trainer()
    public = [value for name, value in vars(trainer).items() if not name.startswith("_")]
    assert public == []
    assert mxnet_fixes.trained_contexts(trainer) == DEVICES
    assert [parameter.name for parameter in mxnet_fixes.trained_parameters(trainer)] == sorted(["a", "b", "fixed"])
    found = mxnet_fixes.trained_contexts(trainer)
    found.clear()  # a copy
    assert mxnet_fixes.trained_contexts(trainer) == DEVICES


def test_optimizer_states_are_those_of_save_states(tmp_path):
    trainer = make_trainer()
    assert mxnet_fixes.optimizer_states(trainer) == {}  # before the first step
    step(trainer)
    trainer.save_states(str(tmp_path / "x.states"))
    states, optimizer = pickle.loads((tmp_path / "x.states").read_bytes())
    assert isinstance(optimizer, mx.optimizer.Optimizer)  # the fault: it pickles the optimizer too
    found = mxnet_fixes.optimizer_states(trainer)
    assert set(found) == set(states) == {0, 1}  # a and b; "fixed" is the third
    for number, state in states.items():
        np.testing.assert_array_equal(found[number].asnumpy(), state.asnumpy())
        assert np.abs(state.asnumpy()).min() > 0


def test_set_states_continue_a_run():
    """A second trainer with the states of the first one steps to the same values; one without does not."""
    trainers = [make_trainer() for _ in range(3)]
    for trainer in trainers:
        step(trainer)
    for trainer in trainers[1:]:  # back to the values after the first step, without states
        for number in mxnet_fixes.optimizer_states(trainer):
            for context in DEVICES:
                mxnet_fixes.set_optimizer_states(trainer, context, {number: mx.nd.zeros((2, 3), ctx=context)})
    for context in DEVICES:
        states = mxnet_fixes.optimizer_states(trainers[0])
        there = {number: state.copyto(context) for number, state in states.items()}
        mxnet_fixes.set_optimizer_states(trainers[1], context, there)
    for trainer in trainers:
        step(trainer)
    first, same, other = (
        [array.asnumpy() for array in mxnet_fixes.trained_parameters(trainer)[0].list_data()] for trainer in trainers
    )
    np.testing.assert_array_equal(first, same)
    assert np.abs(first[0] - other[0]).min() > 0.01


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_created_state_is_that_of_the_first_step(dtype):
    trainer, other = (make_trainer(dtype, multi_precision=dtype == "float16") for _ in range(2))
    created = mxnet_fixes.create_optimizer_state(trainer, 0, DEVICES[1])
    assert mxnet_fixes.optimizer_states(trainer) == {}  # it is not set by that
    step(other, 0.0)
    expected = mxnet_fixes.optimizer_states(other)[0]
    assert isinstance(created, (list, tuple)) is isinstance(expected, (list, tuple)) is (dtype == "float16")
    for one, counterpart in zip(*((state if dtype == "float16" else [state]) for state in (created, expected))):
        assert (one.shape, one.dtype, one.context) == (counterpart.shape, counterpart.dtype, DEVICES[1])
        np.testing.assert_array_equal(one.asnumpy(), counterpart.asnumpy())


# Several processes


def test_first_values_are_sent_before_the_first_step():
    trainer = make_trainer()
    assert trainer._kvstore is None  # the fault: MXNet connects in the first step
    assert not trainer._kv_initialized
    mxnet_fixes.send_first_values(trainer)
    assert trainer._kv_initialized
    assert not trainer._params_to_init
    mxnet_fixes.meet(trainer._kvstore)  # of one process: returns at once
    step(trainer)
    np.testing.assert_allclose(mxnet_fixes.trained_parameters(trainer)[0].data(DEVICES[0]).asnumpy(), 0.8)


def test_scaled_gradients():
    """As a larger batch size would do it, but for all steps to come."""
    plain, scaled = make_trainer(momentum=0.0), make_trainer(momentum=0.0)
    mxnet_fixes.scale_gradients(scaled, 0.5)
    mxnet_fixes.scale_gradients(scaled, 0.5)
    for trainer in (plain, scaled):
        step(trainer)
        step(trainer)
    found = [mxnet_fixes.trained_parameters(trainer)[0].data(DEVICES[0]).asnumpy() for trainer in (plain, scaled)]
    np.testing.assert_allclose(1 - found[1], (1 - found[0]) / 4, rtol=1e-5)
