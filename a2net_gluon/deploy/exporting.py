"""Verified export: every form is loaded back and compared with the live network before any file is published."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from typing import Collection, Sequence

import mxnet as mx
import numpy as np

from a2net_gluon.data.samples import OnSkip
from a2net_gluon.deploy.archive import write_archive
from a2net_gluon.deploy.forms import FORMS, WRITTEN, exported_files, load_form, load_module
from a2net_gluon.deploy.inputs import crops_of, find_samples, graph_input, sample_count
from a2net_gluon.deploy.normalization import WithNormalization
from a2net_gluon.deploy.onnx_file import fix_size, write_onnx
from a2net_gluon.deploy.proof import BATCH, Forward, Proof, in_batches, prove
from a2net_gluon.deploy.quantization import write_int8
from a2net_gluon.deploy.rounding import own_rounding
from a2net_gluon.deploy.torch_files import check_torch, write_torch
from a2net_gluon.errors import FailureError, UsageError, reason_of
from a2net_gluon.files import AnyPath, flush, output_folder, staging_folder
from a2net_gluon.insight.memory import check_inference
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.folding import fold_clips
from a2net_gluon.networks.fusion import can_fuse, fuse_relu
from a2net_gluon.networks.trained import load_trained
from a2net_gluon.settings import Export

__all__ = ["AGREEMENT", "ROUNDINGS", "TOLERANCE", "export", "export_network"]

TOLERANCE = 1e-4  # relative to the largest logit; the same operators in the same order differ by much less
ROUNDINGS = 2  # a difference of two computations in float32: each may be this far from the exact one
AGREEMENT = 0.99  # share of all images or clips of this kind that must get the same class from the 8-bit form
CALIBRATION = 20  # smallest number of images or clips; half of them are for the comparison
_ENDINGS = ("-optimized", "-int8", "_torch")  # end of the file names of some forms, before the suffix


def export(options: Export, on_skip: OnSkip | None = None) -> dict[str, Proof]:
    """Export a network for deployment, proven equal to the live one; see `export_network`.

    Parameters
    ----------
    options : settings.Export
        Without parameters the network starts at random.
    on_skip : callable, optional
        Called with name and reason of each file that cannot be read.

    Returns
    -------
    dict of str to Proof
        The proof of each form.

    Raises
    ------
    UsageError
        If the settings, the parameters and the files do not fit together, or more memory is needed than is free.
    FailureError
        If a file is damaged or cannot be written, no sample can be read, or a form differs from the live network.
    """
    options = options.resolved()
    files, calibration = (find_samples(names, options.network.takes_clips) for names in (options.files, options.int8))
    net, description, _ = load_trained(options, classes=options.classes)
    return export_network(
        net,
        str(options.output),
        description,
        options.forms,
        files,
        calibration,
        options.pixels,
        on_skip,
        options.batch,
        options.tolerance,
    )


def export_network(
    net: mx.gluon.HybridBlock,
    prefix: AnyPath,
    description: Description,
    forms: Collection[str] = (),
    files: Sequence[AnyPath] = (),
    calibration: Sequence[AnyPath] = (),
    pixels: bool = False,
    on_skip: OnSkip | None = None,
    batch: int | None = None,
    tolerance: float | None = None,
) -> dict[str, Proof]:
    """Write `net` in one form or several, to files whose names start with `prefix`.

    ``<prefix>-symbol.json``, ``<prefix>-0000.params`` (the form "symbol") and ``<prefix>.json`` are always written.
    Every form is loaded back and run on the same samples as the live network. Only if all forms agree with it do the
    files appear under their names; files of an older export under this prefix are removed just before. At no moment
    files of both are there, and a process that is killed leaves no form that can be loaded but is not whole.

    Parameters
    ----------
    net : HybridBlock
        Initialized on one CPU or GPU context; one input, logits as output. It is hybridized.
    prefix : str or Path
        Folder and start of the file names.
    description : Description
        Classes and preprocessing, written to ``<prefix>.json``.
    forms : collection of str
        Further forms: "optimized" (MXNet with oneDNN's fused operators: BN, ReLU and sums become part of the
        convolutions before them; for the CPU), "onnx", "int8" (ONNX with 8-bit convolutions, for the CPU, see
        `a2net_gluon.deploy.quantization`), "torch" (for training in PyTorch, see `a2net_gluon.deploy.torch_files`; it
        is not run here, but its parameters are read again and compared), "archive" (all files in one, for
        multi-model-server).
    files : sequence of str or Path
        Images for the comparison, or for a network for clips videos, see `a2net_gluon.deploy.inputs.crops_of`; default:
        embedded handwritten digits.
    calibration : sequence of str or Path
        The same for "int8": one half calibrates, the other half is for the comparison.
    pixels : bool
        Make normalization part of the graph, which then takes RGB crops of uint8 (N, h, w, 3) or (N, t, h, w, 3).
    on_skip : callable, optional
        Called with name and reason of each file that cannot be read. It is left out; the proofs count the others.
    batch : int, optional
        Fix the sizes in the ONNX files, for readers that need it: inputs come this many at a time, each of the size in
        `description`. Default: batch, frames, height and width are open.
    tolerance : float, optional
        Largest difference of a logit that a form may have, relative to the largest logit. Default: `TOLERANCE`, or
        `ROUNDINGS` times the rounding of the network itself (float32 against float64) if that is more.

    Returns
    -------
    dict of str to Proof
        The proof of each form: "symbol" (loaded with SymbolBlock), "Module" (the same files) and the others.

    Raises
    ------
    UsageError
        If `prefix` names a folder, a file is of the wrong kind, the description does not fit the network, or more
        memory is needed than is free.
    FailureError
        If no sample can be read, the folder cannot be written, or a form differs by more than `tolerance`; for "int8",
        if the samples with the same class are too few for `AGREEMENT` on all of this kind.
    """
    prefix = pathlib.Path(prefix)
    _check_prefix(prefix)
    forms = _complete(forms, description, calibration)
    if "torch" in forms:
        check_torch(net)
    if pixels:
        description = dataclasses.replace(description, input="pixels")
    preprocessing, model = description.preprocessing, description.model
    read = sample_count(calibration, preprocessing) if calibration else 0
    _check_memory(net, description, sample_count(files, preprocessing) + read)
    crops = crops_of(files, preprocessing, model, on_skip)
    crops8 = crops_of(calibration, preprocessing, model, on_skip) if calibration else crops[:0]
    if "int8" in forms:
        _check_calibration(len(crops8), description.noun)
    return _publish(_Live(net, description), prefix, forms, crops, crops8, batch, tolerance)


def _publish(
    live: _Live,
    prefix: pathlib.Path,
    forms: Collection[str],
    crops: np.ndarray,
    crops8: np.ndarray,
    batch: int | None,
    tolerance: float | None,
) -> dict[str, Proof]:
    """Write all `forms` to a staging folder, prove them there, and move them to their places."""
    samples = live.sample(crops)
    samples8 = live.sample(crops8[1::2]) if len(crops8) else samples
    with output_folder(prefix.parent) as parent, staging_folder(parent) as staging:
        staged = staging / prefix.name
        _write(live, staged, prefix, forms, crops8[::2], batch)
        proofs = {"Module": _prove(live, prefix, "Module", load_module(staged), samples, tolerance)}
        for form in filter(FORMS.get, forms):
            given = samples8 if form == "int8" else samples
            proofs[form] = _prove(live, prefix, form, load_form(staged, form), given, tolerance)
        if "archive" in forms:
            write_archive(staged, [form for form in forms if form != "archive"], prefix.name)
        _replace(exported_files(staged, forms), prefix)
    return proofs


def _check_calibration(count: int, noun: str) -> None:
    if count < CALIBRATION:
        raise UsageError(f"{count} {noun} for calibration; give at least {CALIBRATION}, better some hundreds")


def _check_memory(net: mx.gluon.HybridBlock, description: Description, samples: int) -> None:
    """Check the memory for a batch, and for all samples: their pixels, and twice the input made of them."""
    values = samples * math.prod(description.preprocessing.input_shape)
    more = values * (2 if description.input == "pixels" else 2 + 2 * 4)
    ctx = next(iter(net.collect_params().values())).list_ctx()
    fix = f"lower --input-size, or name fewer {description.noun}"
    check_inference(net, description.model, description.preprocessing, min(BATCH, samples), ctx, more, fix)


def _check_prefix(prefix: pathlib.Path) -> None:
    if not prefix.name or prefix.is_dir():
        raise UsageError(f"{prefix} is a folder; --output is the start of file names, e.g. {prefix / 'model'}")
    ending = next((ending for ending in _ENDINGS if prefix.name.endswith(ending)), None)
    if ending:  # its files could belong to another export
        raise UsageError(f"{prefix} ends in {ending}, as files of exports do: choose another --output")
    in_the_way = [path for path in exported_files(prefix, WRITTEN) if path.is_dir()]
    if in_the_way:
        raise UsageError(f"{in_the_way[0]} is a folder, where a file has to go: choose another --output")


class _Live:
    """The live network in the shape of its export, with normalization if its graph takes pixels."""

    def __init__(self, net: mx.gluon.HybridBlock, description: Description) -> None:
        self.net, self.description = net, description
        self.block = WithNormalization(net, description.preprocessing) if description.input == "pixels" else net
        self.block.hybridize()
        self._ctx = next(iter(net.collect_params().values())).list_ctx()[0]

    def sample(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the graph's input for samples, and the logits of the live network."""
        inputs = graph_input(crops, self.description)
        logits = in_batches(self._forward, inputs)
        if logits.shape[1] != len(self.description.classes):
            classes = len(self.description.classes)
            raise UsageError(f"the network has {logits.shape[1]} classes, its description {classes}")
        return inputs, logits

    def rounding(self, inputs: np.ndarray, logits: np.ndarray) -> float:
        """Return the rounding of the network itself, on some of its inputs with their logits."""
        if self.description.input == "pixels":
            inputs = graph_input(inputs, dataclasses.replace(self.description, input="normalized"))
        return own_rounding(self.net, inputs, logits)

    def _forward(self, inputs: np.ndarray) -> np.ndarray:
        return self.block(mx.nd.array(inputs, ctx=self._ctx, dtype=inputs.dtype)).asnumpy()


def _complete(forms: Collection[str], description: Description, calibration: Sequence[AnyPath]) -> list[str]:
    """Return all forms to write, in the order of the table."""
    unknown = [form for form in forms if form not in WRITTEN]
    if unknown:
        raise UsageError(f"unknown form {unknown[0]!r}; there are: {', '.join(WRITTEN)}")
    if "int8" in forms:
        count = sample_count(calibration, description.preprocessing) if calibration else 0
        _check_calibration(count, description.noun)
    if {"onnx", "int8"} & set(forms):
        import onnx  # noqa: F401  (a missing package is reported before the work, not after it)
        import onnxruntime  # noqa: F401
    if "torch" in forms:
        import safetensors  # noqa: F401
    return [form for form in WRITTEN if form in ("symbol", *forms)]


def _write(
    live: _Live,
    staged: pathlib.Path,
    prefix: pathlib.Path,
    forms: Collection[str],
    calibrating: np.ndarray,
    batch: int | None,
) -> None:
    """Write all `forms` under the prefix `staged`; the samples `calibrating` set the ranges of 8 bits."""
    symbol, params, description = exported_files(staged)
    try:
        live.block.export(str(staged), epoch=0)
        live.description.save(description)
        if "optimized" in forms:
            arguments = mx.model.load_params(str(staged), 0)
            optimized = mx.sym.load(str(symbol))
            if can_fuse():
                optimized = fold_clips(optimized)
            optimized = optimized.optimize_for("MKLDNN", *arguments, skip_infer=True)
            if can_fuse():
                optimized = fuse_relu(optimized, gradients=False)
            optimized.save(str(exported_files(staged, ["optimized"])[0]))
        if {"onnx", "int8"} & set(forms):
            write_onnx(symbol, params, exported_files(staged, ["onnx"])[0], live.description)
            _finish_onnx(live.description, staged, forms, calibrating, batch)
        if "torch" in forms:
            code, parameters, _ = exported_files(staged, ["torch"])
            write_torch(live.net, dataclasses.replace(live.description, input="normalized"), code, parameters)
    except (OSError, mx.MXNetError) as error:
        raise FailureError(f"{prefix}: cannot be written ({reason_of(error)})") from None


def _finish_onnx(
    description: Description, staged: pathlib.Path, forms: Collection[str], calibrating: np.ndarray, batch: int | None
) -> None:
    """Write the form "int8" beside the ONNX file of open sizes that is there, and fix the sizes of both."""
    written = {form: exported_files(staged, [form])[0] for form in ("onnx", "int8")}
    if "int8" in forms:
        write_int8(written["onnx"], written["int8"], graph_input(calibrating, description))
    if batch is not None:
        for form in {"onnx", "int8"} & set(forms):
            fix_size(written[form], exported_files(staged)[0], (batch, *description.input_shape))


def _prove(
    live: _Live,
    prefix: pathlib.Path,
    form: str,
    forward: Forward,
    sample: tuple[np.ndarray, np.ndarray],
    tolerance: float | None,
) -> Proof:
    """Compare a form with the live network; raise a FailureError unless it is close enough."""
    inputs, expected = sample
    logits = in_batches(forward, inputs)
    proof = prove(logits, expected)
    if form == "int8":
        _check_agreement(prefix, proof, live.description.noun)
        return proof
    if tolerance is None and not proof.difference <= TOLERANCE:
        farthest = np.argsort(-np.abs(logits - expected).max(axis=1))[: BATCH // 2]  # in float64, the memory of a batch
        proof = proof._replace(rounding=live.rounding(inputs[farthest], expected[farthest]))
    limit = tolerance if tolerance is not None else max(TOLERANCE, ROUNDINGS * (proof.rounding or 0))
    if not proof.difference <= limit:
        own = "" if proof.rounding is None else f": float32 itself differs by {proof.rounding:.2g} from float64"
        raise FailureError(
            f"{prefix}: loaded as {form}, the export differs by {proof.difference:.2g} (relative), more than "
            f"{limit:.2g}{own}; --tolerance sets another limit"
        )
    return proof


def _check_agreement(prefix: pathlib.Path, proof: Proof, noun: str) -> None:
    if not proof.agreement >= _least_agreement(proof.images):
        raise FailureError(
            f"{prefix}: as int8 only {100 * proof.agreement:.2f} % of {proof.images} {noun} get the same class, "
            f"too few for {100 * AGREEMENT:.0f} % of all: calibrate with more {noun}, of the kind it was trained on"
        )


def _least_agreement(images: int) -> float:
    """Return the agreement that 95 % of all samples of `images` images reach if it is `AGREEMENT` on the population."""
    from scipy.stats import binom  # takes long to import, and only the 8-bit form needs it

    return (images - binom.ppf(0.95, images, 1 - AGREEMENT)) / images


def _replace(written: Sequence[pathlib.Path], prefix: pathlib.Path) -> None:
    """Put the staged files in the place of an older export's, of which none is left beside a new one.

    The description, which is the last of them, goes first and comes last: between the first and the last step, no form
    can be loaded by its prefix.
    """
    for path in written:
        flush(path)
    for path in reversed(exported_files(prefix, WRITTEN)):
        path.unlink(missing_ok=True)
    flush(prefix.parent)
    for path in written:
        os.replace(path, prefix.with_name(path.name))
    flush(prefix.parent)
