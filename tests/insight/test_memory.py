"""Memory that is not there is refused in one line, before a command reads an image."""

import re

import pytest

from tests.helpers.commands import SMALL, call, error

PUBLISHED = (SMALL, "--use-pretrained", "--input-size", 32)


@pytest.fixture
def commands(tmp_path):
    """Each command with an image that cannot be read, and its advice."""
    (tmp_path / "bad.png").write_bytes(b"no image")
    out = ("--output", tmp_path / "out" / "x")
    return [
        (("evaluate", *PUBLISHED), "lower --batch-size or --input-size"),
        (("export", *PUBLISHED, *out, "--images", tmp_path / "bad.png"), "lower --input-size, or name fewer images"),
        (("attention", tmp_path / "bad.png", "--model", *PUBLISHED, *out), "lower --input-size"),
    ]


def test_memory_that_is_not_there(commands, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("a2net_gluon.devices.available_memory", lambda: 1_000_000)
    for arguments, advice in commands:
        text = error(capsys, 2, *arguments)
        assert text.endswith(f"GB for each device (estimate), 0.0 GB are free: {advice}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.png"]


def test_memory_that_is_there(commands, capsys, monkeypatch):
    monkeypatch.setattr("a2net_gluon.devices.available_memory", lambda: 10**10)
    for arguments, _ in commands:
        code, out, err = call(capsys, *arguments)
        assert "GB" not in out + err
        assert code == 0 if arguments[0] == "evaluate" else "not an image OpenCV can decode" in err


def test_a_batch_that_no_machine_holds(capsys):
    """The largest operator is the sum in the first stage: two maps of 64 channels and theirs, without a stride."""
    flags = ("--use-pretrained", "--input-size", 4096, "--batch-size", 4096)
    needed = 4096 * 3 * 64 * 4096**2 * 4
    assert f"about {needed / 1e9:.1f} GB for each device" in error(capsys, 2, "evaluate", SMALL, *flags)


def test_maps_that_mxnet_does_not_compute(commands, capsys, monkeypatch, tmp_path):
    """MXNet would end the process; see the tests of `mxnet_fixes.divides_by_zero`."""
    monkeypatch.setattr("a2net_gluon.devices.available_memory", lambda: 10**12)
    monkeypatch.setattr("a2net_gluon.insight.memory.has_avx512", lambda: True)
    train = ("train", "--model", SMALL, "--num-epochs", 1, "--save-dir", tmp_path / "run", "--batch-size", 1)
    for arguments in (train, *(arguments for arguments, _ in commands)):
        text = error(capsys, 2, *arguments, "--input-size", 1024)
        assert "a 1×1 convolution of 64 filters on 1024×1024 would end the process" in text
        assert text.endswith("choose another --input-size, e.g. 32 pixels less\n")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.png"]
    text = error(capsys, 1, *commands[2][0], "--input-size", 992)  # the image is what is wrong
    assert "not an image OpenCV can decode" in text
    monkeypatch.setattr("a2net_gluon.insight.memory.has_avx512", lambda: False)
    assert "not an image OpenCV can decode" in error(capsys, 1, *commands[2][0], "--input-size", 1024)


def test_arrays_that_mxnet_cannot_count(capsys, monkeypatch, tmp_path):
    """The scores of a non-local block after conv2 (Table 2), 25,088² for each clip; and maps of the first stage."""
    monkeypatch.setattr("a2net_gluon.devices.available_memory", lambda: 10**12)
    clips = ("--input-size", 112, "--clip-length", 16, "--context", "nl", "--placement", "conv2:2", "--batch-size", 4)
    for values, arguments in {
        "2,517,630,976": ("train-video", "--model", "resnet26_3d", *clips, "--save-dir", tmp_path / "run"),
        f"{64 * 64 * 992**2:,}": ("evaluate", SMALL, "--use-pretrained", "--input-size", 992, "--batch-size", 64),
    }.items():
        text = error(capsys, 2, *arguments)
        assert re.search(rf"the output of \S+ would have {values} values, more than MXNet 1.9.1 can count", text)
        assert text.endswith("lower --batch-size or --input-size\n")
    assert not (tmp_path / "run").exists()


def test_all_images_of_an_export_are_counted(commands, capsys, monkeypatch, tmp_path):
    """A batch holds 16 of them, but all are in memory as pixels and as numbers."""
    monkeypatch.setattr("a2net_gluon.devices.available_memory", lambda: 50_000_000)
    _, (arguments, advice), _ = commands
    assert "none of 1 files can be read" in error(capsys, 1, *arguments)
    assert advice in error(capsys, 2, *arguments, *([tmp_path / "bad.png"] * 3000))
