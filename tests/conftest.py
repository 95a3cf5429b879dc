import ctypes
import gc
import os
import pathlib
import subprocess
import sys
import tarfile
import time

import cv2
import numpy as np
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes of tests, which share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import a2net_gluon  # noqa: F401  (prepares the process before anything imports mxnet)

ROOT = pathlib.Path(__file__).parent.parent
REAL_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(autouse=True, scope="module")
def memory_given_back():
    """After each file of tests: processes are forked from this one, which takes the longer the larger it is."""
    yield
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def real_data(tmp_path_factory):
    """Return a function that unpacks an archive of real images and returns its folder."""

    def unpack(archive):
        path = REAL_DATA / archive
        if not path.is_file():
            pytest.skip(f"the real images of {archive} are not on this machine")
        folder = tmp_path_factory.getbasetemp() / "real"
        name = archive.split(".")[0]
        if not (folder / name).is_dir():
            with tarfile.open(path) as file:
                file.extractall(folder)
        return folder / name

    return unpack


@pytest.fixture
def image_folder(tmp_path):
    """A folder of 2 classes with 6 training and 5 validation images each, of different sizes."""
    return make_image_folder(tmp_path / "images")


def make_image_folder(folder):
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 5)):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                size = (40 + 3 * number, 50 - 2 * number, 3)
                cv2.imwrite(str(folder / part / name / f"{number}.jpg"), rng.integers(0, 256, size, np.uint8))
    return folder


@pytest.fixture
def command():
    """Return a function that runs a command of the project in a process of its own, at most ten minutes."""

    def run(*arguments, code=0, **variables):
        words = [str(argument) for argument in arguments]
        start = ["train_imagenet.py"] if words[0] == "train_imagenet.py" else ["-m", "a2net_gluon"]
        words = words[1:] if words[0] == "train_imagenet.py" else words
        # This process has set OMP_NUM_THREADS for itself; a user's shell has not.
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        done = subprocess.run(
            [sys.executable, *start, *words],
            cwd=ROOT,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


def start(*arguments, **kwargs):
    """Start train_imagenet.py in the background, as from a user's shell."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    words = [sys.executable, "train_imagenet.py", *map(str, arguments)]
    return subprocess.Popen(words, cwd=ROOT, env=environment, **kwargs)


def wait_until(condition, process, seconds=300):
    """Whether `condition` came true before `process` ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return True
