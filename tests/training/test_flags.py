"""What single flags do, in short runs on the digits."""

import functools
import json
import re
import time
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model, options, settings
from a2net_gluon.data import Batch, Preprocessing
from a2net_gluon.networks import catalog
from a2net_gluon.training import assembly, progress
from a2net_gluon.training import run as run_module
from tests.helpers.runs import arrays, epochs, stopping_source
from tests.helpers.twins import clips, images


def test_start_from_parameters_and_states(train):
    first, _ = train("--num-epochs", 1)
    params = ("--resume-params", first / "best.params")
    run, said = train(*params, "--resume-epoch", 1, name="second")
    assert [row["epoch"] for row in epochs(run)] == ["2"]
    assert "epoch 1/2" not in said
    _, said = train(*params, "--resume-states", first / "none.states", name="third", code=2)
    assert "no such file of trainer states" in said
    (first / "bad.states").write_bytes(b"no pickle")
    _, said = train(*params, "--resume-states", first / "bad.states", name="fourth", code=1)
    assert "not a file of gluon.Trainer.save_states" in said
    _, said = train("--use-pretrained", "--model", "resnet20_small", name="fifth", code=2)
    assert "no published weights" in said


def networks(classes, *flags):
    """The network that training with these flags starts from, and the copy for validation."""
    training = options.parse_training(flags).training.resolved()
    preprocessing = assembly.training_preprocessing(training)
    description = assembly.describe(training, tuple(map(str, range(classes))), preprocessing)
    return assembly.make_networks(training, [mx.cpu()], description)[:2]


def first_network(classes, *flags):
    return networks(classes, *flags)[0]


def test_the_copy_for_validation_takes_no_memory_for_gradients():
    for net, expected in zip(networks(10), (True, False)):
        requests = {parameter.grad_req for name, parameter in net.collect_params().items() if "running" not in name}
        assert ("write" in requests) is expected


def test_start_from_published_parameters():
    published = get_model("a2net_resnet20_small", pretrained=True)
    x = mx.nd.random.normal(shape=(2, 3, 32, 32))
    same = first_network(10, "--use-pretrained")
    np.testing.assert_allclose(same(x).asnumpy(), published(x).asnumpy(), rtol=1e-4, atol=1e-4)
    with pytest.warns(UserWarning, match="trained for 10 classes, the network has 3: loaded all but the output layer"):
        other = first_network(3, "--use-pretrained")
    np.testing.assert_allclose(other.features(x).asnumpy(), published.features(x).asnumpy(), rtol=1e-4, atol=1e-4)


def test_start_from_a_trained_backbone(train):
    base, _ = train("--num-epochs", 1, "--model", "resnet20_small")
    path = base / "best.params"
    net = first_network(10, "--pretrained-base", str(path))
    backbone = get_model("resnet20_small", pretrained=path)
    x = mx.nd.random.normal(shape=(2, 3, 16, 16))
    np.testing.assert_allclose(net(x).asnumpy(), backbone(x).asnumpy(), rtol=1e-4, atol=1e-4)
    _, said = train("--num-epochs", 1, "--pretrained-base", path, name="extended")
    taken = len(arrays(path))
    assert f"best.params: {taken} taken; 40 new (features.conv3.context2, features.conv4.context2)" in said
    _, said = train("--num-epochs", 1, "--pretrained-base", path, "--model", "resnet50", name="wrong", code=2)
    assert "holds no backbone of this network" in said


def test_start_of_a_network_for_clips_from_one_for_images(train, monkeypatch):
    """Without kernels along time there is no border: the features of a still clip are those of the image."""
    widths = (64, 128)
    flat, deep = (make(widths=widths).architecture for make in (images, functools.partial(clips, (1, 1, 1))))
    monkeypatch.setitem(catalog.NETWORKS, "tiny", catalog.NamedNetwork(flat, 10, (3, 16, 16)))
    named = catalog.NamedNetwork(deep, 3, (3, 3, 16, 16), "a2", {"conv3": (2,)})
    monkeypatch.setitem(catalog.NETWORKS, "tiny_3d", named)
    base, _ = train("--num-epochs", 1, "--model", "tiny")
    training = settings.Training(network=settings.Network("tiny_3d"), start=settings.Start(base=base / "best.params"))
    description = assembly.describe(training, ("left", "right", "up"), Preprocessing(16, frames=3))
    net, _, (note,) = assembly.make_networks(training, [mx.cpu()], description)
    image = mx.nd.random.normal(shape=(2, 3, 16, 16))
    expected = get_model("tiny", pretrained=base / "best.params").features(image).asnumpy()
    clip = image.expand_dims(2).broadcast_to((2, 3, 3, 16, 16))
    np.testing.assert_allclose(net.features(clip).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 0.1
    words = r"best.params: \d+ inflated, \d+ copied; 2 left \(output.weight, output.bias\); "
    assert re.search(words + r"22 new \(features.conv3.context2, output\)$", note)


def test_evaluate_instead_of_training(train):
    run, _ = train("--num-epochs", 1, "--ema", 0.5)
    before = sorted(path.name for path in run.iterdir())
    for file, column in (("best.params", "val_top1"), ("best-ema.params", "val_ema_top1")):
        _, said = train("--evaluate", "--resume-params", run / file)
        assert "on 16 of 16 images" in said
        assert f"top-1 {100 * float(epochs(run)[0][column]):.1f} %" in said
    assert sorted(path.name for path in run.iterdir()) == before
    _, said = train("--evaluate", code=2)
    assert "--evaluate needs --resume-params" in said


def test_input_alone_and_network_alone(train, tmp_path):
    _, said = train("--test-io", "--log-interval", 2, "-j", 1)
    assert "batch 4/8: " in said
    assert "1 reader, 8 batches of 8 images 8×8: " in said
    assert "images/s from the data alone" in said
    assert not (tmp_path / "run").exists()
    flags = ("--benchmark", "--model", "a2net_resnet20_small", "--batch-size", 4, "--classes", 10, "--input-size", 16)
    run, said = train(*flags, "--num-epochs", 1)
    assert "200 training samples" in said
    assert float(epochs(run)[0]["images_per_second"]) > 0
    assert float(epochs(run)[0]["data_wait"]) < 0.2


def slow_source(open_source, clock):
    """Sources whose every batch takes 100 s, by `clock`."""

    def opened(*args, **kwargs):
        source = open_source(*args, **kwargs)
        read = source.train

        def slowly(*epoch):
            for batch in read(*epoch):
                clock.lost += 100
                yield Batch(*batch)

        source.train = slowly
        return source

    return opened


def test_slow_reader_is_told(train, monkeypatch):
    flags = ("--benchmark", "--model", "a2net_resnet20_small", "--batch-size", 2, "--input-size", 16)
    _, said = train(*flags, "--num-epochs", 1)
    assert "training waits for" not in said
    clock = SimpleNamespace(lost=0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + clock.lost))
    monkeypatch.setattr(run_module, "open_source", slow_source(run_module.open_source, clock))
    run, said = train("--num-epochs", 1, name="slow")
    waited = float(epochs(run)[0]["data_wait"])
    assert waited > 0.2
    assert f"{100 * waited:.1f} % waiting for data" in said
    assert "training waits for images" in said
    assert "(-j, now 1)" in said


def test_tensorboard_files(train):
    pytest.importorskip("tensorboardX")
    run, _ = train("--tensorboard", "--num-epochs", 1)
    (file,) = (run / "tensorboard").iterdir()
    content = file.read_bytes()
    for name in (b"train_loss", b"val_top1", b"learning_rate"):
        assert name in content


def test_log_file_of_another_name(train):
    run, _ = train("--logging-file", "training.log", "--num-epochs", 1)
    assert "epoch 1/1: training loss" in (run / "training.log").read_text()
    assert not (run / "log.txt").exists()


def test_newest_and_best_checkpoints_are_kept(train):
    run, _ = train("--num-epochs", 5, "--lr", 0, "--keep", 1, "--save-frequency", 5)
    kept = [path.name for path in sorted((run / "checkpoints").iterdir())]
    best = max(epochs(run), key=lambda row: float(row["val_top1"]))["epoch"]
    assert kept == sorted({f"epoch-000{best}", "epoch-0005"})
    expected = arrays(run / "checkpoints" / f"epoch-000{best}" / "net.params")
    for name, array in arrays(run / "best.params").items():
        np.testing.assert_array_equal(array, expected[name])
    state = json.loads((run / "checkpoints" / "epoch-0005" / "state.json").read_text())
    assert (state["epoch"], state["batch"], state["seed"]) == (5, 0, 0)
    assert state["arguments"]["keep"] == 1


def test_checkpoint_that_was_lost_takes_its_best_parameters_with_it(train):
    """After a fall-back to an older checkpoint, best.params is that of the best epoch known."""
    run, _ = train("--num-epochs", 3, "--keep", 3)
    (run / "checkpoints" / "epoch-0003" / "net.params").write_bytes(b"damaged")
    (run / "best.params").write_bytes((run / "checkpoints" / "epoch-0001" / "net.params").read_bytes())
    _, said = train("--num-epochs", 3, "--resume", "--keep", 3)
    assert "epoch-0003: net.params is damaged" in said
    best = max(epochs(run), key=lambda row: float(row["val_top1"]))["epoch"]
    expected = arrays(run / "checkpoints" / f"epoch-000{best}" / "net.params")
    for name, array in arrays(run / "best.params").items():
        np.testing.assert_array_equal(array, expected[name])


def test_automatic_resume_starts_and_goes_on(train):
    run, said = train("--auto-resume", "--num-epochs", 1)
    assert "resumed" not in said
    _, said = train("--auto-resume", "--num-epochs", 2)
    assert "resumed from" in said
    assert "--num-epochs is 2, was 1 when this run was last started" in said
    assert [row["epoch"] for row in epochs(run)] == ["1", "2"]


def test_averages_can_begin_in_a_resumed_run(train):
    train("--num-epochs", 1)
    run, _ = train("--num-epochs", 2, "--resume", "--ema", 0.9)
    assert [row["val_ema_top1"] != "" for row in epochs(run)] == [False, True]
    assert (run / "best-ema.params").exists()


def test_teacher_of_a_run(train):
    teacher, _ = train("--num-epochs", 1)
    run, said = train("--teacher", teacher / "best.params", "--mixup", "--num-epochs", 1, name="student")
    assert float(epochs(run)[-1]["train_loss"]) > 0
    (teacher / "alone").mkdir()
    (teacher / "alone" / "x.params").write_bytes((teacher / "best.params").read_bytes())
    _, said = train("--teacher", teacher / "alone" / "x.params", name="a", code=2)
    assert "no model.json beside it" in said
    other = json.loads((teacher / "model.json").read_text())
    (teacher / "alone" / "model.json").write_text(json.dumps({**other, "classes": list("9876543210")}))
    _, said = train("--teacher", teacher / "alone" / "x.params", name="b", code=2)
    assert "knows 10 classes (9 first), the data have 10 (0 first)" in said


def test_teacher_of_no_zoo(train):
    pytest.importorskip("gluoncv")
    _, said = train("--teacher", "resnet5000", code=2)
    assert "neither a file nor a name of GluonCV's model zoo" in said


@pytest.mark.parametrize("flags", [("--mode", "imperative"), ("--norm", "frozen", "--lr", 0.001)])
def test_other_ways_to_compute(flags, train):
    run, _ = train(*flags, "--num-epochs", 1)
    assert np.isfinite(float(epochs(run)[0]["train_loss"]))


def test_sync_bn_of_one_device_is_bn(train):
    one, other = (epochs(train("--norm", norm, "--num-epochs", 1, name=norm)[0])[0] for norm in ("batch", "sync"))
    assert np.isfinite(float(one["train_loss"]))
    assert float(one["train_loss"]) == pytest.approx(float(other["train_loss"]), rel=0.05)


def test_sync_bn_on_several_cpu_contexts(train, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    _, said = train("--norm", "sync", "--cpu-contexts", 2, code=2)
    assert "crashes on several CPU contexts" in said


def test_float16_on_the_cpu(train):
    _, said = train("--dtype", "float16", code=2)
    assert "--dtype float16 needs GPUs" in said


def test_full_disk_leaves_earlier_checkpoints(train, monkeypatch):
    run, _ = train("--num-epochs", 1)

    def full(*arguments):
        raise mx.MXNetError("Check failed: fwrite: No space left on device")

    monkeypatch.setattr(mx.gluon.HybridBlock, "save_parameters", full)
    _, said = train("--num-epochs", 2, "--resume", code=1)
    assert "cannot be written; is the disk full?; the last checkpoint is" in said
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["epoch-0001"]


def test_log_on_a_full_disk(train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.txt").symlink_to("/dev/full")
    _, said = train("--num-epochs", 1)
    assert "Logging error" not in said
    assert "best validation top-1" in said


@pytest.mark.parametrize("flags", [("--batch-size", 16), ("--accumulate", 3), ("--seed", 1)])
def test_resumed_in_an_epoch_with_other_batches(flags, train, monkeypatch):
    """Half an epoch of other batches cannot be resumed: the epoch starts again."""
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "open_source", stopping_source(run_module.open_source, batches=5))
        train(code=143)
    run, said = train("--resume", *flags)
    assert "resumed from" in said
    assert "after 0 epochs and 5 batches" in said
    assert "the epoch starts again" in said
    assert [row["epoch"] for row in epochs(run)] == ["1", "2"]


def test_batches_that_make_up_no_step_are_told(train):
    _, said = train("--accumulate", 3, "--num-epochs", 1)
    assert "8 batches an epoch; the last 2 are left out, as a step takes 3" in said
    _, said = train("--accumulate", 4, "--num-epochs", 1, name="all")
    assert "left out" not in said


def test_seed_that_numpy_does_not_take(train, capsys):
    with pytest.raises(SystemExit) as raised:
        train("--seed", 5_000_000_000)
    assert raised.value.code == 2
