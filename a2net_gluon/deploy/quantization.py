"""The 8-bit form of a network, made from its ONNX form with ONNX Runtime's static quantization.

From the stem to the tail, these operators compute with 8-bit integers: convolutions, sums, ReLU, and BN that follows no
convolution, as a convolution of its own (in float32 it takes a third of the whole time, conversions included). Weights
have one scale for each output channel. Activations have one scale for each tensor, from the smallest and the largest
value, each averaged over batches of calibration images, so that a single extreme image does not coarsen all others.

These operators stay in float32: the stem's convolution, which reads the image, and in each block the two softmax and
the products with them. ONNX Runtime gives the output of a softmax the range 0 to 1, but an attention map over L
locations has values around 1/L, of which 8 bits would leave next to nothing. docs/results/quantization.md
has measurements of this choice and of its alternatives.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import tempfile
from typing import Any

import numpy as np

from a2net_gluon.deploy.onnx_graph import batch_norm_as_convolution
from a2net_gluon.deploy.proof import BATCH
from a2net_gluon.files import AnyPath

__all__ = ["write_int8"]

_OPERATORS = ("Conv", "Relu", "Clip", "Add", "MaxPool")  # ReLU and ReLU6 become the range of the operator before them


def write_int8(model: AnyPath, path: AnyPath, inputs: np.ndarray) -> None:
    """Quantize the ONNX file `model` to `path`.

    Parameters
    ----------
    model, path : str or Path
    inputs : numpy.ndarray
        The graph's input for calibration images, which set the ranges of activations.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # it prints progress
        folded = pathlib.Path(folder) / "folded.onnx"
        # BN becomes part of the convolution before it, so that only the output of both is rounded.
        quant_pre_process(os.fspath(model), os.fspath(folded), skip_symbolic_shape=True)
        quantize_static(
            os.fspath(folded),
            os.fspath(path),
            _Calibration(inputs),
            quant_format=QuantFormat.QDQ,
            # The quantizer needs the range of every softmax: they are calibrated, and then excluded.
            op_types_to_quantize=[*_OPERATORS, "Softmax"],
            nodes_to_exclude=_prepare(folded),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # The other methods keep every activation of every image in memory.
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},
        )


def _prepare(path: AnyPath) -> list[str]:
    """Make BN in an ONNX file quantizable and name all nodes after their outputs; return those to keep in float32."""
    import onnx

    model = onnx.load(os.fspath(path))
    batch_norm_as_convolution(model.graph)
    for node in model.graph.node:
        node.name = node.output[0]
    onnx.save(model, os.fspath(path))
    named = {kind: [node.name for node in model.graph.node if node.op_type == kind] for kind in ("Conv", "Softmax")}
    return [*named["Softmax"], named["Conv"][0]]


class _Calibration:
    """The calibration inputs in batches, with the interface of ONNX Runtime's CalibrationDataReader."""

    def __init__(self, inputs: np.ndarray) -> None:
        self._batches = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, or None after the last one."""
        batch = next(self._batches, None)
        return None if batch is None else {"data": batch}
