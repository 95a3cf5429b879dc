"""Whole training runs from the command line, each in a process of its own."""

import csv
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import cli
from tests.conftest import ROOT
from tests.data.test_sources import pack

SHORT = ("--num-epochs", "4", "--batch-size", "128", "--warmup-epochs", "0", "--seed", "5", "-j", "1")


def start(*arguments, **kwargs):
    return subprocess.Popen([sys.executable, "train_imagenet.py", *map(str, arguments)], cwd=ROOT, **kwargs)


def kill_after_epoch(epoch, folder, *arguments):
    """Start a run, kill it (SIGKILL) once the checkpoint of `epoch` stands, and wait for its workers to end."""
    process = start(*arguments, "--save-dir", folder, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while not (folder / "checkpoints" / f"epoch-{epoch:04d}").exists():
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    return process.pid


def arrays(path):
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}


def assert_same_end(one, other):
    for file in ("best.params", "checkpoints/epoch-0004/net.params", "checkpoints/epoch-0004/optimizer.params"):
        expected = arrays(one / file)
        for name, array in arrays(other / file).items():
            np.testing.assert_array_equal(array, expected[name], err_msg=f"{file} {name}")


@pytest.fixture(scope="module")
def data_flags(tmp_path_factory):
    """Flags for each kind of data; the digits, written as a folder and packed."""
    folder = tmp_path_factory.mktemp("digits")
    assert cli.main(["digits", str(folder)]) == 0
    files = {part: pack(folder / part, folder / f"{part}-records") for part in ("train", "val")}
    images = ("--model", "a2net_resnet20_small", "--input-size", "16", "--lr", "0.05")
    return {
        "digits": ("--input-size", "16"),
        "folder": ("--data-dir", folder, *images),
        "records": ("--rec-train", files["train"], "--rec-val", files["val"], *images),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["digits", "folder", "records"])
def test_killed_and_resumed_ends_bit_identical(kind, data_flags, tmp_path, command):
    flags = (*SHORT, *data_flags[kind])
    command("train_imagenet.py", *flags, "--save-dir", tmp_path / "whole")
    pid = kill_after_epoch(2, tmp_path / "killed", *flags)
    resumed = command("train_imagenet.py", *flags, "--save-dir", tmp_path / "killed", "--resume")
    assert re.search(r"resumed from \S+epoch-000[23] after [23] epochs", resumed.stdout)
    assert_same_end(tmp_path / "whole", tmp_path / "killed")
    left = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    assert left == ""
    with open(tmp_path / "killed" / "metrics.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]


@pytest.mark.slow
def test_run_folder_holds_everything(tmp_path, command):
    run = tmp_path / "run"
    command("train_imagenet.py", *SHORT, "--input-size", "16", "--save-dir", run)
    assert {path.name for path in run.iterdir()} == {
        "best.params",
        "checkpoints",
        "curves.png",
        "log.txt",
        "metrics.csv",
        "model.json",
        "run.json",
    }
    (first,) = json.loads((run / "run.json").read_text())["starts"]
    assert first["arguments"]["seed"] == 5
    assert first["arguments"]["model"] == "a2net_resnet20_small"
    assert first["versions"]["mxnet"] == mx.__version__
    log = (run / "log.txt").read_text()
    assert "1,437 training images, 360 validation images, seed 5" in log
    assert "learning rate 0.05 (cosine) for a total batch of 128 (1 × 128), 11 batches an epoch" in log
    assert "batch 10/11: loss" in log
    assert "waiting for data" in log
    assert "(360 of 360 images)" in log
    assert "\r" not in log

    changed = command("train_imagenet.py", *SHORT, "--lr", "0.2", "--save-dir", run, "--input-size", "16", "--resume")
    assert "--lr is 0.2, was 0.05 when this run was last started" in changed.stdout
    shutil.rmtree(run / "checkpoints" / "epoch-0004")
    (run / "checkpoints" / "epoch-0003" / "net.params").write_bytes(b"damaged")
    again = command("train_imagenet.py", *SHORT, "--save-dir", run, "--input-size", "16", "--resume")
    assert "epoch-0003: net.params is damaged" in again.stdout
    assert "starting from the beginning" in again.stdout


@pytest.mark.slow
def test_two_contexts_train_like_one(tmp_path, command):
    """Data parallelism over two CPU contexts; BN sees halves of a batch, so accuracies are compared, not parameters."""
    flags = ("--num-epochs", "4", "--input-size", "16", "-j", "1")
    command("train_imagenet.py", *flags, "--batch-size", "32", "--save-dir", tmp_path / "one")
    command("train_imagenet.py", *flags, "--batch-size", "16", "--cpu-contexts", "2", "--save-dir", tmp_path / "two")
    ends = []
    for name in ("one", "two"):
        with open(tmp_path / name / "metrics.csv") as file:
            ends.append(float(list(csv.DictReader(file))[-1]["train_top1"]))
    assert min(ends) > 0.8
    assert abs(ends[0] - ends[1]) < 0.06
    assert "cpu(0), cpu(1)" in (tmp_path / "two" / "log.txt").read_text()


@pytest.mark.slow
def test_terminal_gets_a_progress_bar_and_the_log_does_not(tmp_path):
    """On a terminal the bar is drawn over and over with carriage returns; the file has plain lines."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    flags = ("--num-epochs", "1", "--warmup-epochs", "0", "--batch-size", "128", "--input-size", "16", "-j", "1")
    process = start(*flags, "--save-dir", tmp_path / "run", stdout=follower, stderr=follower)
    os.close(follower)
    screen = b""
    try:
        while True:
            try:
                block = os.read(leader, 4096)
            except OSError:  # the terminal is closed when the process ends
                break
            if not block:
                break
            screen += block
        assert process.wait(60) == 0
    finally:
        process.kill()
        os.close(leader)
    text = screen.decode()
    assert "epoch 1/1: " in text
    assert re.search(r"\repoch 1/1: +\d+%.*/11 \[", text)
    assert "run folder" in text
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "/11 [" not in log
    assert "epoch 1/1 batch 10/11: loss" in log


@pytest.mark.slow
def test_full_size_photographs_through_the_papers_network(real_data, tmp_path, command):
    photos = sorted(real_data("imagenet_photos.tar").glob("*.JPEG"))
    folder = tmp_path / "photos"
    for number, photo in enumerate(photos[:24]):
        target = folder / ("val" if number % 3 == 0 else "train") / ("even" if number % 2 else "odd")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, target)
    run = tmp_path / "run"
    flags = ("--data-dir", folder, "--num-epochs", "1", "--batch-size", "4", "--lr", "0.01", "-j", "1")
    done = command("train_imagenet.py", *flags, "--log-interval", "1", "--save-dir", run)
    assert "a2net_resnet50, " in done.stdout
    assert "input 3×224×224" in done.stdout
    assert "(8 of 8 images)" in done.stdout
    command("export", "a2net_resnet50", "--params", run / "best.params", "--output", run / "export" / "photos")
    predicted = command("predict", run / "export" / "photos", *photos[:3], "--json")
    assert len(json.loads(predicted.stdout)) == 3


@pytest.mark.slow
def test_small_network_learns_real_photographs(real_data, tmp_path, command):
    """One short epoch on Tiny-ImageNet-20 is already far above chance, which is 5 %."""
    flags = ("--model", "a2net_resnet20_small", "--input-size", "32", "--num-epochs", "2", "--lr", "0.05", "-j", "1")
    folder = real_data("tiny_imagenet20.tar.xz")
    done = command("train_imagenet.py", "--data-dir", folder, *flags, "--save-dir", tmp_path / "run")
    best = float(re.search(r"best validation top-1 ([0-9.]+) %", done.stdout).group(1))
    assert "(1,000 of 1,000 images)" in done.stdout
    assert best > 20
