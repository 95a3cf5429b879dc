"""The forms in which an exported network lies on the disk, and how each of them is run.

Every form is run through a function from the graph's input, a NumPy array, to logits (N, classes).
"""

import concurrent.futures
import functools
import os
import pathlib
import typing

import mxnet as mx
import numpy as np

from a2net_gluon.environment import thread_count
from a2net_gluon.errors import UsageError
from a2net_gluon.mxnet_fixes import import_symbol_block
from a2net_gluon.networks.description import EXPORTED

__all__ = [
    "FORMS",
    "Form",
    "check_files",
    "exported_files",
    "load_form",
    "load_module",
    "onnx_session",
    "written_forms",
]

_PAIR = 2  # images that a core computes at a time


class Form(typing.NamedTuple):
    """One form of an exported network.

    Attributes
    ----------
    files : tuple of str
        Ends of the names of its files; the first belongs to this form alone.
    load : callable
        ``load(*paths, ctx)`` returns the function that runs it.
    """

    files: typing.Tuple[str, ...]
    load: typing.Callable


def _load_symbol_block(symbol, params, ctx=None):
    ctx = ctx or mx.cpu()
    net = import_symbol_block(symbol, params, ctx)
    net.hybridize(static_alloc=True, static_shape=True)
    return lambda inputs: net(mx.nd.array(inputs, ctx=ctx, dtype=inputs.dtype)).asnumpy()


def _load_onnx(model, ctx=None):
    """Images know nothing of each other: where there are two for each core, every core computes its own pair.

    Threads that share a layer wait for each other in each, and all images at once do not fit into a core's cache: 16
    images on 2 cores took 0.88 of the time, in float32 and in 8 bits. What is left over is shared by all cores.
    """
    cores = thread_count()
    shared = onnx_session(model, cores)
    if cores == 1:
        return lambda inputs: _answer(shared, inputs)
    alone, pool = onnx_session(model, 1), concurrent.futures.ThreadPoolExecutor(cores)

    def forward(inputs):
        in_pairs = len(inputs) // (_PAIR * cores) * _PAIR * cores
        pairs = [inputs[start : start + _PAIR] for start in range(0, in_pairs, _PAIR)]
        logits = list(pool.map(functools.partial(_answer, alone), pairs))
        if in_pairs < len(inputs) or not pairs:
            logits.append(_answer(shared, inputs[in_pairs:]))
        return np.concatenate(logits)

    return forward


def _answer(session, inputs):
    return session.run(None, {"data": inputs})[0]


def onnx_session(model, threads):
    """ONNX Runtime's session of a file, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Attention that is far from a location gets weights too small for normal floats, which processors multiply very
    # slowly: 80 ms an image became 53 on noise.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


# The fastest that is equal to the live network comes first, int8 last: it is only nearly equal.
FORMS = {
    "onnx": Form((".onnx",), _load_onnx),
    "optimized": Form(("-optimized-symbol.json", EXPORTED), _load_symbol_block),
    "symbol": Form(("-symbol.json", EXPORTED), _load_symbol_block),
    "int8": Form(("-int8.onnx",), _load_onnx),
}


def exported_files(prefix, forms=("symbol",)):
    """All files of an export: those of its forms, then its description."""
    endings = dict.fromkeys(ending for form in forms for ending in FORMS[form].files)
    return tuple(pathlib.Path(f"{prefix}{ending}") for ending in (*endings, ".json"))


def written_forms(prefix):
    """The forms that lie on the disk under `prefix`, the fastest first."""
    return tuple(name for name, form in FORMS.items() if pathlib.Path(f"{prefix}{form.files[0]}").is_file())


def check_files(prefix, form):
    """Raise UsageError if a file of this form of an export is missing."""
    for path in exported_files(prefix, (form,)):
        if not path.is_file():
            raise UsageError(f"{path}: no such file; {prefix} must be the --output of an export, with the form {form}")


def load_form(prefix, form="symbol", ctx=None):
    """Load one form of an export: a function from a NumPy array, what the graph takes, to logits (N, classes)."""
    return FORMS[form].load(*exported_files(prefix, (form,))[:-1], ctx=ctx)


def load_module(prefix):
    """Load the form "symbol" with MXNet's Module, on the CPU; returns a function as from `load_form`."""
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")  # a line about oneDNN for every bind
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(prefix), 0)

    @functools.lru_cache(maxsize=1)
    def bound(shape, dtype):
        module = mx.mod.Module(symbol, data_names=["data"], label_names=None)
        module.bind([mx.io.DataDesc("data", shape, dtype)], for_training=False)
        module.set_params(arguments, auxiliary)
        return module

    def forward(inputs):
        module = bound(inputs.shape, inputs.dtype)
        module.forward(mx.io.DataBatch([mx.nd.array(inputs, dtype=inputs.dtype)]), is_train=False)
        return module.get_outputs()[0].asnumpy()

    return forward
