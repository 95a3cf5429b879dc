"""Whole training runs from the command line; those that are to be ended by a signal in a forked process."""

import csv
import fcntl
import json
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import termios
import time
from types import SimpleNamespace

import mxnet as mx
import pytest

from a2net_gluon import cli
from a2net_gluon.data import digits
from tests.helpers.commands import call, error
from tests.helpers.images import make_digit_folder, pack
from tests.helpers.processes import fork_command, in_session_of, left_by, wait_until
from tests.helpers.runs import assert_same_end

# Eight pixels are what the digits have.
SHORT = ("--num-epochs", "3", "--warmup-epochs", "0", "--batch-size", "128", "--input-size", "8", "--seed", "5")
SHORT = (*SHORT, "-j", "1")
# Of the 200 images for training that `data_flags` and `few_digits` leave, twelve batches an epoch.
FEW = (*SHORT, "--batch-size", "16")


def run_here(capsys, *flags):
    """Train in this process, which is quicker than to start one; returns what was said."""
    code, said, problem = call(capsys, "train", *flags)
    assert code == 0, problem
    return said


def train_forked(*flags, **kwargs):
    """Start training in a process forked from this one, the first of a session."""
    return fork_command("train", *flags, start_new_session=True, **kwargs)


@pytest.fixture
def few_digits(monkeypatch):
    """Of the digits, 200 for training and 50 for validation."""
    images, labels = digits.load_digits()
    monkeypatch.setattr(digits, "load_digits", lambda: (images[:250], labels[:250]))
    monkeypatch.setattr(digits, "TRAIN_COUNT", 200)


@pytest.fixture(scope="module")
def data_flags(tmp_path_factory):
    """Flags for each kind of data; some of the digits, as a folder and packed. Augmentation is on in each."""
    folder = make_digit_folder(tmp_path_factory.mktemp("digits"), 20, 5)
    files = {part: pack(folder / part, folder / f"{part}-records") for part in ("train", "val")}
    images = ("--model", "a2net_resnet20_small", "--lr", "0.05")
    return {
        "digits": (),
        "folder": ("--data-dir", folder, *images),
        "records": ("--rec-train", files["train"], "--rec-val", files["val"], *images),
        "native": ("--native-reader", "--rec-train", files["train"], "--rec-val", files["val"], *images),
    }


def moments_of(run):
    """Conditions at which to kill a run, each true once the folder shows more than when it was last started."""
    log = run / "log.txt"

    def said(text):
        before = log.read_text().count(text) if log.exists() else 0
        return lambda: log.exists() and log.read_text().count(text) > before

    def written(pattern):
        before = set(run.glob(f"checkpoints/{pattern}"))
        return lambda: set(run.glob(f"checkpoints/{pattern}")) - before

    yield said(" batch ")  # in the first epoch: there is no checkpoint
    yield written(".staging-*")  # the first checkpoint is being written
    yield written("epoch-*")  # it is there, best.params and metrics.csv are to follow
    yield said("resumed from")  # at a start
    yield said(" batch 4/")  # in an epoch after a resumption
    yield said(" batch 12/")  # at the end of an epoch and in validation
    yield written(".staging-*")  # a checkpoint is being written beside an older one


@pytest.mark.slow
def test_killed_again_and_again_ends_bit_identical(data_flags, tmp_path, capsys):
    """SIGKILL at every kind of moment that a run has; those in an epoch and in validation are random within it."""
    flags = (*FEW, *data_flags["records"], "--num-epochs", "4", "--log-interval", "2")
    run_here(capsys, *flags, "--save-dir", tmp_path / "whole")
    run, pauses, processes = tmp_path / "killed", random.Random(0), []
    for number, moment in enumerate(moments_of(run)):
        process = train_forked(*flags, "--save-dir", run, "--auto-resume", stdout=subprocess.DEVNULL)
        processes.append(process)
        try:
            assert wait_until(moment, process), number
            if number in (0, 4, 5):
                time.sleep(pauses.uniform(0, 0.1))
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(180)
    run_here(capsys, *flags, "--save-dir", run, "--auto-resume")
    assert_same_end(tmp_path / "whole", run)
    assert not list(run.glob("checkpoints/.staging-*"))
    assert not any(map(left_by, processes))


ALIVE = SimpleNamespace(poll=lambda: None)


@pytest.mark.slow
def test_two_started_at_once_on_one_folder(data_flags, tmp_path, capsys):
    """One of them trains, the other is refused and deletes nothing; the first is then killed, and resumed."""
    run, flags = tmp_path / "run", (*FEW, *data_flags["records"])
    run_here(capsys, *flags, "--save-dir", tmp_path / "whole")
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    processes = [train_forked(*flags, "--save-dir", run, "--auto-resume", **pipes) for _ in range(2)]
    try:
        assert wait_until(lambda: any(process.poll() is not None for process in processes), ALIVE)
        refused, trains = sorted(processes, key=lambda process: process.poll() is None)
        assert refused.returncode == 2
        assert f"{run} is in use by another run" in refused.stderr.read()
        assert wait_until(lambda: list(run.glob("checkpoints/epoch-*")), trains), trains.stderr.read()
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stderr.close()
    run_here(capsys, *flags, "--save-dir", run, "--auto-resume")
    assert_same_end(tmp_path / "whole", run)
    assert not list(run.glob(".lock"))


STATEFUL = ("--ema", "0.9", "--mixup", "--label-smoothing", "--accumulate", "2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "more", "number"),
    [
        ("native", (), signal.SIGTERM),
        ("folder", ("-j", "2"), signal.SIGINT),
        ("digits", (*STATEFUL, "--lr-mode", "plateau", "--plateau-patience", "1"), signal.SIGTERM),
    ],
)
@pytest.mark.usefixtures("few_digits")
def test_stopped_in_an_epoch_goes_on_at_that_batch(kind, more, number, data_flags, tmp_path, capsys):
    flags = (*FEW, *data_flags[kind], *more, "--log-interval", "2")
    run_here(capsys, *flags, "--save-dir", tmp_path / "whole")
    run = tmp_path / "stopped"
    process = train_forked(*flags, "--save-dir", run, stdout=subprocess.PIPE, text=True)
    log = run / "log.txt"
    assert wait_until(lambda: log.exists() and "epoch 2/3 batch 2/" in log.read_text(), process)
    assert in_session_of(process)
    os.killpg(process.pid, number)  # as a terminal or a batch system does: readers get it too
    output = process.communicate(timeout=180)[0]
    assert process.returncode == 128 + number
    (place,) = re.findall(rf"stopped by {signal.Signals(number).name}, saved (\S+): --resume", output)
    assert re.search(r"epoch-0001-batch-0000\d\d$", place)
    assert not left_by(process)
    resumed = run_here(capsys, *flags, "--save-dir", run, "--resume")
    assert re.search(r"resumed from \S+ after 1 epochs and \d+ batches", resumed)
    assert_same_end(tmp_path / "whole", run)


@pytest.mark.slow
def test_stopped_in_validation_does_not_train_again(tmp_path, capsys):
    """The training of the epoch is kept; the resumed run begins with the validation."""
    folder, run = make_digit_folder(tmp_path / "digits", 8, 36), tmp_path / "run"
    flags = (*SHORT, "--data-dir", folder, "--model", "a2net_resnet20_small", "--batch-size", "8", "--num-epochs", "2")
    flags = (*flags, "--input-size", "16", "--log-interval", "10")
    process = train_forked(*flags, "--save-dir", run, stdout=subprocess.DEVNULL)
    log = run / "log.txt"
    assert wait_until(lambda: log.exists() and "epoch 1/2 batch 10/10" in log.read_text(), process)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(180) == 143
    resumed = run_here(capsys, *flags, "--save-dir", run, "--resume")
    assert "after 0 epochs and 10 batches" in resumed
    assert "epoch 1/2 batch" not in resumed
    assert "epoch 1/2: training loss" in resumed


@pytest.mark.usefixtures("few_digits")
def test_diverged_run_names_the_last_good_checkpoint(tmp_path, capsys):
    flags = (*FEW, "--save-dir", tmp_path / "run")
    run_here(capsys, *flags, "--num-epochs", "1")
    line = error(capsys, 1, "train", *flags, "--lr", "1e30", "--lr-mode", "step", "--resume")
    assert re.search(r"loss is not finite .*; the last checkpoint is \S+/epoch-0001$", line.strip())
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["epoch-0001"]


@pytest.mark.slow
def test_run_folder_holds_everything(tmp_path, command, capsys):
    run, flags = tmp_path / "run", (*SHORT, "--num-epochs", "2")
    command("train_imagenet.py", *flags, "--save-dir", run)
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

    said = run_here(capsys, *flags, "--lr", "0.2", "--save-dir", run, "--resume")
    assert "--lr is 0.2, was 0.05 when this run was last started" in said
    for folder in (run / "checkpoints").iterdir():
        if folder.name == "epoch-0002":
            (folder / "net.params").write_bytes(b"damaged")
        else:
            shutil.rmtree(folder)
    again = run_here(capsys, *flags, "--save-dir", run, "--resume")
    assert "epoch-0002: net.params is damaged" in again
    assert "starting from the beginning" in again


@pytest.mark.slow
def test_two_contexts_train_like_one(tmp_path, capsys):
    """Data parallelism over two CPU contexts; BN sees halves of a batch, so accuracies are compared, not parameters."""
    flags = (*SHORT, "--lr", "0.1")
    run_here(capsys, *flags, "--batch-size", "64", "--save-dir", tmp_path / "one")
    run_here(capsys, *flags, "--batch-size", "32", "--cpu-contexts", "2", "--save-dir", tmp_path / "two")
    ends = []
    for name in ("one", "two"):
        with open(tmp_path / name / "metrics.csv") as file:
            ends.append(float(list(csv.DictReader(file))[-1]["train_top1"]))
    assert min(ends) > 0.8
    assert abs(ends[0] - ends[1]) < 0.06
    assert "cpu(0), cpu(1)" in (tmp_path / "two" / "log.txt").read_text()


@pytest.mark.usefixtures("few_digits")
def test_terminal_gets_a_progress_bar_and_the_log_does_not(tmp_path):
    """On a terminal the bar is drawn over and over with carriage returns; the file has plain lines."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    flags = (*FEW, "--num-epochs", "1", "--log-interval", "2")
    process = fork_command("train", *flags, "--save-dir", tmp_path / "run", stdout=follower, stderr=follower)
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
        assert process.wait(180) == 0
    finally:
        process.kill()
        os.close(leader)
    text = screen.decode()
    assert "epoch 1/1: " in text
    assert re.search(r"\repoch 1/1: +\d+%.*/12 \[", text)
    assert "run folder" in text
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "/12 [" not in log
    assert "epoch 1/1 batch 12/12: loss" in log


@pytest.mark.slow
def test_full_size_photographs_through_the_papers_network(real_data, tmp_path, capsys):
    photos = sorted(real_data("imagenet_photos.tar").glob("*.JPEG"))
    folder = tmp_path / "photos"
    for number, photo in enumerate(photos[:6]):
        target = folder / ("val" if number % 3 == 0 else "train") / ("even" if number % 2 else "odd")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, target)
    run = tmp_path / "run"
    # After a few steps at a higher rate BN's running statistics are far off and logits in the thousands: float32 is no
    # longer exact enough for the export's proof.
    flags = ("--data-dir", folder, "--num-epochs", "1", "--batch-size", "4", "--lr", "0.001", "-j", "1")
    said = run_here(capsys, *flags, "--log-interval", "1", "--save-dir", run)
    assert "a2net_resnet50, " in said
    assert "input 3×224×224" in said
    assert "(2 of 2 images)" in said
    prefix = str(run / "export" / "photos")
    flags = ("--params", str(run / "best.params"), "--output", prefix, "--images", *map(str, photos[:2]))
    assert cli.main(["export", "a2net_resnet50", *flags]) == 0
    capsys.readouterr()
    assert cli.main(["predict", prefix, *map(str, photos[:2]), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


@pytest.mark.slow
def test_small_network_learns_real_photographs(real_data, tmp_path, capsys):
    """One short epoch on Tiny-ImageNet-20 is already far above chance, which is 5 %."""
    flags = ("--model", "a2net_resnet20_small", "--input-size", "16", "--num-epochs", "1", "--lr", "0.05", "-j", "1")
    real, folder = real_data("tiny_imagenet20.tar.xz"), tmp_path / "images"
    (folder / "train").mkdir(parents=True)
    (folder / "val").symlink_to(real / "val")
    for name in (real / "train").iterdir():  # 200 of 500 of each class
        (folder / "train" / name.name).mkdir()
        for path in sorted(name.iterdir())[:200]:
            (folder / "train" / name.name / path.name).symlink_to(path)
    said = run_here(capsys, "--data-dir", folder, *flags, "--save-dir", tmp_path / "run")
    best = float(re.search(r"best validation top-1 ([0-9.]+) %", said).group(1))
    assert "(1,000 of 1,000 images)" in said
    assert best > 10
