import ctypes
import gc
import io
import lzma
import os
import pathlib
import subprocess
import sys
import tarfile

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes of tests, which share the cores
    os.environ["OMP_NUM_THREADS"] = "1"  # the process that started it has set the number of cores

import a2net_gluon  # noqa: F401  (prepares the process before anything imports mxnet)
from a2net_gluon.networks import published
from tests.helpers.images import make_image_folder
from tests.helpers.processes import ROOT, usual_environment
from tests.helpers.skips import pytest_make_collect_report, pytest_runtest_makereport  # noqa: F401

# The archives of real images and clips: CONTRIBUTING.md says how to lay out your own.
REAL_DATA = pathlib.Path(os.environ.get("A2NET_TEST_DATA", ROOT.parent / "shared" / "data"))


def pytest_collection_modifyitems(items):
    """Begin with the files that have slow tests, so that at the end no process waits for a long one of another."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish():
    """Leave all that has been imported out of later collections of garbage: MXNet starts one for each data source."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def memory_given_back():
    """After each file of tests: processes are forked from this one, which takes the longer the larger it is."""
    yield
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch):
    """Weights that a test registers are forgotten after it, by GluonCV too."""
    registered = {}
    monkeypatch.setattr(published, "_registered", registered)
    yield
    store = sys.modules.get("gluoncv.model_zoo.model_store")
    for name in registered if store else ():
        store._model_sha1.pop(name, None)


@pytest.fixture(scope="session")
def real_data(tmp_path_factory):
    """Return a function that unpacks an archive of real images and returns its folder.

    It unpacks what `choose` leaves of the sorted paths, as there may be many: all tests must agree on it.
    """

    def unpack(archive, choose=list):
        path = REAL_DATA / archive
        if not path.is_file():
            pytest.skip(f"the real images of {archive} are not on this machine")
        folder = tmp_path_factory.getbasetemp() / "real"
        name = archive.split(".")[0]
        if not (folder / name).is_dir():
            with lzma.open(path) if path.suffix == ".xz" else open(path, "rb") as content:
                whole = io.BytesIO(content.read())  # where it is quick to go back
            with tarfile.open(fileobj=whole) as file:
                members = {pathlib.PurePath(member.name): member for member in file if member.isfile()}
                file.extractall(folder, [members[chosen] for chosen in choose(sorted(members))])
        return folder / name

    return unpack


@pytest.fixture
def image_folder(tmp_path):
    """A folder of 2 classes with 6 training and 5 validation images each, of different sizes."""
    return make_image_folder(tmp_path / "images")


@pytest.fixture
def command():
    """Return a function that runs a command of the project in a process of its own, at most ten minutes."""

    def run(*arguments, code=0, **variables):
        words = [str(argument) for argument in arguments]
        start = ["train_imagenet.py"] if words[0] == "train_imagenet.py" else ["-m", "a2net_gluon"]
        words = words[1:] if words[0] == "train_imagenet.py" else words
        done = subprocess.run(
            [sys.executable, *start, *words],
            cwd=ROOT,
            env={**usual_environment(), **variables},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run
