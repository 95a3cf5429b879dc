"""Writing of the forms of an export, each by the module that knows its files."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Collection

import mxnet as mx
import numpy as np

from a2net_gluon.deploy.forms import exported_files
from a2net_gluon.deploy.inputs import graph_input
from a2net_gluon.deploy.live import LiveNetwork
from a2net_gluon.deploy.onnx_file import fix_size, write_onnx
from a2net_gluon.deploy.quantization import write_int8
from a2net_gluon.deploy.torch_files import write_torch
from a2net_gluon.errors import FailureError, reason_of
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.folding import fold_clips
from a2net_gluon.networks.fusion import can_fuse, fuse_relu

__all__ = ["write_forms"]


def write_forms(
    live: LiveNetwork,
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
                optimized = fold_clips(optimized, gradients=False)
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
