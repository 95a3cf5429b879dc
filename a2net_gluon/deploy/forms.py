"""The file forms of an exported network: names, loading and running.

Every form is run through a `Forward` function from the graph's input, a NumPy array, to logits (N, classes).
"""

from __future__ import annotations

import concurrent.futures
import functools
import pathlib
from typing import Any, Callable, Iterable, NamedTuple

import mxnet as mx
import numpy as np

from a2net_gluon.deploy.proof import Forward
from a2net_gluon.environment import thread_count
from a2net_gluon.errors import UsageError
from a2net_gluon.files import AnyPath
from a2net_gluon.mxnet_fixes import import_symbol_block, read_arrays, read_symbol
from a2net_gluon.networks.description import EXPORTED, TORCH_PARAMETERS

__all__ = [
    "FORMS",
    "WRITTEN",
    "Form",
    "check_files",
    "exported_files",
    "load_form",
    "load_module",
    "onnx_session",
    "written_forms",
]

_PAIR = 2  # images that one core computes at a time


class Form(NamedTuple):
    """One form of an exported network.

    Attributes
    ----------
    files : tuple of str
        Ends of the names of its files; the first belongs to this form alone.
    load : callable
        ``load(*paths, ctx)`` returns the function that runs the form.
    """

    files: tuple[str, ...]
    load: Callable[..., Forward]


def _load_symbol_block(symbol: AnyPath, params: AnyPath, ctx: mx.Context | None = None) -> Forward:
    ctx = ctx or mx.cpu()
    net = import_symbol_block(symbol, params, ctx)
    net.hybridize(static_alloc=True, static_shape=True)
    return lambda inputs: net(mx.nd.array(inputs, ctx=ctx, dtype=inputs.dtype)).asnumpy()


def _load_onnx(model: AnyPath, ctx: mx.Context | None = None) -> Forward:
    """Load an ONNX file so that every core computes pairs of images of its own.

    Threads that share a layer wait for each other at its end, and a whole batch does not fit into a core's cache: 16
    images on 2 cores took 0.88 of the time, in float32 and in 8 bits. All cores share the images left over.
    """
    cores = thread_count()
    shared = onnx_session(model, cores)
    batch = shared.get_inputs()[0].shape[0]
    if isinstance(batch, int):
        return lambda inputs: _answer_in_batches(shared, batch, inputs)
    if cores == 1:
        return lambda inputs: _answer(shared, inputs)
    alone, pool = onnx_session(model, 1), concurrent.futures.ThreadPoolExecutor(cores)

    def forward(inputs: np.ndarray) -> np.ndarray:
        in_pairs = len(inputs) // (_PAIR * cores) * _PAIR * cores
        pairs = [inputs[start : start + _PAIR] for start in range(0, in_pairs, _PAIR)]
        logits = list(pool.map(functools.partial(_answer, alone), pairs))
        if in_pairs < len(inputs) or not pairs:
            logits.append(_answer(shared, inputs[in_pairs:]))
        return np.concatenate(logits)

    return forward


def _answer(session: Any, inputs: np.ndarray) -> np.ndarray:
    return session.run(None, {"data": inputs})[0]


def _answer_in_batches(session: Any, batch: int, inputs: np.ndarray) -> np.ndarray:
    """Answer any number of inputs with a file that takes `batch` at a time; zeros fill the last batch."""
    logits = []
    for start in range(0, max(len(inputs), 1), batch):
        part = inputs[start : start + batch]
        padding = np.zeros((batch - len(part), *part.shape[1:]), part.dtype)
        logits.append(_answer(session, np.concatenate([part, padding]))[: len(part)])
    return np.concatenate(logits)


def onnx_session(model: AnyPath, threads: int) -> Any:
    """Open ONNX file `model` with ONNX Runtime on the CPU; return its InferenceSession."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Attention weights far from a location are subnormal floats, which processors multiply very slowly: without them
    # an image of noise takes 53 ms, with them 80 ms.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


# Sorted by speed; int8 comes last, since only its answers are not equal to those of the live network.
FORMS = {
    "onnx": Form((".onnx",), _load_onnx),
    "optimized": Form(("-optimized-symbol.json", EXPORTED), _load_symbol_block),
    "symbol": Form(("-symbol.json", EXPORTED), _load_symbol_block),
    "int8": Form(("-int8.onnx",), _load_onnx),
}


# Everything that an export can have. Nothing here runs the forms for other programs.
_FOR_OTHERS = {"torch": ("_torch.py", TORCH_PARAMETERS), "archive": (".mar",)}
_FILES = {**{name: form.files for name, form in FORMS.items()}, **_FOR_OTHERS}
WRITTEN = tuple(_FILES)


def exported_files(prefix: AnyPath, forms: Iterable[str] = ("symbol",)) -> tuple[pathlib.Path, ...]:
    """Return the paths of an export: the files of its forms, each of `WRITTEN`, then its description."""
    endings = dict.fromkeys(ending for form in forms for ending in _FILES[form])
    return tuple(pathlib.Path(f"{prefix}{ending}") for ending in (*endings, ".json"))


def written_forms(prefix: AnyPath) -> tuple[str, ...]:
    """Return the forms whose files exist under `prefix`, the fastest first."""
    return tuple(name for name, form in FORMS.items() if pathlib.Path(f"{prefix}{form.files[0]}").is_file())


def check_files(prefix: AnyPath, form: str) -> None:
    """Raise a UsageError if a file of this form of an export is missing."""
    for path in exported_files(prefix, (form,)):
        if not path.is_file():
            raise UsageError(f"{path}: no such file; {prefix} must be the --output of an export, with the form {form}")


def load_form(prefix: AnyPath, form: str = "symbol", ctx: mx.Context | None = None) -> Forward:
    """Load one form of an export; return the function from the graph's input to logits (N, classes)."""
    return FORMS[form].load(*exported_files(prefix, (form,))[:-1], ctx=ctx)


def load_module(prefix: AnyPath) -> Forward:
    """Load the form "symbol" with MXNet's Module, on the CPU; return a function like that of `load_form`."""
    symbol_file, params_file, _ = exported_files(prefix)
    symbol, arrays = read_symbol(symbol_file), read_arrays(params_file)
    arguments, auxiliary = (
        {name[len(kind) :]: array for name, array in arrays.items() if name.startswith(kind)}
        for kind in ("arg:", "aux:")
    )

    @functools.lru_cache(maxsize=1)
    def bound(shape: tuple[int, ...], dtype: np.dtype) -> mx.mod.Module:
        module = mx.mod.Module(symbol, data_names=["data"], label_names=None)
        module.bind([mx.io.DataDesc("data", shape, dtype)], for_training=False)
        module.set_params(arguments, auxiliary)
        return module

    def forward(inputs: np.ndarray) -> np.ndarray:
        module = bound(inputs.shape, inputs.dtype)
        module.forward(mx.io.DataBatch([mx.nd.array(inputs, dtype=inputs.dtype)]), is_train=False)
        return module.get_outputs()[0].asnumpy()

    return forward
