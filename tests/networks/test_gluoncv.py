"""A GluonCV user's session: our names in its model zoo, its tutorials, tools and published scripts."""

import math
import types

import cv2
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from mxnet.gluon import nn

import a2net_gluon
from a2net_gluon import cli
from a2net_gluon.networks.published import PRETRAINED
from tests.helpers import photographs

gluoncv = pytest.importorskip("gluoncv")

NAME = "a2net_resnet20_small"
CONV3 = "conv3_x__2_context___plus0"  # nodes: the ends of stages conv3 and conv4
CONV4 = "conv4_x__2_context___plus0"


@pytest.fixture(autouse=True)
def _registered():
    a2net_gluon.register_with_gluoncv()


def get_model(name=NAME, **kwargs):
    mx.random.seed(0)
    return gluoncv.model_zoo.get_model(name, **kwargs)


def make(classes=10):
    """A network whose running statistics have seen images, so that its logits say something."""
    net = get_model(classes=classes)
    net.initialize(mx.init.MSRAPrelu())
    with autograd.record():
        loss = net(mx.nd.array(photographs.batch(8)[0])).sum()
    loss.backward()
    mx.nd.waitall()
    return net


def values(net):
    mx.nd.waitall()  # running statistics are written in the backward pass
    return {name: parameter.data(mx.cpu()).asnumpy().copy() for name, parameter in net.collect_params().items()}


def assert_equal(one, other):
    assert list(one) == list(other)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def assert_same_answers(one, other):
    one, other = one.asnumpy(), other.asnumpy()
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())
    assert np.ptp(other, axis=0).max() > 1e-2 * np.abs(other).max()  # images are told apart


# Names


@pytest.mark.parametrize("name", a2net_gluon.list_models())
def test_every_name_is_known(name):
    assert name in gluoncv.model_zoo.get_model_list()
    net = get_model(name.upper(), classes=3)  # GluonCV makes them lower case
    assert type(net) is type(a2net_gluon.get_model(name))
    assert list(net.collect_params()) == list(a2net_gluon.get_model(name).collect_params())


def test_no_network_of_gluoncvs_is_hidden():
    theirs = {*gluoncv.model_zoo.pretrained_model_list()} - {*PRETRAINED}  # which are ours, and in their table too
    assert not {*a2net_gluon.list_models()} & theirs
    assert type(gluoncv.model_zoo.get_model("cifar_resnet20_v1")).__module__.startswith("gluoncv.")


def test_unknown_keyword_and_name():
    with pytest.raises(TypeError, match="unexpected keyword argument 'clases'; did you mean 'classes'"):
        get_model(clases=3)
    with pytest.raises(ValueError, match="not among the following model list"):
        get_model("a2net_resnet51")


# Fine-tuning


@pytest.mark.parametrize("hybrid", [True, False])
def test_fine_tuning_of_a_new_head(hybrid):
    net = make()
    before = values(net.features)
    with net.name_scope():
        net.output = nn.Dense(2)
    net.output.initialize(mx.init.Xavier(), ctx=[mx.cpu()])
    net.features.collect_params().setattr("grad_req", "null")
    if hybrid:
        net.hybridize()
    data, labels = photographs.batch(16)
    data, labels = mx.nd.array(data), mx.nd.array(labels)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.02, "momentum": 0.9, "wd": 1e-4})
    loss_of, losses = gluon.loss.SoftmaxCrossEntropyLoss(), []
    assert net(data).shape == (16, 2)
    head = values(net.output)
    for _ in range(8):
        with autograd.record():
            loss = loss_of(net(data), labels)
        loss.backward()
        trainer.step(16)
        losses.append(loss.mean().asscalar())
    assert losses[-1] < 0.7 * losses[0]
    assert all((value != head[name]).any() for name, value in values(net.output).items())
    assert_equal(values(net.features), before)


def test_a_new_head_on_a_hybridized_network():
    net = make()
    net.hybridize()
    data = mx.nd.array(photographs.batch(2)[0])
    assert net(data).shape == (2, 10)
    with net.name_scope():
        net.output = nn.Dense(5)
    net.output.initialize()
    assert net(data).shape == (2, 5)


# Features


def features_to(net, data, stage):
    for name, block in net.features._children.items():
        data = block(data)
        if name == stage:
            return data
    raise KeyError(stage)


def test_feature_extractor_on_a_network():
    net, data = make(), mx.nd.array(photographs.batch(2)[0])
    extractor = gluoncv.nn.feature.FeatureExtractor(net, [CONV3, CONV4], inputs=["data"])
    for output, stage in zip(extractor(data), ("conv3", "conv4")):
        assert_same_answers(output, features_to(net, data, stage))


def test_feature_extractor_by_name():
    extractor = gluoncv.nn.feature.FeatureExtractor(NAME, CONV3, classes=3)
    extractor.initialize(mx.init.MSRAPrelu())
    data = mx.nd.array(photographs.batch(2)[0])
    output = extractor(data)
    net = get_model(classes=3)
    net.initialize()
    for name, parameter in extractor.collect_params().items():
        if name in net.collect_params():
            net.collect_params()[name].set_data(parameter.data())
    assert output.shape == (2, 128, 16, 16)
    assert_same_answers(output, features_to(net, data, "conv3"))


def test_nodes_have_the_same_names_in_every_network():
    lists = [make()(mx.sym.var("data")).get_internals().list_outputs() for _ in range(2)]
    assert lists[0] == lists[1]


@pytest.mark.filterwarnings("ignore:Parameter .* is already initialized")  # the backbone's, by GluonCV's own habit
def test_feature_pyramid():
    """What GluonCV's detectors put on a backbone."""
    net = make()
    pyramid = gluoncv.nn.feature.FPNFeatureExpander(net, ["conv2_x__2__plus0", CONV3, CONV4], [8, 8, 8])
    pyramid.initialize()
    outputs = pyramid(mx.nd.array(photographs.batch(2)[0]))
    assert [output.shape for output in outputs] == [(2, 8, 32, 32), (2, 8, 16, 16), (2, 8, 8, 8)]


# Files


def test_parameter_files(tmp_path):
    net, path = make(), str(tmp_path / "saved.params")
    net.save_parameters(path)
    contexts = [mx.cpu(0), mx.cpu(1)]
    loaded = get_model()
    loaded.load_parameters(path, ctx=contexts)
    assert_equal(values(loaded), values(net))
    assert all(parameter.list_ctx() == contexts for parameter in loaded.collect_params().values())
    assert_equal(values(get_model(pretrained=path, ctx=contexts)), values(net))


def test_several_devices():
    contexts = [mx.cpu(0), mx.cpu(1)]
    net = get_model(ctx=contexts)
    net.initialize(mx.init.MSRAPrelu(), ctx=contexts)
    for parameter in net.collect_params().values():
        first, second = (parameter.data(context).asnumpy() for context in contexts)
        np.testing.assert_array_equal(first, second)


def preprocessed(images):
    """GluonCV's default preprocessing, in NumPy."""
    normal = (images - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
    return mx.nd.array(normal.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("preprocess", [True, None])
def test_export_block(preprocess, tmp_path):
    net, images = make(), photographs.pieces(4)[0]
    inputs = mx.nd.array(images) if preprocess else preprocessed(images)
    shape, layout = ((32, 32, 3), "HWC") if preprocess else ((3, 32, 32), "CHW")
    gluoncv.utils.export_block(str(tmp_path / "model"), net, data_shape=shape, preprocess=preprocess, layout=layout)
    expected = net(preprocessed(images))
    symbol = gluon.SymbolBlock.imports(
        str(tmp_path / "model-symbol.json"), ["data"], str(tmp_path / "model-0000.params")
    )
    assert_same_answers(symbol(inputs), expected)
    graph, arguments, auxiliary = mx.model.load_checkpoint(str(tmp_path / "model"), 0)
    module = mx.mod.Module(graph, label_names=None)
    module.bind([("data", inputs.shape)], for_training=False)
    module.set_params(arguments, auxiliary)
    module.forward(mx.io.DataBatch([inputs]), is_train=False)
    assert_same_answers(module.get_outputs()[0], expected)


# The published scripts


@pytest.mark.parametrize(
    "keywords",
    [
        {"last_gamma": True},  # train_imagenet.py --last-gamma
        {"norm_layer": gluoncv.nn.GroupNorm},  # train_imagenet.py --use-gn
        {"norm_layer": gluon.contrib.nn.SyncBatchNorm, "norm_kwargs": {"num_devices": 2}},  # detection scripts
    ],
    ids=["last_gamma", "group_norm", "sync_batch_norm"],
)
@pytest.mark.parametrize("name", ["a2net_resnet50", "resnet50"])
def test_keywords_of_the_scripts(name, keywords):
    net = get_model(name, ctx=[mx.cpu()], pretrained=False, classes=2, **keywords)
    net.initialize(mx.init.MSRAPrelu(), ctx=[mx.cpu()])
    assert net(mx.nd.array(photographs.batch(1, 64)[0])).shape == (1, 2)


def test_half_precision():
    """train_imagenet.py --dtype float16, as far as it goes without a GPU."""
    net = get_model(ctx=CONTEXT, pretrained=False, classes=CLASSES)
    net.cast("float16")
    net.initialize(mx.init.MSRAPrelu(), ctx=CONTEXT)
    gluon.Trainer(net.collect_params(), "nag", {"wd": 1e-4, "momentum": 0.9, "multi_precision": True})
    types = {name: parameter.data().dtype for name, parameter in net.collect_params().items()}
    assert {name for name, type_ in types.items() if type_ != np.float16} == {name for name in types if "_bn_" in name}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A record file of 24 pieces of photographs, packed with our command."""
    folder = tmp_path_factory.mktemp("records")
    for number, (image, label) in enumerate(zip(*photographs.pieces(24, 48))):
        (folder / "images" / str(label)).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / str(label) / f"{number}.png"), image[..., ::-1])
    assert cli.main(["pack", str(folder / "images"), str(folder / "train")]) == 0
    return folder / "train"


CLASSES, BATCH_SIZE, INPUT_SIZE, EPOCHS, BATCHES = 10, 8, 32, 2, 3  # of the options of the scripts
CONTEXT = [mx.cpu()]


def train_iterator(records):
    """get_data_rec of imagenet/train_imagenet.py, with a smaller input."""
    jitter, lighting = 0.4, 0.1
    return mx.io.ImageRecordIter(
        path_imgrec=f"{records}.rec",
        path_imgidx=f"{records}.idx",
        preprocess_threads=2,
        shuffle=True,
        batch_size=BATCH_SIZE,
        data_shape=(3, INPUT_SIZE, INPUT_SIZE),
        rand_mirror=True,
        random_resized_crop=True,
        max_aspect_ratio=4.0 / 3.0,
        min_aspect_ratio=3.0 / 4.0,
        max_random_area=1,
        min_random_area=0.08,
        brightness=jitter,
        saturation=jitter,
        contrast=jitter,
        pca_noise=lighting,
        **NORMALIZATION,
    )


def validation_iterator(records):
    """The iterator of imagenet/verify_pretrained.py --rec-dir and of train_imagenet.py."""
    return mx.io.ImageRecordIter(
        path_imgrec=f"{records}.rec",
        path_imgidx=f"{records}.idx",
        preprocess_threads=2,
        shuffle=False,
        batch_size=BATCH_SIZE,
        resize=math.ceil(INPUT_SIZE / 0.875),
        data_shape=(3, INPUT_SIZE, INPUT_SIZE),
        **NORMALIZATION,
    )


NORMALIZATION = {
    "mean_r": 123.68,
    "mean_g": 116.779,
    "mean_b": 103.939,
    "std_r": 58.393,
    "std_g": 57.12,
    "std_b": 57.375,
}


def on_devices(batch):
    return [gluon.utils.split_and_load(part[0], ctx_list=CONTEXT, batch_axis=0) for part in (batch.data, batch.label)]


def make_trainer(net):
    schedule = {"iters_per_epoch": BATCHES, "step_epoch": [1], "step_factor": 0.1, "power": 2}
    schedules = [
        gluoncv.utils.LRScheduler("linear", base_lr=0, target_lr=0.02, nepochs=1, iters_per_epoch=BATCHES),
        gluoncv.utils.LRScheduler("cosine", base_lr=0.02, target_lr=0, nepochs=EPOCHS - 1, **schedule),
    ]
    options = {"wd": 1e-4, "momentum": 0.9, "lr_scheduler": gluoncv.utils.LRSequential(schedules)}
    return gluon.Trainer(net.collect_params(), "nag", options)


def train_epoch(net, trainer, iterator):
    iterator.reset()
    metric, loss_of, losses = mx.metric.Accuracy(), gluon.loss.SoftmaxCrossEntropyLoss(), []
    for batch in iterator:
        data, labels = on_devices(batch)
        with autograd.record():
            outputs = [net(x.astype("float32", copy=False)) for x in data]
            loss = [loss_of(output, y.astype("float32", copy=False)) for output, y in zip(outputs, labels)]
        for one in loss:
            one.backward()
        trainer.step(BATCH_SIZE)
        metric.update(labels, outputs)
        losses += [one.mean().asscalar() for one in loss]
    mx.nd.waitall()
    return losses, metric.get()[1]


def verify(net, records):
    top1, top5 = mx.metric.Accuracy(), mx.metric.TopKAccuracy(5)
    count = 0
    for batch in validation_iterator(records):
        data, labels = on_devices(batch)
        outputs = [net(x.astype("float32", copy=False)) for x in data]
        top1.update(labels, outputs)
        top5.update(labels, outputs)
        count += len(outputs[0])
    return top1.get()[1], top5.get()[1], count


@pytest.fixture(scope="module")
def trained(records, tmp_path_factory):
    """The run of train_imagenet.py --use-rec --mode hybrid --no-wd --last-gamma, two epochs."""
    a2net_gluon.register_with_gluoncv()
    folder = tmp_path_factory.mktemp("params")
    net = get_model(NAME, ctx=CONTEXT, pretrained=False, classes=CLASSES, last_gamma=True)
    net.cast("float32")
    net.hybridize(static_alloc=True, static_shape=True)
    net.initialize(mx.init.MSRAPrelu(), ctx=CONTEXT)
    start = values(net)
    for parameter in net.collect_params(".*beta|.*gamma|.*bias").values():
        parameter.wd_mult = 0.0
    trainer, iterator, epochs = make_trainer(net), train_iterator(records), []
    for epoch in range(EPOCHS):
        epochs.append(train_epoch(net, trainer, iterator))
        net.save_parameters(str(folder / f"imagenet-{NAME}-{epoch}.params"))
        trainer.save_states(str(folder / f"imagenet-{NAME}-{epoch}.states"))
    return types.SimpleNamespace(net=net, trainer=trainer, folder=folder, start=start, epochs=epochs)


def test_training_script(trained):
    """imagenet/train_imagenet.py: every part of its epochs with the network."""
    losses = [loss for epoch, _ in trained.epochs for loss in epoch]
    assert len(losses) == EPOCHS * BATCHES
    assert np.isfinite(losses).all()
    assert all(0 <= accuracy <= 1 for _, accuracy in trained.epochs)
    now = values(trained.net)
    assert [name for name, value in now.items() if (value == trained.start[name]).all()] == []
    assert not trained.start["conv2_x__1_c1x1-c__conv_weight"].any()  # --last-gamma survives MSRAPrelu
    spared = {name for name, parameter in trained.net.collect_params().items() if parameter.wd_mult == 0}
    assert {name.rsplit("_", 1)[-1] for name in spared} == {"beta", "gamma", "bias"}
    assert trained.trainer.learning_rate < 0.02


def test_training_script_goes_on(trained, records):
    """train_imagenet.py --resume-params FILE --resume-states FILE: loaded into a network that is not initialised."""
    net = get_model(NAME, ctx=CONTEXT, pretrained=False, classes=CLASSES, last_gamma=True)
    net.cast("float32")
    net.load_parameters(str(trained.folder / f"imagenet-{NAME}-1.params"), ctx=CONTEXT)
    assert_equal(values(net), values(trained.net))
    net.hybridize(static_alloc=True, static_shape=True)
    trainer = make_trainer(net)
    trainer.load_states(str(trained.folder / f"imagenet-{NAME}-1.states"))
    losses, _ = train_epoch(net, trainer, train_iterator(records))
    assert np.isfinite(losses).all()
    assert trainer.optimizer.num_update == (EPOCHS + 1) * BATCHES


@pytest.mark.filterwarnings("ignore:load_params is deprecated")
@pytest.mark.parametrize("dtype", ["float32", None])  # None: its --dtype has no default
@pytest.mark.parametrize("load", ["load_parameters", "load_params"])  # load_params until GluonCV 0.3
def test_verification_script(dtype, load, trained, records):
    """imagenet/verify_pretrained.py --params-file FILE --rec-dir DIR, and its count of parameters."""
    net = get_model(NAME, ctx=CONTEXT, pretrained=False, classes=CLASSES)
    net.cast(dtype)
    getattr(net, load)(str(trained.folder / f"imagenet-{NAME}-1.params"), ctx=CONTEXT)
    net.hybridize()
    top1, top5, count = verify(net, records)
    assert (top1, top5, count) == (*verify(trained.net, records)[:2], 24)
    assert 0 < top1 <= top5 <= 1
    other = get_model(NAME, ctx=mx.cpu(), pretrained=False, classes=CLASSES)
    other.initialize()
    other(mx.nd.zeros((1, 3, INPUT_SIZE, INPUT_SIZE)))
    sizes = {name: parameter.data().size for name, parameter in other.collect_params().items()}
    assert sum(sizes.values()) == sum(value.size for value in trained.start.values())


def test_export_script(trained, tmp_path, monkeypatch):
    """deployment/export/export_pretrained.py: no data_shape given, the network's name is the prefix."""
    monkeypatch.chdir(tmp_path)
    net = get_model(NAME, classes=CLASSES, pretrained=str(trained.folder / f"imagenet-{NAME}-1.params"))
    gluoncv.utils.export_block(NAME, net, preprocess=True, layout="HWC")
    images = photographs.pieces(4)[0]
    block = gluon.SymbolBlock.imports(f"{NAME}-symbol.json", ["data"], f"{NAME}-0000.params")
    assert_same_answers(block(mx.nd.array(images)), trained.net(preprocessed(images)))


def test_cifar_script():
    """cifar/train_cifar10.py: Xavier, only `classes`, the rate set by hand; and cifar/demo_cifar10.py's transform."""
    net = get_model(NAME, classes=10)
    net.initialize(mx.init.Xavier(), ctx=CONTEXT)
    net.hybridize()
    options = {"learning_rate": 0.1, "wd": 1e-4, "momentum": 0.9}
    trainer = gluon.Trainer(net.collect_params(), "nag", options)
    trainer.set_learning_rate(trainer.learning_rate * 0.1)
    transform = gluon.data.vision.transforms.Compose(
        [
            gluoncv.data.transforms.RandomCrop(32, pad=4),
            gluon.data.vision.transforms.RandomFlipLeftRight(),
            gluon.data.vision.transforms.ToTensor(),
            gluon.data.vision.transforms.Normalize([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
        ]
    )
    images, labels = photographs.pieces(8)
    data = mx.nd.stack(*[transform(mx.nd.array(image, dtype="uint8")) for image in images])
    loss_of, before = gluon.loss.SoftmaxCrossEntropyLoss(), values(net)
    with autograd.record():
        loss = loss_of(net(data), mx.nd.array(labels))
    loss.backward()
    trainer.step(8)
    assert all((value != before[name]).any() for name, value in values(net).items())
