"""Module's world: symbols as MXNet's scripts ask for them, training with Module, parameters both ways."""

import importlib
import re
import runpy
import shutil
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

from a2net_gluon import get_model
from a2net_gluon.data import Preprocessing
from a2net_gluon.deploy import export_network
from a2net_gluon.environment import physical_cores
from a2net_gluon.networks.description import Description
from a2net_gluon.symbols import a2net, module_parameters, resnet
from tests.helpers import photographs
from tests.helpers.processes import ROOT, usual_environment

# What MXNet's example/image-classification/train_imagenet.py hands to get_symbol without any flag, by all versions of
# its common/fit.py and common/data.py.
SCRIPT_ARGUMENTS = {
    "network": "a2net",
    "num_layers": 50,
    "gpus": None,
    "kv_store": "device",
    "num_epochs": 80,
    "lr": 0.1,
    "lr_factor": 0.1,
    "lr_step_epochs": "30,60",
    "initializer": "default",
    "optimizer": "sgd",
    "mom": 0.9,
    "wd": 0.0001,
    "batch_size": 128,
    "disp_batches": 20,
    "model_prefix": None,
    "save_period": 1,
    "monitor": 0,
    "load_epoch": None,
    "top_k": 0,
    "loss": "",
    "test_io": 0,
    "dtype": "float32",
    "gc_type": "none",
    "gc_threshold": 0.5,
    "macrobatch_size": 0,
    "warmup_epochs": 5,
    "warmup_strategy": "linear",
    "profile_worker_suffix": "",
    "profile_server_suffix": "",
    "use_imagenet_data_augmentation": 0,
    "data_train": None,
    "data_train_idx": "",
    "data_val": None,
    "data_val_idx": "",
    "rgb_mean": "123.68,116.779,103.939",
    "rgb_std": "1,1,1",
    "pad_size": 0,
    "fill_value": 127,
    "image_shape": "3,224,224",
    "num_classes": 1000,
    "num_examples": 1281167,
    "data_nthreads": 4,
    "benchmark": 0,
    "use_python_iter": 0,
    "use_gpu_augmenter": 0,
    "random_crop": 0,
    "random_mirror": 0,
    "random_resized_crop": 0,
    "max_random_h": 0,
    "max_random_s": 0,
    "max_random_l": 0,
    "min_random_aspect_ratio": None,
    "max_random_aspect_ratio": 0,
    "max_random_rotate_angle": 0,
    "max_random_shear_ratio": 0,
    "max_random_scale": 1,
    "min_random_scale": 1,
    "max_random_area": 1,
    "min_random_area": 1,
    "min_crop_size": -1,
    "max_crop_size": -1,
    "brightness": 0,
    "contrast": 0,
    "saturation": 0,
    "pca_noise": 0,
}

NETWORKS = [
    ("a2net", 50, "a2net_resnet50"),
    ("resnet", 50, "resnet50"),
    ("a2net", 20, "a2net_resnet20_small"),
    ("resnet", 20, "resnet20_small"),
]
SMALL = "a2net_resnet20_small"
SGD = {"learning_rate": 0.01, "momentum": 0.9, "wd": 0.01}


def symbol_of(network, **changes):
    """As MXNet's script gets it."""
    arguments = {**SCRIPT_ARGUMENTS, "network": network, **changes}
    return importlib.import_module("symbols." + arguments["network"]).get_symbol(**arguments)


def make(name=SMALL, classes=2):
    mx.random.seed(0)
    net = get_model(name, classes=classes)
    net.initialize(mx.init.MSRAPrelu())
    # Before the running statistics have learned anything, logits are in the hundreds: of probabilities that are all 0
    # or 1 nobody could say whether they agree.
    net.output.weight.set_data(0.01 * net.output.weight.data())
    return net


def module_of(symbol, net, batch_size=4, **bind):
    """A Module of the network's parameters."""
    module = mx.mod.Module(symbol)
    module.bind([("data", (batch_size, 3, 32, 32))], [("softmax_label", (batch_size,))], **bind)
    arguments, auxiliary = module_parameters(net)
    module.init_params(arg_params=arguments, aux_params=auxiliary)
    return module


def outputs(module, data):
    module.forward(mx.io.DataBatch([mx.nd.array(data)], []), is_train=False)
    return module.get_outputs()[0].asnumpy()


def probabilities(net, data):
    return mx.nd.softmax(net(mx.nd.array(data))).asnumpy()


@pytest.mark.parametrize(("network", "layers", "name"), NETWORKS)
def test_symbol_is_the_gluon_network(network, layers, name):
    symbol = symbol_of(network, num_layers=layers, num_classes=5, image_shape="3,64,64", batch_size=2)
    net = make(name, 5)
    assert symbol.list_outputs() == ["softmax_output"]
    inputs = {*symbol.list_arguments(), *symbol.list_auxiliary_states()}
    assert inputs == {"data", "softmax_label", *net.collect_params()}
    x = mx.nd.random.normal(shape=(2, 3, 64, 64))
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=x.shape)
    executor.copy_params_from(*module_parameters(net))
    output = executor.forward(is_train=False, data=x)[0]
    np.testing.assert_allclose(output.asnumpy(), mx.nd.softmax(net(x)).asnumpy(), rtol=1e-4, atol=1e-6)


SCRIPT = """
import mxnet, importlib, os, sys
network = importlib.import_module('symbols.' + sys.argv[1])
symbol = network.get_symbol(num_classes=7, num_layers=20, image_shape='3,32,32', gpus=None, kv_store='device')
print(symbol.list_outputs(), network.__file__, os.environ['OMP_NUM_THREADS'], sys.argv)
"""


def test_in_mxnets_example(tmp_path):
    """As docs/module.md says: a file beside MXNet's own networks, found by its script, which is run by this package."""
    (tmp_path / "symbols").mkdir()
    (tmp_path / "symbols" / "__init__.py").touch()
    (tmp_path / "symbols" / "resnet.py").write_text("get_symbol = None  # MXNet's own\n")
    shutil.copy(ROOT / "symbols" / "a2net.py", tmp_path / "symbols")
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    words = [sys.executable, "-m", "a2net_gluon.symbols", str(script), "a2net"]
    variables = {name: value for name, value in usual_environment().items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(words, env=variables, cwd=ROOT, capture_output=True, text=True, check=True)
    copied = tmp_path / "symbols" / "a2net.py"
    assert done.stdout == f"['softmax_output'] {copied} {physical_cores()} {[str(script), 'a2net']}\n"


@pytest.mark.parametrize(("words", "message"), [(["absent.py"], "absent.py: no such file"), ([], "no script is named")])
def test_a_script_that_is_not_there(monkeypatch, capsys, words, message):
    monkeypatch.setattr(sys, "argv", ["python -m a2net_gluon.symbols", *words])
    with pytest.raises(SystemExit) as raised:
        runpy.run_module("a2net_gluon.symbols", run_name="__main__")
    assert raised.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith(f"python -m a2net_gluon.symbols: error: {message}; name a Python script and its arguments")
    assert text.count("\n") == 1


def test_the_layers_of_mxnets_command():
    net = get_model("resnet152", classes=5)
    symbol = symbol_of("resnet", num_layers=152, num_classes=5)
    assert {*symbol.list_arguments(), *symbol.list_auxiliary_states()} == {
        "data",
        "softmax_label",
        *net.collect_params(),
    }


@pytest.mark.parametrize("name", [SMALL, "a2net_mobilenet_v2", "a2net_resnet20_small_3d"])
def test_fine_tuning_finds_the_layer_before_the_classifier(name):
    """MXNet's fine-tune.py takes ``flatten0_output``, and puts a layer called ``fc`` behind it."""
    net = get_model(name, classes=2)
    features = net(mx.sym.var("data")).get_internals()["flatten0_output"]
    kept = {*features.list_arguments(), *features.list_auxiliary_states()} - {"data"}
    assert kept == {parameter for parameter in net.collect_params() if "fc" not in parameter}
    again = get_model(name, classes=2)(mx.sym.var("data"))
    assert "flatten0_output" in again.get_internals().list_outputs()


@pytest.mark.parametrize(("epoch", "end"), [(0, "fc_fwd_output"), (5, "softmax_output")])
def test_fine_tuning_as_mxnets_script_does_it(tmp_path, epoch, end):
    """What fine-tune.py does with an export or a checkpoint of Module's: a new ``fc``, all else kept, and its fit."""
    net, prefix = make(), str(tmp_path / "model")
    if epoch:
        module_of(a2net.get_symbol(2, 20), net).save_checkpoint(prefix, epoch)
    else:
        export_network(net, prefix, Description(SMALL, ("a", "b"), Preprocessing(32)))
    symbol, arguments, auxiliary = mx.model.load_checkpoint(prefix, epoch)
    assert symbol.list_outputs() == [end]
    head = mx.sym.FullyConnected(symbol.get_internals()["flatten0_output"], num_hidden=12, name="fc")
    kept = {name: array for name, array in arguments.items() if "fc" not in name}
    module = mx.mod.Module(mx.sym.SoftmaxOutput(head, name="softmax"))
    data, labels = photographs.batch(8)
    module.fit(
        mx.io.NDArrayIter(data, labels, 8, label_name="softmax_label"),
        num_epoch=1,
        kvstore=mx.kvstore.create("device"),
        optimizer_params={"learning_rate": 0.01, "wd": 0, "multi_precision": True},
        initializer=mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2),
        arg_params=kept,
        aux_params=auxiliary,
        allow_missing=True,
    )
    mx.nd.waitall()
    trained, _ = module.get_params()
    assert {*trained} == {*arguments}
    steps = {name: (trained[name] - array).norm().asscalar() for name, array in kept.items()}
    assert min(steps.values()) > 0
    # A step is short: a layer that is drawn anew is 1.4 of its length away from the old one.
    assert all(steps[name] < 0.1 * kept[name].norm().asscalar() for name in kept if name.endswith("_weight"))
    module.save_checkpoint(prefix, 9)
    again = get_model(SMALL, classes=12, pretrained=f"{prefix}-0009.params")
    np.testing.assert_allclose(probabilities(again, data), outputs(module, data), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("network", ["a2net", "resnet"])
def test_default_number_of_layers(network):
    # MXNet's scripts have no default for --num-layers, and its benchmark passes 0 for what it does not know
    texts = {symbol_of(network, num_layers=number).tojson() for number in (None, 0, 50)}
    assert len(texts) == 1
    assert "conv5_x__3" in texts.pop()
    assert importlib.import_module(f"symbols.{network}").get_symbol(10).list_outputs() == ["softmax_output"]


def test_options_of_the_network_reach_it():
    plain = resnet.get_symbol(10, 20)
    assert resnet.get_symbol(10, 20, context="a2", placement={"conv3": (1,)}).tojson() != plain.tojson()
    attributes = a2net.get_symbol(10, 20, norm_kwargs={"epsilon": 0.5}, reduction=4, identity_start=True).attr_dict()
    assert {one["eps"] for one in attributes.values() if "eps" in one} == {"0.5"}
    assert attributes["conv3_x__2_context__phi__conv_fwd"]["num_filter"] == "32"
    assert attributes["conv3_x__2_context__expand__conv_weight"]["__init__"] == "zeros"
    assert resnet.get_symbol(10, 20, reduction=None, context=None).tojson() == plain.tojson()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("placment", "did you mean 'placement'"),
        ("contexts", "did you mean 'context'"),
        ("norm_kwarg", "did you mean 'norm_kwargs'"),
        ("pretrained", "a symbol holds no parameters"),
    ],
)
def test_misspelt_options_are_not_dropped(key, message):
    with pytest.raises(TypeError, match=message):
        symbol_of("a2net", **{key: "x"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 34), "num_layers is 34"),
        ((5, 50, "1,28,28"), "image_shape"),
        ((5, 50, "3x28x28"), "image_shape"),
        ((5, 50, None), "image_shape"),
        ((5, 50, "3,224,224", "bfloat16"), "dtype is 'bfloat16'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        a2net.get_symbol(*arguments)


def test_float16_is_inside_only():
    symbol = symbol_of("a2net", num_layers=20, dtype="float16")
    arguments, results, auxiliary = symbol.infer_type(data=np.float32)
    types = dict(zip(symbol.list_arguments(), arguments))
    assert types["data"] == types["softmax_label"] == results[0] == np.float32
    assert types["conv2_x__1_c1x1-a__conv_weight"] == types["fc_weight"] == np.float16
    assert types["tail__bn_gamma"] == np.float32
    assert set(auxiliary) == {np.float32}
    assert symbol.tojson() == symbol_of("a2net", num_layers=20, dtype="float16").tojson()


def test_fit_as_mxnets_script_does_it(tmp_path):
    """The calls of common/fit.py, with its second run that goes on from a checkpoint (--load-epoch)."""
    symbol = symbol_of("a2net", num_layers=20, num_classes=2, image_shape="3,32,32")
    data, labels = photographs.batch(48)
    train = mx.io.NDArrayIter(data, labels, 8, label_name="softmax_label")
    losses, prefix = [], str(tmp_path / "model")

    def fit(begin, end, network, **parameters):
        mx.mod.Module(context=mx.cpu(), symbol=network).fit(
            train,
            begin_epoch=begin,
            num_epoch=end,
            eval_data=mx.io.NDArrayIter(data, labels, 8),
            eval_metric=["accuracy", mx.metric.create("ce")],
            kvstore=mx.kvstore.create("device"),
            optimizer="sgd",
            optimizer_params={"learning_rate": 0.02, "momentum": 0.9, "wd": 0.0001, "multi_precision": True},
            initializer=mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2),
            batch_end_callback=[lambda one: losses.append(dict(one.eval_metric.get_name_value())["cross-entropy"])],
            epoch_end_callback=mx.callback.do_checkpoint(prefix, period=1),
            allow_missing=True,
            **parameters,
        )

    mx.random.seed(0)
    fit(0, 2, symbol)
    saved, arguments, auxiliary = mx.model.load_checkpoint(prefix, 2)
    assert saved.tojson() == symbol_of("a2net", num_layers=20, num_classes=2, image_shape="3,32,32").tojson()
    fit(2, 3, saved, arg_params=arguments, aux_params=auxiliary)
    assert np.isfinite(losses).all()
    assert len(losses) == 18
    assert losses[-1] < 0.5 * losses[0]  # running means over an epoch
    assert (tmp_path / "model-0003.params").is_file()


@pytest.mark.slow
def test_module_trains_like_trainer():
    """Twenty steps from the same start, loss by loss, in double precision.

    In single precision the first losses agree to 1e-5 (the next test); then ReLUs that flip at rounding errors
    take the two apart, as they take apart a hybridized and an imperative network.
    """
    steps, size = 20, 4
    net = make()
    symbol = mx.sym.load_json(in_double(symbol_of("a2net", num_layers=20, num_classes=2).tojson()))
    arguments, auxiliary = module_parameters(net)
    module = mx.mod.Module(symbol)
    module.bind(
        [mx.io.DataDesc("data", (size, 3, 32, 32), np.float64)], [mx.io.DataDesc("softmax_label", (size,), np.float64)]
    )
    module.init_params(arg_params=arguments, aux_params=auxiliary)
    for parameter in net.collect_params().values():
        parameter.cast("float64")
    by_trainer, by_module = losses_of_both(net, module, steps, size, "float64")
    np.testing.assert_allclose(by_module, by_trainer, rtol=1e-9)
    assert np.ptp(by_trainer) > 0.1
    arguments, auxiliary = module.get_params()
    for values, mine in zip(module_parameters(net), (arguments, auxiliary)):
        for name, value in values.items():
            np.testing.assert_allclose(mine[name].asnumpy(), value.asnumpy(), rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(("network", "name"), [("a2net", SMALL), ("resnet", "resnet20_small")])
def test_module_starts_like_trainer_in_single_precision(network, name):
    net = make(name)
    module = module_of(symbol_of(network, num_layers=20, num_classes=2), net, 8)
    by_trainer, by_module = losses_of_both(net, module, 2, 8, "float32")
    np.testing.assert_allclose(by_module, by_trainer, rtol=1e-4)
    assert by_trainer[0] != by_trainer[1]


def in_double(text):
    """The text of a symbol with parameters of double precision."""
    return re.sub(r'"__dtype__": "0"', '"__dtype__": "1"', text)


def losses_of_both(net, module, steps, size, dtype):
    data, labels = photographs.batch(steps * size)
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), "sgd", SGD)
    net.hybridize(static_alloc=True, static_shape=True)
    by_trainer, by_module = [], []
    for start in range(0, steps * size, size):
        x = mx.nd.array(data[start : start + size], dtype=dtype)
        y = mx.nd.array(labels[start : start + size], dtype=dtype)
        with autograd.record():
            loss = loss_of(net(x), y)
        loss.backward()
        trainer.step(size)
        by_trainer.append(loss.mean().asscalar())

    def note(batch):
        mx.nd.waitall()  # or fit's end of the epoch keeps running statistics that lack the last step
        by_module.append(batch.eval_metric.get()[1])
        batch.eval_metric.reset()

    batches = mx.io.NDArrayIter(
        mx.nd.array(data, dtype=dtype), mx.nd.array(labels, dtype=dtype), size, label_name="softmax_label"
    )
    metric = mx.metric.CustomMetric(
        lambda label, share: -np.log(share[np.arange(len(label)), label.astype(int)]).mean()
    )
    fit = {"optimizer": "sgd", "optimizer_params": SGD, "num_epoch": 1}
    module.fit(batches, eval_metric=metric, batch_end_callback=note, **fit)
    mx.nd.waitall()
    return by_trainer, by_module


def test_weight_decay_is_trainers_and_can_be_mxnets():
    """The symbol carries Gluon's multipliers; without them MXNet spares biases and betas."""
    net, symbol = make(), a2net.get_symbol(2, 20)
    module = module_of(symbol, net)
    module.init_optimizer(optimizer_params={"wd": 1.0})
    assert {module._optimizer.wd_mult[name] for name in module_parameters(net)[0]} == {1.0}
    exec(blocks()[-1], {"symbol": symbol})
    module = module_of(symbol, net)
    module.init_optimizer(optimizer_params={"wd": 1.0})
    spared = {name for name in module_parameters(net)[0] if module._optimizer.wd_mult[name] == 0}
    assert spared == {name for name in net.collect_params() if name.endswith(("_bias", "_beta"))}


@pytest.mark.filterwarnings("ignore:Data provided by label_shapes")  # prediction needs no labels
def test_parameters_of_an_export(tmp_path):
    net = make(classes=3)
    export_network(net, tmp_path / "model", Description(SMALL, ("a", "b", "c"), Preprocessing(32)))
    _, arguments, auxiliary = mx.model.load_checkpoint(str(tmp_path / "model"), 0)
    module = mx.mod.Module(symbol_of("a2net", num_layers=20, num_classes=3))
    module.bind([("data", (4, 3, 32, 32))], for_training=False)
    module.set_params(arguments, auxiliary)
    data = photographs.batch(4)[0]
    np.testing.assert_allclose(outputs(module, data), probabilities(net, data), rtol=1e-4, atol=1e-6)


def test_parameters_of_a_live_network():
    net = make(classes=3)
    net.features.collect_params().setattr("grad_req", "null")  # frozen weights are arguments all the same
    arguments, auxiliary = module_parameters(net)
    assert all(name.endswith(("_running_mean", "_running_var")) for name in auxiliary)
    assert {*arguments, *auxiliary} == set(net.collect_params())
    assert not {*arguments} & {*auxiliary}
    module = module_of(symbol_of("a2net", num_layers=20, num_classes=3), net)
    data = photographs.batch(4)[0]
    expected = probabilities(net, data)
    np.testing.assert_allclose(outputs(module, data), expected, rtol=1e-4, atol=1e-6)
    arguments["fc_weight"][:] = 0  # copies
    np.testing.assert_array_equal(probabilities(net, data), expected)


def test_parameters_of_two_devices_are_averaged():
    net = get_model(SMALL)
    net.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    for device, value in ((0, 1.0), (1, 3.0)):
        net.collect_params()["tail__bn_running_mean"].data(mx.cpu(device))[:] = value
    arguments, auxiliary = module_parameters(net)
    assert set(auxiliary["tail__bn_running_mean"].asnumpy()) == {2.0}
    assert {array.context for array in (*arguments.values(), *auxiliary.values())} == {mx.cpu(0)}


def test_parameters_from_module(tmp_path):
    """A checkpoint of Module's is a parameter file of get_model's."""
    module = module_of(a2net.get_symbol(2, 20), make())
    data, labels = photographs.batch(4)
    module.init_optimizer(optimizer_params=SGD)
    for _ in range(2):
        module.forward_backward(mx.io.DataBatch([mx.nd.array(data)], [mx.nd.array(labels)]))
        module.update()
    mx.nd.waitall()
    module.save_checkpoint(str(tmp_path / "prefix"), 5)
    net = get_model(SMALL, classes=2, pretrained=str(tmp_path / "prefix-0005.params"))
    np.testing.assert_allclose(probabilities(net, data), outputs(module, data), rtol=1e-4, atol=1e-6)
    assert np.abs(probabilities(net, data) - probabilities(make(), data)).max() > 1e-3  # it has learned


def blocks():
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "module.md").read_text(encoding="utf-8"), re.DOTALL)


def test_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, labels = photographs.batch(16)
    names = {"train": mx.io.NDArrayIter(data, labels, 8), "val": mx.io.NDArrayIter(data, labels, 8)}
    for block in blocks():
        exec(compile(block, "module.md", "exec"), names)
    np.testing.assert_allclose(probabilities(names["net"], data[:8]), outputs(names["module"], data[:8]), rtol=1e-4)


def test_a_step_of_attention_can_be_left_out():
    """Every option of blocks that `get_model` has reaches the graph."""
    arguments = a2net.get_symbol(10, 20, distribution="uniform").list_arguments()
    assert any("__theta__" in name for name in arguments)
    assert not any("__rho__" in name for name in arguments)
