"""GluonCV's action-recognition scripts with our networks for clips: its data pipeline, its way to make a network."""

import random

import cv2
import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

import a2net_gluon
from a2net_gluon.errors import UsageError
from tests.helpers.videos import moving_frames

gluoncv = pytest.importorskip("gluoncv")
from gluoncv.data.transforms import video  # noqa: E402

NAME, SIZE, LENGTH, SEED = "a2net_resnet20_small_3d", 16, 4, 3


@pytest.fixture(autouse=True)
def _registered():
    a2net_gluon.register_with_gluoncv()


def make(**options):
    mx.random.seed(SEED)
    np.random.seed(SEED)  # MXNet's initializers draw from both
    random.seed(SEED)  # and GluonCV's transforms from this one
    return gluoncv.model_zoo.get_model(name=NAME, pretrained=False, **options)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Folders of frames and their list, as GluonCV's scripts take them: path, number of frames, label."""
    root, lines = tmp_path_factory.mktemp("rawframes"), []
    for number in range(8):
        (root / f"video{number}").mkdir()
        for place, frame in enumerate(moving_frames(12, 24, 32, seed=number)):
            bright = frame // 2 + 128 * (number % 2)
            cv2.imwrite(str(root / f"video{number}" / f"img_{place + 1:05d}.jpg"), bright.astype(np.uint8))
        lines.append(f"video{number} 12 {number % 2}\n")
    (root / "list.txt").write_text("".join(lines))
    return root


def loader(root, segments, train, crops=1):
    """Batches of test_recognizer.py and train_recognizer.py with --input-5d, from frames."""
    kind = video.VideoGroupTrainTransform if train else video.VideoGroupValTransform
    shape = (SIZE, SIZE) if train else SIZE
    more = {"scale_ratios": [1.0, 0.875]} if train else {}
    transform = kind(size=shape, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225], **more)
    dataset = gluoncv.data.VideoClsCustom(
        root=str(root),
        setting=str(root / "list.txt"),
        train=train,
        new_width=32,
        new_height=24,
        new_length=LENGTH,
        target_width=SIZE,
        target_height=SIZE,
        num_segments=segments,
        num_crop=crops,
        transform=transform,
    )
    return gluon.data.DataLoader(dataset, batch_size=4, shuffle=False)


@pytest.mark.parametrize("segments", [1, 2])
def test_the_training_script(frames, segments):
    """train_recognizer.py --model … --num-segments N --new-length 4 --input-5d, its loop and its evaluation."""
    net = make(nclass=2, use_tsn=False, num_segments=segments, partial_bn=False, bn_frozen=False)
    net.cast("float32")
    net.collect_params().reset_ctx([mx.cpu()])
    net.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(
        net.collect_params(), "sgd", {"learning_rate": 0.01, "momentum": 0.9}, update_on_kvstore=False
    )
    loss_of, losses = gluon.loss.SoftmaxCrossEntropyLoss(), []
    for _ in range(15):  # so many that the running statistics are those of the data
        for data, label in loader(frames, segments, train=True):
            assert data.shape == (4, segments, 3, LENGTH, SIZE, SIZE)
            with autograd.record():
                predicted = net(data.reshape((-1, *data.shape[2:])))
                loss = loss_of(predicted, label)
            loss.backward()
            trainer.step(4)
            assert predicted.shape == (4, 2)
            losses.append(loss.mean().asscalar())
    assert np.mean(losses[-2:]) < 0.5 * np.mean(losses[:2])
    accuracy = mx.metric.Accuracy()
    for data, label in loader(frames, segments, train=False):
        accuracy.update([label], [net(data.reshape((-1, *data.shape[2:])))])
    assert accuracy.get()[1] >= 0.75


def test_views_are_averaged_as_in_gluoncvs_networks(tmp_path):
    """test_recognizer.py and inference.py: the features of segments × crops in a row are averaged before the output."""
    plain = make(nclass=3)
    plain.save_parameters(str(tmp_path / "best.params"))
    net = make(nclass=3, num_segments=2, num_crop=3)
    net.load_parameters(str(tmp_path / "best.params"), ctx=[mx.cpu()])  # the names of parameters are the same
    x = mx.nd.random.normal(shape=(12, 3, LENGTH, SIZE, SIZE))
    features = plain.features(x).asnumpy().reshape(2, 6, -1).mean(axis=1)
    weight, bias = (plain.output.params.get(name).data().asnumpy() for name in ("weight", "bias"))
    for hybrid in (False, True):
        net.hybridize(hybrid)
        np.testing.assert_allclose(net(x).asnumpy(), features @ weight.T + bias, rtol=1e-4, atol=1e-5)


def test_frozen_bn_keeps_its_statistics():
    net = make(nclass=2, bn_frozen=True)
    x = mx.nd.random.normal(shape=(2, 3, LENGTH, SIZE, SIZE))
    before = {name: value.data().asnumpy() for name, value in net.collect_params(".*running.*").items()}
    evaluated = net(x).asnumpy()
    with autograd.record():
        trained = net(x)
    trained.backward()
    mx.nd.waitall()
    np.testing.assert_allclose(trained.asnumpy(), evaluated, rtol=1e-4, atol=1e-6)
    for name, value in net.collect_params(".*running.*").items():
        np.testing.assert_array_equal(value.data().asnumpy(), before[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_tsn": True}, f"use_tsn is not for {NAME}: it averages frames .* omit --use-tsn"),
        ({"partial_bn": True}, "partial_bn is not for .* freeze all with --freeze-bn"),
        ({"feat_ext": True}, "feat_ext is not for .* net.features"),
        ({"num_segments": 0}, "num_segments is 0; it must be a positive whole number"),
    ],
)
def test_what_has_no_meaning_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        make(nclass=2, **options)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nclas'"):
        make(nclas=2)
