"""Jobs of several processes, on the loopback device."""

import os
import pathlib
import re
import shutil
import signal
import socket
import sys
import time

import numpy as np
import pytest

import a2net_gluon as a2
from a2net_gluon import cli
from a2net_gluon.distributed.messages import receive, send
from a2net_gluon.distributed.supervisor import _Job
from a2net_gluon.options import parse_training
from tests.helpers.jobs import Job
from tests.helpers.runs import difference, last_parameters

FLAGS = ("--input-size", "8", "--warmup-epochs", "0", "--num-epochs", "2", "-j", "1", "--log-interval", "1")
# BN's statistics are those of a device's part of a batch, so they differ by design: here they are kept as they are.
SAME = (*FLAGS, "--num-epochs", "1", "--norm", "frozen", "--lr", "0.001")


def launch(logs, *flags, save_dir, more=(), **environment):
    train = (sys.executable, "train_imagenet.py", "--kv-store", "dist_sync", *flags, "--save-dir", save_dir)
    own = ("-n", 2, "-s", 1, "--log-dir", logs, *more)
    return Job(sys.executable, "-m", "a2net_gluon", "launch", *own, "--", *train, **environment)


def wait_for(text, log, job, count=1):
    deadline = time.monotonic() + 300
    while not (log.exists() and log.read_text().count(text) >= count):
        assert job.process.poll() is None, job.process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def launch_until_batch_5(logs, run):
    job = launch(logs, *FLAGS, "--batch-size", 24, save_dir=run)
    wait_for("epoch 1/2 batch 5/", run / "log.txt", job)
    return job


def kill_worker(job, rank):
    """SIGKILL to a training process, not to its agent."""
    for number in job.processes():
        command = pathlib.Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        environment = pathlib.Path(f"/proc/{number}/environ").read_bytes()
        parent = pathlib.Path(f"/proc/{number}/stat").read_text().split(") ")[1].split()[1]
        agent = b"a2net_gluon.distributed.agent" in pathlib.Path(f"/proc/{parent}/cmdline").read_bytes()
        if b"train_imagenet.py" in command and agent and f"A2NET_PROCESS=worker-{rank}".encode() in environment:
            os.kill(number, signal.SIGKILL)
            return
    raise AssertionError(f"no worker {rank}")


def train_here(run, *flags):
    """Train in this process; returns the log."""
    a2.train(parse_training([str(flag) for flag in (*flags, "--save-dir", run)]).training)
    return (run / "log.txt").read_text()


@pytest.fixture(scope="module")
def one_context(tmp_path_factory):
    run = tmp_path_factory.mktemp("one") / "run"
    train_here(run, *SAME, "--batch-size", 360)
    return last_parameters(run)


# Three steps. What differs is the order in which gradients are added up, in float32 (unit round-off 6e-8).
TOLERANCE = 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("contexts", [2, 4])
def test_several_contexts_end_like_one(contexts, one_context, tmp_path):
    flags = (*SAME, "--cpu-contexts", contexts, "--batch-size", 360 // contexts)
    log = train_here(tmp_path / "run", *flags)
    assert f"a total batch of 360 ({contexts} × {360 // contexts})" in log
    assert difference(one_context, last_parameters(tmp_path / "run")) < TOLERANCE


@pytest.mark.slow
def test_accumulated_batches_end_like_one(one_context, tmp_path):
    log = train_here(tmp_path / "run", *SAME, "--accumulate", 3, "--batch-size", 120)
    assert "a total batch of 360 (3 batches × 1 × 120)" in log
    assert difference(one_context, last_parameters(tmp_path / "run")) < TOLERANCE


@pytest.mark.slow
def test_two_workers_end_like_one_context(one_context, tmp_path):
    job = launch(tmp_path / "logs", *SAME, "--batch-size", 180, save_dir=tmp_path / "run")
    code, output = job.end()
    assert code == 0, output
    assert "a total batch of 360 (2 processes × 1 × 180)" in output
    assert output.count("(360 of 360 images)") == 1  # sharded, and each counted once
    assert difference(one_context, last_parameters(tmp_path / "run")) < TOLERANCE
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {
        "worker-0.log",
        "worker-1.log",
        "server-0.log",
        "scheduler-0.log",
        "launcher.log",
    }
    assert "epoch 1/1: " in (tmp_path / "run" / "log-rank1.txt").read_text()
    assert job.left() == []


@pytest.fixture(scope="module")
def on_a_host(tmp_path_factory):
    """A job on this machine as a host that is reached by ssh, with a stand-in that runs the command here.

    It measures BN's statistics with the first weights: the learning rate is zero.
    """
    folder = tmp_path_factory.mktemp("host")
    (folder / "ssh").write_text('#!/bin/bash\nexec sh -c "${@: -1}"\n')
    (folder / "ssh").chmod(0o755)
    (folder / "hosts").write_text(f"{socket.gethostname()}\n")
    more, path = ("-H", folder / "hosts"), f"{folder}:{os.environ['PATH']}"
    job = launch(
        folder / "logs", *STATISTICS, save_dir=folder / "run", more=more, PATH=path, OMP_NUM_THREADS="1"
    )  # fmt: skip
    job.code, _ = job.end()
    return job, folder / "run"


STATISTICS = ("--input-size", 8, "-j", 1, "--num-iterations", 1, "--lr", 0, "--precise-bn", 2, "--batch-size", 180)


@pytest.mark.slow
def test_hosts_are_reached_by_ssh(on_a_host):
    job, _ = on_a_host
    assert job.code == 0, job.output
    assert "epoch 1/1: training loss" in job.output
    assert job.left() == []


@pytest.mark.slow
def test_two_workers_measure_the_statistics_of_two_contexts(on_a_host, tmp_path):
    """Of the same halves of the same batches."""
    job, two = on_a_host
    assert job.code == 0, job.output
    train_here(tmp_path / "one", *STATISTICS, "--cpu-contexts", 2)
    expected, measured = (
        {name: array for name, array in last_parameters(run).items() if "running" in name}
        for run in (tmp_path / "one", two)
    )
    assert len(expected) > 40
    assert difference(expected, measured) < TOLERANCE
    assert np.abs(expected["features.conv1_bn.running_mean"]).max() > 0.1  # it starts with 0


@pytest.mark.slow
def test_horovod_ends_like_one_context(one_context, tmp_path):
    pytest.importorskip("horovod.mxnet", reason="Horovod is an extra that is built from source")
    run = pathlib.Path(sys.executable).with_name("horovodrun")
    train = (sys.executable, "train_imagenet.py", *SAME, "--kv-store", "horovod", "--batch-size", 180)
    job = Job(run, "-np", 2, *train, "--save-dir", tmp_path / "run", OMP_NUM_THREADS="1")
    code, output = job.end()
    assert code == 0, output
    assert difference(one_context, last_parameters(tmp_path / "run")) < TOLERANCE


@pytest.mark.slow
def test_killed_worker_ends_the_job(tmp_path):
    job = launch_until_batch_5(tmp_path / "logs", tmp_path / "run")
    kill_worker(job, 0)
    code, output = job.end(timeout=30)  # the time that docs/distributed.md states
    assert code == 137, output
    assert job.left() == []


@pytest.mark.slow
def test_worker_that_fails_ends_the_job(tmp_path):
    """By itself it would wait for the others at its end, and they for it."""
    run = tmp_path / "run"
    (run / "log-rank1.txt").mkdir(parents=True)  # where the second process cannot write its log
    job = launch(tmp_path / "logs", *FLAGS, "--batch-size", 16, save_dir=run)
    code, output = job.end(timeout=180)
    assert code == 1, output
    assert "cannot write here" in output
    assert job.left() == []


@pytest.mark.slow
def test_a_job_goes_on_after_a_stop_and_after_a_killed_worker(tmp_path):
    """A launcher that is told to stop lets its workers save; the resumed job then loses one, and is started again."""
    run = tmp_path / "run"
    job = launch_until_batch_5(tmp_path / "logs", run)
    job.process.send_signal(signal.SIGTERM)
    code, output = job.end(timeout=180)
    assert code == 143, output
    assert re.search(r"stopped by SIGTERM, saved \S+epoch-0000-batch-0000\d0", output)
    assert job.left() == []
    flags = (*FLAGS, "--batch-size", 24, "--resume")
    job = launch(tmp_path / "logs", *flags, save_dir=run, more=("--max-restarts", 1))
    wait_for("epoch 2/2 batch 5/", run / "log.txt", job)
    kill_worker(job, 1)
    code, output = job.end()
    assert code == 0, output
    assert "after 0 epochs and " in output
    assert "epoch 1/2: training loss" in output
    assert "ended with exit code 137" in output
    assert "starting again (1 of 1)" in output
    assert re.search(r"resumed from \S+/epoch-0001 after 1 epochs", output)
    assert "epoch 2/2: training loss" in output
    assert job.left() == []


@pytest.mark.slow
def test_jobs_started_together(tmp_path):
    """Each has a port of its own, while the other one runs."""
    meet = f"touch {tmp_path}/$1; until [ -e {tmp_path}/one ] && [ -e {tmp_path}/other ]; do sleep 0.1; done"
    script = f"[ $DMLC_ROLE = worker ] || exec sleep 60; {meet}; echo port $DMLC_PS_ROOT_PORT; sleep 1; exit 7"
    words = (sys.executable, "-m", "a2net_gluon", "launch", "-n", 1)
    jobs = [
        Job(*words, "--log-dir", tmp_path / f"logs-{name}", "--", "sh", "-c", script, "sh", name)
        for name in ("one", "other")
    ]
    ends = [job.end() for job in jobs]
    assert [code for code, _ in ends] == [7, 7], ends
    ports = [re.findall(r"port (\d+)", output) for _, output in ends]
    assert [len(found) for found in ports] == [1, 1], ends
    assert ports[0] != ports[1]
    assert [job.left() for job in jobs] == [[], []]


def test_command_that_cannot_be_run(tmp_path):
    for command, code, text in (("pyton", 127, "pyton cannot be run: No such file"), ("false", 1, "exit code 1")):
        own = ("launch", "-n", 1, "--log-dir", tmp_path / "logs", "--", command)
        job = Job(sys.executable, "-m", "a2net_gluon", *own)
        assert job.end()[0] == code, job.output
        assert text in job.output
        assert job.left() == []


def test_wrong_use_is_not_started_again(tmp_path):
    train = (sys.executable, "train_imagenet.py", "--save-dir", tmp_path / "run", "--epochs", 1)
    own = ("launch", "-n", 1, "--max-restarts", 3, "--log-dir", tmp_path / "logs", "--", *train)
    code, output = Job(sys.executable, "-m", "a2net_gluon", *own).end()
    assert code == 2
    assert "unrecognized arguments: --epochs" in output
    assert "starting again" not in output


def complaint(capsys, code, *arguments):
    assert cli.main([str(argument) for argument in arguments]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_bad_use(capsys, tmp_path):
    assert "nothing to launch" in complaint(capsys, 2, "launch", "-n", 2)
    assert "no such file of hosts" in complaint(capsys, 2, "launch", "-n", 2, "-H", tmp_path / "none", "--", "true")
    assert "--save-dir" in complaint(capsys, 2, "launch", "-n", 2, "--max-restarts", 1, "--", "true")
    assert "a2net launch" in complaint(capsys, 2, "train", "--kv-store", "dist_sync")
    assert "for GPUs" in complaint(capsys, 2, "train", "--kv-store", "nccl")
    if shutil.which("horovodrun") is None:
        assert "docs/distributed.md" in complaint(capsys, 2, "train", "--kv-store", "horovod")


def test_stranger_learns_nothing():
    """Who does not know the token is not told to start."""
    job = _Job(["secret"], workers=1)
    ours, theirs = socket.socketpair()
    stream = theirs.makefile("rwb")
    send(stream, token="guess", name="worker-0", host="here")
    job._serve(ours)
    assert receive(stream) is None
    assert job._events.empty()
