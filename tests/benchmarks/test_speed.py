"""The benchmarks run and clean up; nothing is asserted about speed."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from a2net_gluon.errors import InterruptedRunError
from benchmarks import speed
from benchmarks.comparison import Ratio, check, difference, evaluate
from benchmarks.preparation import make_jpegs
from benchmarks.runner import Implementation, ImplementationError, Worker, ending_on_signals, peers_python, take_turns
from benchmarks.setup import Settings
from tests.helpers.processes import ROOT

SGEMM = {"kind": "sgemm", "form": "numpy", "size": 64}
QUICK = [sys.executable, "-m", "benchmarks.speed", "--quick"]
# Without torch.compile, which takes minutes and a limit of time: a run that includes it compares its answers itself.
UNCOMPILED = {**os.environ, "TORCHDYNAMO_DISABLE": "1"}
needs_torch = pytest.mark.skipif(not peers_python().is_file(), reason="make bench installs PyTorch, which is not there")


def run(scenario, folder, *options):
    command = [*QUICK, "--only", scenario, "--output", str(folder), *options]
    done = subprocess.run(command, cwd=ROOT, env=UNCOMPILED, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in folder.iterdir()} == {f"{scenario}.{ending}" for ending in ("json", "md")}
    report = json.loads((folder / f"{scenario}.json").read_text())
    assert [line["name"] + ": " + line["error"] for line in report["rows"] if "error" in line] == []
    return report, (folder / f"{scenario}.md").read_text()


@needs_torch
@pytest.mark.peers
def test_inference_leaves_every_time_and_a_table(tmp_path):
    report, table = run("inference", tmp_path, "--no-torch", "--rounds", "2")
    forms = {
        line["form"]: line for line in report["rows"] if line.get("network") == "a2net_resnet20_small" if "form" in line
    }
    assert set(forms) == {"hybrid", "optimized", "onnx", "int8"}
    assert all(len(line["ms"]) == 2 and line["min_ms"] == min(line["ms"]) for line in forms.values())
    assert all(line["difference"] <= 1e-4 for form, line in forms.items() if form != "int8")
    assert "| MXNet, optimized export |" in table
    assert "PyTorch" not in table
    assert any("A²-Net / ResNet" in ratio["text"] for ratio in report["ratios"])


@needs_torch
@pytest.mark.peers
@pytest.mark.parametrize("scenario", ["inference", "training"])
def test_torch_computes_the_same(scenario, tmp_path):
    report, _ = run(scenario, tmp_path)
    lines = [line for line in report["rows"] if line["family"] == "torch"]
    assert {line["form"] for line in lines} >= {"eager", "compiled"}
    assert all(line["difference"] <= (1e-4 if scenario == "inference" else 1e-9) for line in lines)


@needs_torch
@pytest.mark.peers
def test_torch_computes_the_same_of_clips(tmp_path):
    report, table = run("clips", tmp_path)
    lines = {(line["mode"], line["family"], line["form"]): line for line in report["rows"] if "difference" in line}
    assert {("inference", "onnxruntime", "onnx"), ("inference", "torch", "frozen"), ("training", "mxnet", "loop")} <= {
        *lines
    }
    del lines["inference", "onnxruntime", "int8"]  # of random parameters
    assert all(line["difference"] <= (1e-4 if mode == "inference" else 1e-9) for (mode, *_), line in lines.items())
    assert "## a2net_resnet20_small_3d, training\n\nBatch 2, 4 frames of 32×32." in table


@needs_torch
@pytest.mark.peers
def test_readers_make_the_same_crops(tmp_path):
    make_jpegs(tmp_path / "photographs" / "some" / "where", 3, 40, 60)
    report, table = run("input", tmp_path / "out", "--images", str(tmp_path / "photographs"))
    forms = {line["form"]: line for line in report["rows"] if line["family"] != "epochs"}
    assert set(forms) == {"native", "records", "folder", "smaller", "dataloader"}
    assert forms["records"]["levels"] == forms["folder"]["levels"] == 0
    assert forms["dataloader"]["levels"] < 0.5
    epochs = [line for line in report["rows"] if line["family"] == "epochs"]
    assert [line["form"] for line in epochs] == ["native", "records", "benchmark"]
    assert all(len(line["ms"]) == 1 for line in epochs)
    assert [ratio["target"] for ratio in report["ratios"]] == [1.5, 1.5, None, 0.95, None]
    assert (report["images"]["of"], report["images"]["different"]) == ("JPEGs of photographs", 3)
    assert "PyTorch's DataLoader, OpenCV, 1" in table


@needs_torch
@pytest.mark.peers
def test_readers_of_videos_read_the_same_frames(tmp_path):
    report, table = run("video-readers", tmp_path)
    assert len(report["rows"]) == 20
    assert {line["form"] for line in report["rows"]} == {"ours", "decord", "pyav", "torchvision", "opencv"}
    assert [ratio["target"] for ratio in report["ratios"]] == [1.0] * 4
    assert table.count("| decord, get_batch |") == 4


def test_bad_arguments(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PEERS_PYTHON", str(tmp_path / "python"))
    wrong = {
        "--images": "holds no JPEG",
        "--rounds": "0 is not a whole number",
        "--output": "make bench installs PyTorch",
    }
    for flag, message in wrong.items():
        value = "0" if flag == "--rounds" else str(tmp_path)
        with pytest.raises(SystemExit, match="2"):
            speed.main(["--quick", *(["--no-torch"] if flag == "--images" else []), flag, value])
        assert message in capsys.readouterr().err


def test_an_implementation_that_cannot_run_is_excluded():
    lines = []
    names = {"wrong": {**SGEMM, "kind": "no such kind"}, "right": SGEMM}
    implementations = [Implementation(name, "sgemm", task) for name, task in names.items()]
    wrong, right = take_turns(implementations, Settings(runs=3, timeout=120, log=lines.append), rounds=2)
    assert wrong == {"error": "KeyError: 'no such kind'"}
    assert len(right["seconds"]) == 6
    assert right["version"].startswith("numpy")
    assert lines == ["wrong is excluded: KeyError: 'no such kind'", "right: ready", "round 1/2", "round 2/2"]


def test_a_worker_that_says_nothing():
    worker = Worker(Implementation("slow", "sgemm", SGEMM), Settings(timeout=0.01))
    with contextlib.closing(worker), pytest.raises(ImplementationError, match="no answer for 0 s"):
        worker.start()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_no_process_and_no_file(number, tmp_path):
    mark = f"A2NET_TEST_MARK={os.getpid()}-{number}"
    command = [*QUICK, "--only", "inference", "--no-torch", "--output", str(tmp_path / "out")]
    environment = {**os.environ, **dict([mark.split("=")]), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout.readline() == b"--- inference\n"
    while len(marked(mark)) < 2:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(180) == 128 + number
    process.stdout.close()  # not before: a line that was just being printed would end it in another way
    deadline = time.monotonic() + 180  # a process that was just being started ends at the end of its input
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert marked(mark) == []
    assert list(tmp_path.glob("a2net-benchmark-*")) == []
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_decides_however_the_run_ends(number):
    cleaned = []

    def run():
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), number)
            cleaned.append("files")
            raise ImplementationError("a worker that the signal has ended")

    with pytest.raises(InterruptedRunError, match=f"interrupted by {number.name}") as caught, ending_on_signals():
        run()
    assert cleaned == ["files"]
    assert caught.value.exit_code == 128 + number


def test_an_error_without_a_signal_stays():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ImplementationError, match="wrong"), ending_on_signals():
        raise ImplementationError("wrong")
    assert signal.getsignal(signal.SIGINT) == before


def marked(mark):
    """Processes that have `mark` in their environment."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:  # ended meanwhile, or somebody else's
            continue
    return found


def test_difference_is_relative_to_each_array_and_excludes(tmp_path):
    implementations = []
    for number, arrays in enumerate(({"a": [1.0, 100.0], "b": [1e-3]}, {"a": [2.0, 100.0], "b": [1.1e-3]})):
        path = tmp_path / f"{number}.npz"
        np.savez(path, **{name: np.array(values) for name, values in arrays.items()})
        implementations.append(Implementation("", "", {"answers": str(path)}))
    assert difference(implementations[1], implementations[0]) == pytest.approx(0.1)
    implementations[1].task["answers"] = str(tmp_path / "none.npz")
    assert difference(implementations[1], implementations[0]) is None
    lines = [{"form": "onnx"}, {"form": "onnx"}, {"form": "onnx"}, {"form": "int8"}]
    for line, found in zip(lines, (1e-4, 1.1e-4, None, 0.1)):
        check(line, found)
    assert ["error" in line for line in lines] == [False, True, True, False]
    assert lines[1] == {
        "form": "onnx",
        "difference": 1.1e-4,
        "error": "differs from MXNet by 0.00011, more than 0.0001",
    }


def test_ratios_take_the_fastest_that_is_sound():
    ours, theirs = {"family": "ours", "network": "net"}, {"family": ("theirs", "others"), "network": "net"}
    rows = [
        {"family": "ours", "network": "net", "min_ms": 3.0, "median_ms": 4.0},
        {"family": "ours", "network": "net", "min_ms": 1.0, "median_ms": 1.0, "error": "computes something else"},
        {"family": "theirs", "network": "net", "min_ms": 6.0, "median_ms": 9.0},
        {"family": "others", "network": "net", "min_ms": 4.0, "median_ms": 5.0},
        {"family": "others", "network": "other net", "min_ms": 0.1, "median_ms": 0.1},
        {"family": "others", "network": "net"},
    ]
    ratios = (
        Ratio("upper", ours, theirs, 0.75),
        Ratio("lower", ours, theirs, 0.76, at_least=True),
        Ratio("none", ours, {"family": "nobody"}),
    )
    upper, lower = evaluate(ratios, rows)
    assert upper["values"] == {"min_ms": 0.75, "median_ms": 0.8}
    assert upper["met"]
    assert not lower["met"]
