import json
import os
import subprocess
import sys

import pytest

from a2net_gluon import environment
from tests.helpers.processes import ROOT

SET_BY_US = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OPENBLAS_CORETYPE", "MXNET_CPU_TEMP_COPY")


def python(script, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in SET_BY_US}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_import_sets_the_threads_and_says_nothing():
    script = "import a2net_gluon, os, sys; print(os.environ['OMP_NUM_THREADS'], 'mxnet' in sys.modules)"
    assert python(script) == f"{environment.physical_cores()} False"
    assert python(script, OMP_NUM_THREADS="7") == "7 False"


def test_spinning_is_limited_unless_the_user_chose():
    script = "import a2net_gluon, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert python(script) == "10000"
    assert python(script, GOMP_SPINCOUNT="5") == "5"
    assert python(script, OMP_WAIT_POLICY="active") == "None"


# The convolution in double precision needs 32 MB of temporary space.
LOADED = """
import ctypes, glob, json, re
import a2net_gluon, numpy, cv2, mxnet as mx
from a2net_gluon.data.decoding import *

blas = ctypes.CDLL(glob.glob(mx.__path__[0] + "/libopenblas*")[0])
blas.openblas_get_corename.restype = ctypes.c_char_p
said = {"core": blas.openblas_get_corename().decode(), "bool": numpy.bool is bool, "images": []}
for width in (30, 31):
    try:
        said["images"].append(decode(cv2.imencode(".png", numpy.zeros((20, width, 3), numpy.uint8))[1].tobytes()).shape)
    except DecodeError as error:
        said["images"].append(str(error))
x, weight = (mx.nd.ones((1, 4, size, size), dtype="float64") for size in (200, 5))
for _ in range(4):
    mx.nd.Convolution(x, weight, kernel=(5, 5), pad=(2, 2), num_filter=1, no_bias=True).wait_to_read()
said["memory"] = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read()).group(1))
print(json.dumps(said))
"""
CHOICES = {"OPENBLAS_CORETYPE": "Nehalem", "MXNET_CPU_TEMP_COPY": "4", "OPENCV_IO_MAX_IMAGE_PIXELS": "600"}


@pytest.fixture(scope="module")
def ours():
    """What a process says that has loaded MXNet, where the user has chosen nothing."""
    return json.loads(python(LOADED))


@pytest.fixture(scope="module")
def chosen():
    """The same where the user has set all variables."""
    return json.loads(python(LOADED, **CHOICES))


def test_temporary_space_is_there_once_unless_the_user_chose(ours, chosen):
    assert ours["memory"] < chosen["memory"] - 50_000


def test_the_largest_image_is_that_of_the_user(ours, chosen):
    assert ours["images"] == [[20, 30, 3], [20, 31, 3]]
    shape, refused = chosen["images"]
    assert shape == [20, 30, 3]
    assert refused.startswith("declares 31×20 pixels, more than 600 (OPENCV_IO_M")


def test_matrix_products_use_the_vector_units(ours, chosen):
    if {"avx2", "fma"} <= environment._processor_flags():
        assert ours["core"] == "Haswell"  # by itself Prescott, on processors newer than the library
    assert chosen["core"] == "Nehalem"


@pytest.mark.parametrize(
    ("flags", "core"),
    [
        ("sse sse2", "None"),
        ("sse fma avx avx2", "Haswell"),
        ("fma avx2 avx512f avx512cd", "Haswell"),
        ("fma avx2 avx512f avx512cd avx512bw avx512dq avx512vl avx512_vnni", "SkylakeX"),
    ],
)
def test_kernels_for_a_processor(monkeypatch, flags, core):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    environment.choose_blas_kernels({*flags.split()})
    assert str(os.environ.get("OPENBLAS_CORETYPE")) == core


def test_several_cpu_contexts_get_a_thread_each():
    script = "from a2net_gluon import environment as e; import os; e.set_thread_count(2); print(os.environ[e.THREADS])"
    assert python(script) == "1"
    assert python(script, OMP_NUM_THREADS="7") == "7"


def test_threads_follow_the_affinity_mask():
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import a2net_gluon; "
    assert python(script + "print(os.environ['OMP_NUM_THREADS'])") == "1"


def test_mxnet_loads_after_us_whatever_the_numpy(ours):
    assert ours["bool"]


def test_numpy_2_gets_a_sentence(monkeypatch):
    monkeypatch.setattr(environment.np, "__version__", "2.1.0")
    with pytest.raises(ImportError, match=r"mxnet 1.9.1 cannot run with numpy 2.1.0: pip install 'numpy<1.27'"):
        environment.make_numpy_usable()


@pytest.fixture
def without_driver(tmp_path):
    """Environment variables with which Python finds an mxnet that cannot be loaded, as mxnet-cu112 without a driver."""
    (tmp_path / "mxnet").mkdir()
    missing = "libcuda.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "mxnet" / "__init__.py").write_text(f"raise OSError({missing!r})\n")
    return {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}


@pytest.mark.parametrize(
    "use",
    [
        "import a2net_gluon; a2net_gluon.get_model('resnet50')",
        "from a2net_gluon import Predictor",
        "import a2net_gluon; a2net_gluon.networks",
    ],
)
def test_without_a_driver_python_says_what_the_command_says(without_driver, tmp_path, use):
    def last_words(*arguments):
        words = [sys.executable, *arguments]
        done = subprocess.run(words, env=without_driver, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        return done.stderr.splitlines()

    (said,) = last_words("-m", "a2net_gluon", "cost", "resnet50")
    prog, _, line = said.partition(": error: ")
    assert prog == "a2net cost"
    assert line.startswith("libcuda.so.1: cannot open shared object file")
    traceback = last_words("-c", use)
    assert traceback[-1] == f"a2net_gluon.errors.FailureError: {line}"
    assert len(traceback) <= 6  # of the line that asked, and of this package's


def test_unknown_names_say_what_there_is():
    import a2net_gluon

    with pytest.raises(AttributeError, match="no attribute 'get_modl'; it offers .*get_model"):
        a2net_gluon.get_modl  # noqa: B018
    assert set(a2net_gluon.__all__) <= set(dir(a2net_gluon))
