"""What a2net check finds."""

import shutil

import pytest

from a2net_gluon import cli, environment, train
from a2net_gluon.errors import UsageError
from a2net_gluon.options import parse_training

SMALL = ("--model", "a2net_resnet20_small", "--input-size", "32", "--batch-size", "4")


def findings(capsys, code, *flags):
    assert cli.main(["check", *(str(flag) for flag in flags)]) == code
    return capsys.readouterr().out


def test_sound_run(capsys, image_folder, tmp_path):
    text = findings(capsys, 0, "--data-dir", image_folder, *SMALL, "--save-dir", tmp_path / "run")
    for part in (
        "devices: cpu(0)",
        "training data: 12 images, 2 classes of 6 to 6",
        "validation data: 10 images, 2 classes of 5 to 5",
        "10 images decoded at",
        "validation resize 37, crop 32; mean 124, 117, 104; scale 0.0167",
        "100 epochs of 3 steps, total batch 4",
        "memory: about 0.0 GB for each device",
        "GB free in",
    ):
        assert part in text
    assert "FAIL" not in text
    assert not (tmp_path / "run").exists()


def test_length_in_iterations(capsys, image_folder):
    length = ("--num-iterations", 7, "--warmup-iterations", 2, "--lr", 0.25)
    text = findings(capsys, 0, "--data-dir", image_folder, *SMALL, *length)
    assert "3 epochs of 3 steps, the last one of 1, total batch 4" in text
    assert "learning rate 0.125 in step 1, 0.25 after the warm-up" in text


def test_every_image_is_read_for_the_list_of_bad_ones(capsys, image_folder, tmp_path):
    odd = image_folder / "train" / "cat" / "0\t\x1b.jpg"
    odd.write_bytes(b"no image")
    (image_folder / "val" / "dog" / "4.jpg").write_bytes(b"")
    flags = ("--data-dir", image_folder, *SMALL, "--save-dir", tmp_path / "run", "--bad-list", tmp_path / "bad.tsv")
    text = findings(capsys, 1, *flags)
    assert f"FAIL bad list: 2 of 23 images cannot be read; written: {tmp_path}/bad.tsv" in text
    assert (tmp_path / "bad.tsv").read_text(encoding="utf-8").splitlines() == [
        f"{image_folder}/train/cat/0\\t\\x1b.jpg\tnot an image OpenCV can decode",
        f"{image_folder}/val/dog/4.jpg\tempty file",
    ]


def test_images_with_problems(capsys, image_folder):
    (image_folder / "train" / "cat" / "0.jpg").write_bytes(b"no image")
    text = findings(capsys, 0, "--data-dir", image_folder, *SMALL, "--input-size", 48)
    assert "warn training data: 1 of 12 cannot be read, e.g. " in text
    assert "cat/0.jpg (not an image OpenCV can decode)" in text
    assert "are smaller than 48 pixels" in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--num-gpus", 2), "GPU 0 asked for"),
        (("--dtype", "float16"), "no float16 convolution on the CPU"),
        (("--batch-size", 400), "lower --batch-size"),
        (("--warmup-epochs", 100), "the warm-up must be shorter"),
        (("--model", "resnet51"), "unknown model"),
        (("--accumulate", 50), "lower it"),
        (("--resume-params", "none.params"), "no such parameter file"),
        (("--teacher", "setup.py"), "no model.json beside it"),
        (("--resume",), "needs --save-dir"),
        (("--benchmark",), "both name the data"),
        (("--ema", 1), "must be below 1"),
        (("--temporal-lr-mult", 0.5), "no kernel of the network is longer than one frame"),
        (("--precise-bn", 4), "--precise-bn is 4, an epoch has 3 batches: lower it"),
    ],
)
def test_what_would_fail(flags, message, capsys, image_folder):
    text = findings(capsys, 1, "--data-dir", image_folder, *SMALL, *flags)
    assert "FAIL options and data: " in text
    assert message in text


def test_missing_data(capsys, tmp_path):
    assert "FAIL" in findings(capsys, 1, "--data-dir", tmp_path / "none")
    (tmp_path / "v.rec").touch()
    assert "no such record file" in findings(capsys, 1, "--rec-train", tmp_path / "t.rec", "--rec-val", tmp_path / "v")


@pytest.mark.parametrize("available", [10_000_000, 10**12, None])
def test_memory(capsys, monkeypatch, image_folder, tmp_path, available):
    flags = ("--data-dir", image_folder, *SMALL, "--batch-size", "3", "--save-dir", tmp_path / "run")
    monkeypatch.setattr("a2net_gluon.devices.available_memory", lambda: available)
    too_much = available == 10_000_000
    text = findings(capsys, int(too_much), *flags)
    if too_much:
        assert "FAIL options and data: about 0.0 GB for each device (estimate), 0.0 GB are free: lower " in text
        assert "data: 12 images" not in text  # nothing is read
        with pytest.raises(UsageError, match=r"0.0 GB are free: lower --batch-size or --input-size"):
            train(parse_training([str(flag) for flag in flags]).training)
        assert not (tmp_path / "run").exists()
    else:
        assert (
            f"ok   memory: about 0.0 GB for each device (estimate){', 1000.0 GB are free' if available else ''}\n"
            in text
        )


@pytest.mark.parametrize(
    "flags",
    [
        ("--batch-size", 65536, "--input-size", 4096),
        ("--model", "a2net_resnet50", "--input-size", 4096),
        ("--benchmark-batches", 1, "--classes", 1_000_000, "--batch-size", 65536),
    ],
)
def test_more_memory_than_any_machine_has(capsys, flags):
    text = findings(capsys, 1, "--benchmark", "--model", "a2net_resnet20_small", "--batch-size", 512, *flags)
    assert "GB are free: lower --batch-size or --input-size" in text


def test_full_disk(capsys, monkeypatch, image_folder):
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    text = findings(capsys, 1, "--data-dir", image_folder, *SMALL)
    assert "FAIL disk: 0.0 GB free" in text
    assert "warn shared memory" in text


def test_cuda_libraries_are_named_with_their_package(capsys, monkeypatch):
    """There is no CUDA here: all of them are missing, and none is needed by the CPU build."""
    missing = environment.missing_cuda_libraries()
    assert missing["libcudnn.so.8"] == "pip install nvidia-cudnn-cu11"
    assert missing["libnvToolsExt.so.1"] == "pip install nvidia-nvtx-cu11"
    assert "driver" in missing["libcuda.so.1"]
    monkeypatch.setattr(environment, "has_cuda_build", lambda: True)
    text = findings(capsys, 1)
    assert "FAIL CUDA: libnccl.so.2 is missing: pip install nvidia-nccl-cu11" in text
