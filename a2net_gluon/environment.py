"""What must be true of the process before mxnet is imported; ``import a2net_gluon`` sees to it."""

import ctypes
import importlib.metadata
import os
import pathlib
import signal

import numpy as np


def physical_cores():
    """Number of physical cores this process may run on (hardware threads of one core count once)."""
    cores = set()
    allowed = os.sched_getaffinity(0)
    for cpu in allowed:
        topology = pathlib.Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            cores.add(((topology / "physical_package_id").read_text(), (topology / "core_id").read_text()))
        except OSError:  # no sysfs (some containers): count hardware threads
            return len(allowed)
    return len(cores)


THREADS = "OMP_NUM_THREADS"
_chosen_here = THREADS not in os.environ


def threads_are_free():
    """Whether the user has left the number of threads open."""
    return _chosen_here


def set_thread_count(cpu_contexts=1):
    """Give OpenMP every physical core, unless the user has chosen.

    MXNet assumes hyper-threads and takes half of the processors it sees; on a machine without them it
    runs at half its speed. It reads the variable once, when it is loaded.

    Several CPU contexts compute at the same time, and OpenBLAS 0.3, as mxnet 1.9.1 ships it, can then wait for
    itself for ever, spinning in ``exec_blas``: there each gets a single thread, which does not go through it.
    """
    if _chosen_here:
        os.environ[THREADS] = str(physical_cores() if cpu_contexts == 1 else 1)


def thread_count():
    """Threads that one computation may have: what the user or `set_thread_count` chose."""
    try:
        return max(1, int(os.environ[THREADS].split(",")[0]))  # OpenMP takes a list, for nested loops
    except (KeyError, ValueError):
        return physical_cores()


def limit_spinning():
    """Have OpenMP threads that wait give up their processor soon, unless the user has chosen.

    libgomp lets them spin for long. As soon as anything else wants a processor, workers that read images or
    a second run, all wait for each other: two runs on two cores were 40 times slower than one. This many turns
    made them 8 times faster at no measurable price for a run alone.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def share_temporary_space():
    """Have MXNet keep one array for temporary values on the CPU, not four, unless the user has chosen.

    Operators that need such an array then wait for each other. Nothing was lost by it: a training step takes as long
    with one as with four, on one CPU context and on two. Each array grows as large as the largest use of it, so that
    four took 110 MB more in a step of 16 images.
    """
    os.environ.setdefault("MXNET_CPU_TEMP_COPY", "1")


BLAS_CORE = "OPENBLAS_CORETYPE"
# Kernels of OpenBLAS, the fastest first, and what a processor must be able to do for them.
_BLAS_CORES = {
    "SkylakeX": {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"},
    "Haswell": {"avx2", "fma"},
}


def choose_blas_kernels(flags=None):
    """Have OpenBLAS use the processor's vector units, unless the user has chosen.

    Version 0.3.13, which mxnet 1.9.1 ships, does not know processors that are newer than itself and takes its kernels
    for SSE3 there: on a Sapphire Rapids matrix products had 0.4 of their speed. It has none for AVX-512 and
    takes those for AVX2 instead; "SkylakeX" is for other OpenBLAS libraries in this process and its children.
    """
    flags = _processor_flags() if flags is None else flags
    core = next((name for name, needed in _BLAS_CORES.items() if needed <= flags), None)
    if core:
        os.environ.setdefault(BLAS_CORE, core)


def _processor_flags():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), ()))


def make_numpy_usable():
    """Let mxnet 1.9.1 import under numpy 1.24 to 1.26, which dropped the alias ``np.bool`` it uses."""
    if int(np.__version__.split(".")[0]) >= 2:
        raise ImportError(
            f"mxnet 1.9.1 cannot run with numpy {np.__version__}: pip install 'numpy<1.27' (see requirements/)"
        )
    if "bool" not in np.__dict__:
        np.bool = bool


def end_with_parent():
    """Have Linux end this process, a child, as soon as its parent has gone, however that ended."""
    pr_set_pdeathsig = 1
    parent = os.getppid()
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it has gone meanwhile
        os._exit(1)


# What mxnet-cu112 is linked against, each after those it needs itself.
CUDA_LIBRARIES = (
    "cuda_runtime/lib/libcudart.so.11.0",
    "cublas/lib/libcublasLt.so.11",
    "cublas/lib/libcublas.so.11",
    "cuda_nvrtc/lib/libnvrtc.so.11.2",
    "cufft/lib/libcufft.so.10",
    "curand/lib/libcurand.so.10",
    "cusparse/lib/libcusparse.so.11",
    "cusolver/lib/libcusolver.so.11",
    "cudnn/lib/libcudnn.so.8",
    "nccl/lib/libnccl.so.2",
    "nvtx/lib/libnvToolsExt.so.1",
)


def has_cuda_build():
    """Whether the installed MXNet is that for CUDA."""
    try:
        importlib.metadata.distribution("mxnet-cu112")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def missing_cuda_libraries():
    """Names of the libraries mxnet-cu112 would not find, each with what brings it."""
    sources = {path.split("/")[-1]: _pip_package(path) for path in CUDA_LIBRARIES}
    missing = {}
    for name, source in {**sources, "libcuda.so.1": "install NVIDIA's driver"}.items():
        try:
            ctypes.CDLL(name)
        except OSError:
            missing[name] = source
    return missing


def _pip_package(library):
    return f"pip install nvidia-{library.split('/')[0].replace('_', '-')}-cu11"


def preload_cuda_libraries():
    """Make the CUDA 11 libraries that pip installed findable by mxnet-cu112.

    The wheel expects them on the loader's path; the ``nvidia-*-cu11`` packages put them in
    ``site-packages/nvidia``. Loading them globally first has the same effect as LD_LIBRARY_PATH. What is not
    there is left to the loader, which may find a system-wide one.
    """
    if not has_cuda_build():
        return
    folder = importlib.metadata.distribution("mxnet-cu112").locate_file("nvidia")
    for library in CUDA_LIBRARIES:
        path = pathlib.Path(folder) / library
        if path.is_file():
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def prepare():
    """Prepare this process for mxnet; quick, silent, and harmless to call twice."""
    set_thread_count()
    limit_spinning()
    share_temporary_space()
    choose_blas_kernels()
    make_numpy_usable()
    preload_cuda_libraries()
