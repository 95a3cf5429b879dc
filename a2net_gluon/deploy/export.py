"""Export to symbol and params, proven equal to the live network before anything is left on the disk."""

import os
import pathlib
import warnings

import mxnet as mx
import numpy as np

from a2net_gluon.data.description import EXPORTED
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import folder_for_output, staging_folder

__all__ = ["TOLERANCE", "export", "exported_files", "load_module", "load_symbol_block"]

TOLERANCE = 1e-4  # of the largest logit; the same operators in the same order differ by much less
EXAMPLES = 4  # images each copy is compared on


def exported_files(prefix):
    """The three files of an export: symbol, parameters and description."""
    return tuple(pathlib.Path(f"{prefix}{ending}") for ending in ("-symbol.json", EXPORTED, ".json"))


def export(net, prefix, description):
    """Write ``<prefix>-symbol.json``, ``<prefix>-0000.params`` and ``<prefix>.json``.

    The files are loaded back with SymbolBlock and with Module and compared with `net` on random images. Only if all
    agree do they appear under their names.

    Parameters
    ----------
    net : HybridBlock
        Initialised on one CPU or GPU context; one input, logits out.
    prefix : str or Path
        Folder and start of the files' names.
    description : Description
        Classes and preprocessing, written to ``<prefix>.json``.

    Returns
    -------
    dict of str to float
        For "SymbolBlock" and "Module", the largest difference of a logit from the live network's, relative to
        its largest logit.

    Raises
    ------
    UsageError
        If `prefix` names a folder, or the description has another number of classes than the network.
    FailureError
        If the folder cannot be written, or a copy differs by more than `TOLERANCE`.
    """
    prefix = pathlib.Path(prefix)
    if not prefix.name or prefix.is_dir():
        raise UsageError(f"{prefix} is a folder; --output is the start of file names, e.g. {prefix / 'model'}")
    parent = folder_for_output(prefix.parent)
    ctx = next(iter(net.collect_params().values())).list_ctx()[0]
    inputs = _random_images(description.preprocessing)
    net.hybridize()
    expected = net(inputs.as_in_context(ctx)).asnumpy()
    if expected.shape[1] != len(description.classes):
        raise UsageError(f"the network has {expected.shape[1]} classes, its description {len(description.classes)}")
    with staging_folder(parent) as staging:
        staged = staging / prefix.name
        try:
            net.export(str(staged), epoch=0)
        except (OSError, mx.MXNetError) as error:
            raise FailureError(f"{prefix}: cannot be written ({' '.join(str(error).split())[:200]})") from None
        description.save(exported_files(staged)[2])
        differences = {
            name: _difference(load(staged)(inputs), expected)
            for name, load in {"SymbolBlock": load_symbol_block, "Module": load_module}.items()
        }
        for name, difference in differences.items():
            if not difference <= TOLERANCE:
                raise FailureError(f"{prefix}: loaded with {name}, the export differs by {difference:.2g} (relative)")
        for source, target in zip(exported_files(staged), exported_files(prefix)):
            os.replace(source, target)
    return differences


def load_symbol_block(prefix, ctx=None):
    """Load an export with Gluon; returns a function from NDArray to NDArray."""
    symbol, params, _ = exported_files(prefix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Cannot decide type": harmless, and no fault of the user's
        return mx.gluon.SymbolBlock.imports(str(symbol), ["data"], str(params), ctx=ctx or mx.cpu())


def load_module(prefix):
    """Load an export with Module, on the CPU; returns a function from NDArray to NDArray."""
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")  # a line about oneDNN for every bind
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(prefix), 0)

    def forward(inputs):
        module = mx.mod.Module(symbol, data_names=["data"], label_names=None)
        module.bind([("data", inputs.shape)], for_training=False)
        module.set_params(arguments, auxiliary)
        module.forward(mx.io.DataBatch([inputs]), is_train=False)
        return module.get_outputs()[0]

    return forward


def _random_images(preprocessing):
    shape = (EXAMPLES, 3, preprocessing.size, preprocessing.size)
    pixels = np.random.default_rng(0).integers(0, 256, shape)
    return preprocessing.normalize(mx.nd.array(pixels, dtype=np.uint8))


def _difference(output, expected):
    return float(np.abs(output.asnumpy() - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny))
