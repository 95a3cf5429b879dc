"""Run folders: who may write to one, what a start leaves in it, and which data a resumed run takes."""

import dataclasses
import datetime
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

import a2net_gluon as a2
from a2net_gluon import settings
from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.training import run_folder
from a2net_gluon.training.learner import Learner
from a2net_gluon.training.run_folder import RunFolder
from a2net_gluon.training.run_lock import RunLock
from tests.helpers.commands import SMALL, call, error
from tests.helpers.images import make_digit_folder, write_records
from tests.helpers.processes import ROOT

FLAGS = ("--model", SMALL, "--input-size", 8, "--batch-size", 10, "--num-epochs", 1, "--warmup-epochs", 0)
FLAGS = ("train", *FLAGS, "--lr", 0.01, "-j", 1, "--log-interval", 1)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The digits as a small image folder; tests that change it make a copy."""
    return make_digit_folder(tmp_path_factory.mktemp("digits"), training=4, validation=1)


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A run of one epoch on the digits."""
    rate = {"optimization": settings.Optimization(lr=0.01), "schedule": settings.Schedule(warmup_epochs=0)}
    training = training_on(digits, tmp_path_factory.mktemp("trained") / "run", **rate)
    return a2.train(dataclasses.replace(training, epochs=1)).folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of that run."""
    return pathlib.Path(shutil.copytree(trained, tmp_path / "run"))


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# One run at a time


def test_a_locked_folder_is_refused_and_stays_as_it_is(run, digits, capsys):
    flags = (*FLAGS, "--data-dir", digits, "--num-epochs", 2, "--save-dir", run)
    (run / "checkpoints" / ".staging-of-the-other-run").mkdir()
    with RunLock(run):
        before = content(run)
        for more in ((), ("--resume",), ("--auto-resume",)):
            said = error(capsys, 2, *flags, *more)
            assert f"{run} " in said
            assert "--save-dir" in said
        assert "is in use by another run: wait for its end, or name another --save-dir" in said
        assert content(run) == before
        assert (run / "checkpoints" / ".staging-of-the-other-run").exists()
    assert call(capsys, *flags, "--resume")[0] == 0
    assert not (run / ".lock").exists()


def test_check_reports_a_locked_folder_and_changes_nothing(run, digits, capsys):
    flags = ("check", *FLAGS[1:], "--data-dir", digits, "--num-epochs", 2, "--save-dir", run, "--resume")
    with RunLock(run):
        before = content(run)
        code, out, _ = call(capsys, *flags)
        assert code == 1
        assert f"FAIL options and data: {run} is in use by another run: wait for its end, or name another" in out
        assert content(run) == before
        with pytest.raises(UsageError, match="in use by another run"), RunLock(run):
            pass
    before.pop(run / ".lock")
    code, out, _ = call(capsys, *flags)
    assert code == 0
    assert "in use" not in out
    assert content(run) == before


def test_a_new_folder_is_locked_for_the_length_of_the_run(tmp_path, digits):
    training = dataclasses.replace(training_on(digits, tmp_path / "run"), epochs=1)
    problems = []

    def start_another(row):
        with pytest.raises(UsageError) as raised, RunLock(tmp_path / "run"):
            pass
        problems.append(str(raised.value))

    a2.train(training, on_epoch=start_another)
    assert problems == [f"{tmp_path / 'run'} is in use by another run: wait for its end, or name another --save-dir"]


HOLDING = """
import os, sys, time, pathlib
import a2net_gluon
from a2net_gluon.training.run_lock import RunLock
with RunLock(pathlib.Path(sys.argv[1])):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(1000)
"""


def test_the_system_releases_the_lock_of_a_killed_run(tmp_path):
    """Also where a process that it forked lives on."""
    process = subprocess.Popen([sys.executable, "-c", HOLDING, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    try:
        with pytest.raises(UsageError, match="in use"), RunLock(tmp_path):
            pass
        process.kill()
        process.wait()
        with RunLock(tmp_path) as lock:
            assert lock.intact
    finally:
        process.kill()
        os.kill(child, signal.SIGKILL)
        process.stdout.close()
    assert list(tmp_path.iterdir()) == []


def test_only_the_first_process_of_a_job_holds_the_lock(tmp_path):
    training = training_on("data", tmp_path / "run")
    first, second = Communicator(), Communicator()
    second.rank = 1
    folders = [RunFolder(training, one, Learner.meter) for one in (first, second)]
    with folders[0].hold(), folders[1].hold():
        pass
    assert not (tmp_path / "run" / ".lock").exists()


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5)
    monkeypatch.setattr(run_folder, "datetime", SimpleNamespace(datetime=SimpleNamespace(now=lambda: moment)))
    training = dataclasses.replace(training_on("data", "x"), save_dir=None)
    one, other = (RunFolder(training, Communicator(), Learner.meter) for _ in range(2))
    with one.hold(), other.hold():
        assert str(one.path) == f"runs/{SMALL}-20260102-030405"
        assert str(other.path) == f"runs/{SMALL}-20260102-030405-2"


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    import portalocker

    def no_locks(file, flags):
        raise portalocker.exceptions.LockException(OSError(95, "Operation not supported"))

    monkeypatch.setattr(portalocker, "lock", no_locks)
    folder, said = RunFolder(training_on("data", tmp_path / "run"), Communicator(), Learner.meter), []
    report = SimpleNamespace(line=said.append, to_file=lambda path: None)
    with folder.hold():
        folder.open(SimpleNamespace(save=lambda path: None), {}, report, None)
    assert said == [f"{tmp_path / 'run'}: this file system has no locks; make sure that no other run uses the folder"]


def training_on(folder, save_dir, **more):
    return settings.Training(
        data=settings.ImageFolder(folder),
        network=settings.Network(SMALL),
        input=settings.Input(size=8),
        epochs=2,
        batch_size=10,
        workers=1,
        save_dir=save_dir,
        **more,
    ).resolved()


# What a start leaves


LOGS = ["run.json", "metrics.csv", "best.params", "best-ema.params", "model.json", "curves.png", "checkpoints"]
LOGS += [".lock", "tensorboard", "../../x", "../x", "/tmp/x", "sub/x", ".", "..", ".hidden"]


@pytest.mark.parametrize("name", LOGS)
def test_a_log_that_is_not_a_file_of_its_own_is_refused(name, tmp_path, digits, capsys):
    said = error(capsys, 2, *FLAGS, "--data-dir", digits, "--save-dir", tmp_path / "run", "--logging-file", name)
    assert f"--logging-file is {name!r}; it must be a file name in the run folder" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [False, True])
def test_an_error_before_training_begins_leaves_no_run(there, digits, tmp_path, capsys):
    """The corrected command is not refused; what was in the folder before stays."""
    data, run = tmp_path / "data", tmp_path / "runs" / "run"
    shutil.copytree(digits, data)
    if there:
        run.mkdir(parents=True)
        (run / "notes.txt").write_text("mine")
    for path in (data / "train").rglob("*.png"):
        path.write_bytes(b"no image")
    flags = (*FLAGS, "--data-dir", data, "--save-dir", run)
    assert "consecutive images cannot be read" in error(capsys, 1, *flags)
    assert [path.name for path in tmp_path.rglob("*") if data not in (path, *path.parents)] == (
        ["runs", "run", "notes.txt"] if there else []
    )
    if not there:
        shutil.rmtree(data)
        shutil.copytree(digits, data)
        code, _, problem = call(capsys, *flags)
        assert code == 0, problem


def test_an_error_after_training_has_begun_leaves_the_log(digits, tmp_path, capsys):
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(digits, data)
    for path in (data / "val").rglob("*.png"):
        path.write_bytes(b"no image")
    assert "not a single image could be read" in error(capsys, 1, *FLAGS, "--data-dir", data, "--save-dir", run)
    assert "epoch 1/1 batch 4/4: loss" in (run / "log.txt").read_text()


@pytest.mark.parametrize("flags", [(), ("--resume",), ("--auto-resume",)])
def test_checkpoints_without_their_run_are_not_mixed_with_others(flags, run, digits, capsys):
    (run / "run.json").unlink()
    before = content(run)
    said = error(capsys, 2, *FLAGS, "--data-dir", digits, "--save-dir", run, *flags)
    assert "holds checkpoints, but run.json is lost: restore it, or name another --save-dir" in said
    assert content(run) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"starts": []}',
        '{"starts": {}}',
        '{"starts": [1]}',
        '{"starts": [{}]}',
        '{"starts": [{"arguments": []}]}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_damaged_run_json_is_told(text, run, digits, capsys):
    (run / "run.json").write_text(text)
    said = error(capsys, 1, *FLAGS, "--data-dir", digits, "--save-dir", run, "--resume")
    assert "run.json is damaged: restore it, or train into another --save-dir" in said


def test_a_folder_that_is_removed_during_the_run_ends_it(digits, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(FailureError, match="run: the run folder was removed or replaced during the run"):
        a2.train(training_on(digits, run), on_epoch=lambda row: shutil.rmtree(run))
    assert not run.exists()


def test_leftovers_of_a_killed_run_go(run, digits, capsys):
    left = [".curves.png.4711.tmp", ".metrics.csv.0123456789abcdef.tmp", "checkpoints/.staging-x", ".lock"]
    for name in left:
        (run / name).touch()
    (run / ".mine").touch()
    assert call(capsys, *FLAGS, "--data-dir", digits, "--save-dir", run, "--resume")[0] == 0
    assert [name for name in left if (run / name).exists()] == []
    assert (run / ".mine").exists()


def test_a_checkpoint_that_is_a_link_does_not_end_the_run(run, digits, tmp_path, capsys):
    (run / "checkpoints" / "epoch-0001").rename(tmp_path / "elsewhere")
    (run / "checkpoints" / "epoch-0001").symlink_to(tmp_path / "elsewhere")
    flags = ("--data-dir", digits, "--save-dir", run, "--resume", "--num-epochs", 3, "--keep", 1)
    code, said, problem = call(capsys, *FLAGS, *flags)
    assert code == 0, problem
    assert "resumed from" in said
    assert (tmp_path / "elsewhere" / "net.params").exists()


# Which data a resumed run takes


@pytest.fixture
def stopped(request, digits, tmp_path, capsys, monkeypatch):
    """A run that was stopped in its first epoch: its folder, its data, its flags, and a function that packs them."""
    data, run = pathlib.Path(shutil.copytree(digits, tmp_path / "data")), tmp_path / "stopped"

    def prepare():
        if request.param != "folder":
            for part in ("train", "val"):
                write_records(data / part, tmp_path / f"{part}-records")

    prepare()
    records = ("--rec-train", tmp_path / "train-records.rec", "--rec-val", tmp_path / "val-records.rec")
    source = {"folder": ("--data-dir", data), "records": records, "native": ("--native-reader", *records)}
    flags = (*FLAGS, *source[request.param], "--augmentation", "none", "--save-dir", run)
    train_epoch = Learner.train_epoch

    def stopping(self, batches, progress, rate, first_step, on_step):
        def stop(progress):
            if progress.batches == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return on_step(progress)

        train_epoch(self, batches, progress, rate, first_step, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "train_epoch", stopping)
        assert call(capsys, *flags)[0] == 143
    return SimpleNamespace(run=run, data=data, flags=flags, prepare=prepare)


@pytest.mark.parametrize("stopped", ["folder", "records", "native"], indirect=True)
def test_other_classes_are_refused(stopped, capsys):
    for part in ("train", "val"):
        (stopped.data / part / "3").rename(stopped.data / part / "three")
    stopped.prepare()
    before = content(stopped.run / "checkpoints")
    said = error(capsys, 2, *stopped.flags, "--resume")
    assert f"{stopped.run}: class 3 of the data is '4', was '3' when the run was last started" in said
    assert content(stopped.run / "checkpoints") == before


@pytest.mark.parametrize("stopped", ["folder", "native"], indirect=True)
def test_other_images_are_told_and_the_epoch_begins_anew(stopped, capsys):
    image = min((stopped.data / "train" / "3").iterdir())
    shutil.copy(image, image.with_name("9999.png"))
    stopped.prepare()
    code, said, problem = call(capsys, *stopped.flags, "--resume")
    assert code == 0, problem
    assert "the training images or their labels are others than when this run was last started" in said
    assert "the validation images" not in said
    assert "the epoch starts again" in said
    assert "epoch 1/1 batch 1/4" in said


@pytest.mark.parametrize("stopped", ["records"], indirect=True)
def test_the_same_images_elsewhere_are_the_same(stopped, tmp_path, capsys):
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in tmp_path.glob("*-records.*"):
        path.rename(moved / path.name)
    there = ("--rec-train", moved / "train-records.rec", "--rec-val", moved / "val-records.rec")
    code, said, problem = call(capsys, *stopped.flags, *there, "--resume")
    assert code == 0, problem
    assert "others than when" not in said
    assert "epoch 1/1 batch 2/4" not in said
    assert "epoch 1/1 batch 3/4" in said


def test_other_validation_images_are_told(run, digits, tmp_path, capsys):
    data = pathlib.Path(shutil.copytree(digits, tmp_path / "data"))
    image = min((data / "val" / "3").iterdir())
    image.rename(image.with_name("9999.png"))
    flags = ("--data-dir", data, "--save-dir", run, "--resume", "--num-epochs", 2)
    code, said, problem = call(capsys, *FLAGS, *flags)
    assert code == 0, problem
    assert "the validation images or their labels are others than when this run was last started" in said
    assert "the training images or" not in said


READING = """
import contextlib, os, sys, tempfile
import a2net_gluon
import numpy as np
from a2net_gluon.data import Dataset, ImageSamples, Preprocessing, SampleSource

images = ImageSamples(list("abcd"), [0] * 4, lambda number: np.zeros((8, 8, 3), dtype="uint8"))
dataset = Dataset("four", ("a",), images, images)
with contextlib.closing(SampleSource(dataset, Preprocessing(8), None, 1, 2, 0)) as source:
    for batches in (source.train(1), source.validation()):
        for batch in batches:
            batch.pixels.wait_to_read()
print(len([name for name in os.listdir(tempfile.gettempdir()) if name.startswith("pymp-")]))
"""


def test_readers_leave_no_temporary_folders(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", READING], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"  # that of the process, while it runs
    assert list(tmp_path.iterdir()) == []
