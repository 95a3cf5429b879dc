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
from a2net_gluon.deploy.inputs import crops_of, find_samples, sample_count
from a2net_gluon.deploy.live import LiveNetwork
from a2net_gluon.deploy.proof import BATCH, Proof
from a2net_gluon.deploy.torch_files import check_torch
from a2net_gluon.deploy.verification import verify
from a2net_gluon.deploy.writing import write_forms
from a2net_gluon.errors import UsageError
from a2net_gluon.files import AnyPath, flush, output_folder, staging_folder
from a2net_gluon.insight.memory import check_inference
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.trained import load_trained
from a2net_gluon.settings import Export

__all__ = ["export", "export_network"]

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
    return _publish(LiveNetwork(net, description), prefix, forms, crops, crops8, batch, tolerance)


def _publish(
    live: LiveNetwork,
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
        write_forms(live, staged, prefix, forms, crops8[::2], batch)
        proofs = {"Module": verify(live, prefix, "Module", load_module(staged), samples, tolerance)}
        for form in filter(FORMS.get, forms):
            given = samples8 if form == "int8" else samples
            proofs[form] = verify(live, prefix, form, load_form(staged, form), given, tolerance)
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
