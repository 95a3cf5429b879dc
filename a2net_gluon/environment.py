"""Preparation of the process for the import of mxnet; ``import a2net_gluon`` runs it."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import pathlib
import signal

import numpy as np

from a2net_gluon.errors import reason_of

# What to do where batches do not fit into shared memory.
SHARED_MEMORY_FIX = "free or enlarge /dev/shm (docker run --shm-size=1g), or lower --num-data-workers"


def physical_cores() -> int:
    """Return the number of physical cores this process may run on; hardware threads of one core count once."""
    cores = set()
    allowed = os.sched_getaffinity(0)
    for cpu in allowed:
        topology = pathlib.Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            cores.add(((topology / "physical_package_id").read_text(), (topology / "core_id").read_text()))
        except OSError:  # no sysfs, as in some containers: count hardware threads
            return len(allowed)
    return len(cores)


THREADS = "OMP_NUM_THREADS"
_chosen_here = THREADS not in os.environ


def threads_are_free() -> bool:
    """Tell whether the user has left the number of threads to this package."""
    return _chosen_here


def set_thread_count(cpu_contexts: int = 1) -> None:
    """Give OpenMP every physical core; a number that the user has set stays.

    MXNet assumes hyper-threads and uses half of the processors it sees; on a machine without hyper-threads it runs at
    half its speed. It reads the variable once, when it is loaded.

    Several CPU contexts compute at the same time, and OpenBLAS 0.3, as shipped with mxnet 1.9.1, can then deadlock,
    spinning in ``exec_blas``. Each context therefore gets a single thread, which bypasses that function.
    """
    if _chosen_here:
        os.environ[THREADS] = str(physical_cores() if cpu_contexts == 1 else 1)


def thread_count() -> int:
    """Return the number of threads of one computation, as set by the user or by `set_thread_count`."""
    try:
        return max(1, int(os.environ[THREADS].split(",")[0]))  # OpenMP accepts a list, for nested loops
    except (KeyError, ValueError):
        return physical_cores()


def limit_spinning() -> None:
    """Make waiting OpenMP threads release their processor soon; a policy that the user has set stays.

    libgomp lets them spin for a long time. When other processes need a processor, such as image readers or a second
    run, all of them wait for each other: two runs on two cores were 40 times slower than one. With this number of
    turns they were 8 times faster, at no measurable cost for a single run.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def share_temporary_space() -> None:
    """Make MXNet keep one array for temporary values on the CPU instead of four; a number that the user has set stays.

    Operators that need such an array then wait for each other. That costs no time: a training step takes as long with
    one array as with four, on one CPU context and on two. Each array grows to its largest use, so that four arrays
    took 110 MB more in a step of 16 images.
    """
    os.environ.setdefault("MXNET_CPU_TEMP_COPY", "1")


# Of cgroups, versions 2 and 1: folder, and the files and the field of memory.stat that tell limit, usage and cache.
_CONTAINERS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available_memory() -> int | None:
    """Return the bytes of memory that this process can still use without swapping; None where the system does not say.

    Linux tells what the machine has left, and a container what it may use.
    """
    try:
        free = 1024 * _numbers("/proc/meminfo")["MemAvailable"]
    except (OSError, KeyError, ValueError):
        return None
    for folder, limit, usage, cache in _CONTAINERS:
        with contextlib.suppress(OSError, KeyError, ValueError):  # there is no limit
            most, used = (int(pathlib.Path(folder, name).read_text()) for name in (limit, usage))
            free = min(free, most - used + _numbers(f"{folder}/memory.stat")[cache])
    return max(free, 0)


def _numbers(path: str) -> dict[str, int]:
    """The numbers in a file of the system with lines such as ``name: number kB``."""
    words = (line.split() for line in pathlib.Path(path).read_text().splitlines())
    return {name.rstrip(":"): int(number) for name, number, *_ in words}


IMAGE_LIMIT = "OPENCV_IO_MAX_IMAGE_PIXELS"


def limit_images() -> None:
    """Make OpenCV refuse images of more than 178,956,970 pixels.

    It is Pillow's limit. OpenCV's own allows six times as many, and a file of a hundred bytes can declare them. A
    number that the user has set stays. OpenCV reads the variable once, when it is loaded. The copy in MXNet has no
    such limit; images are decoded with opencv-python before.
    """
    os.environ.setdefault(IMAGE_LIMIT, "178956970")


def largest_image() -> int:
    """Return the largest number of pixels of an image that is decoded."""
    return int(os.environ[IMAGE_LIMIT])


BLAS_CORE = "OPENBLAS_CORETYPE"
# Kernels of OpenBLAS, the fastest first, with the processor flags they need.
_BLAS_CORES = {
    "SkylakeX": {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"},
    "Haswell": {"avx2", "fma"},
}


def choose_blas_kernels(flags: set[str] | None = None) -> None:
    """Make OpenBLAS use the processor's vector units; a choice of the user stays.

    Version 0.3.13, shipped with mxnet 1.9.1, does not know newer processors and falls back to SSE3 kernels: on a
    Sapphire Rapids matrix products had 0.4 of their speed. It has no kernels for AVX-512 and uses those for AVX2
    instead; "SkylakeX" is for other OpenBLAS libraries in this process and its children.

    Parameters
    ----------
    flags : set of str, optional
        Default: the flags of this processor.
    """
    flags = _processor_flags() if flags is None else flags
    core = next((name for name, needed in _BLAS_CORES.items() if needed <= flags), None)
    if core:
        os.environ.setdefault(BLAS_CORE, core)


def has_avx512() -> bool:
    """Whether oneDNN uses its kernels for AVX-512 on this processor."""
    return _BLAS_CORES["SkylakeX"] <= _processor_flags()


def _processor_flags() -> set[str]:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), ()))


def make_numpy_usable() -> None:
    """Restore the alias ``np.bool``, which mxnet 1.9.1 uses and numpy 1.24 to 1.26 lack."""
    if int(np.__version__.split(".")[0]) >= 2:
        raise ImportError(
            f"mxnet 1.9.1 cannot run with numpy {np.__version__}: pip install 'numpy<1.27' (see requirements/)"
        )
    if "bool" not in np.__dict__:
        setattr(np, "bool", bool)  # noqa: B010  (not in numpy's types)


def end_with_parent(parent: int | None = None) -> None:
    """Make Linux kill this process as soon as its parent has ended, however it ended.

    Parameters
    ----------
    parent : int, optional
        Number of the parent, for a process that begins so slowly that the parent may have ended before this call.
    """
    pr_set_pdeathsig = 1
    parent = os.getppid() if parent is None else parent
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # the parent has already ended
        os._exit(1)


# Libraries that mxnet-cu112 is linked against, each after those it needs itself.
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


def has_cuda_build() -> bool:
    """Tell whether the installed MXNet is the build for CUDA."""
    try:
        importlib.metadata.distribution("mxnet-cu112")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def missing_cuda_libraries() -> dict[str, str]:
    """Return the names of the libraries that mxnet-cu112 would not find, each with the command that installs it."""
    sources = {path.split("/")[-1]: _pip_package(path) for path in CUDA_LIBRARIES}
    missing = {}
    for name, source in {**sources, "libcuda.so.1": "install NVIDIA's driver"}.items():
        try:
            ctypes.CDLL(name)
        except OSError:
            missing[name] = source
    return missing


def library_error_in_words(error: OSError) -> str:
    """One line for an error of the system; where it is a library that MXNet does not find, with what installs it."""
    fixes = [fix for name, fix in missing_cuda_libraries().items() if name in str(error)]
    return "; ".join([reason_of(error), *fixes[:1]])


def _pip_package(library: str) -> str:
    return f"pip install nvidia-{library.split('/')[0].replace('_', '-')}-cu11"


def preload_cuda_libraries() -> None:
    """Load the CUDA 11 libraries that pip installed, so that mxnet-cu112 finds them.

    The wheel expects them on the loader's path; the ``nvidia-*-cu11`` packages put them in ``site-packages/nvidia``.
    Loading them globally first has the same effect as LD_LIBRARY_PATH. A missing library is left to the loader, which
    may find one of the system.
    """
    if not has_cuda_build():
        return
    folder = importlib.metadata.distribution("mxnet-cu112").locate_file("nvidia")
    for library in CUDA_LIBRARIES:
        path = pathlib.Path(str(folder)) / library
        if path.is_file():
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def omit_subgraph_messages() -> None:
    """Keep MXNet from printing that oneDNN's operators are used, unless the user has set whether it does.

    MXNet reads the variable once, when the first symbol is bound.
    """
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")


def prepare() -> None:
    """Prepare this process for mxnet; quick, silent, and safe to call twice."""
    set_thread_count()
    limit_spinning()
    share_temporary_space()
    limit_images()
    omit_subgraph_messages()
    choose_blas_kernels()
    make_numpy_usable()
    preload_cuda_libraries()
