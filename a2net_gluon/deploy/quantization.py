"""8-bit networks, made of the ONNX form with ONNX Runtime's static quantization.

From the stem to the tail everything computes with 8-bit integers: convolutions, sums, ReLU, and BN where no convolution
stands before it, as a convolution of its own (in float32 it takes a third of the whole time, conversions included).
Weights have one scale for each output channel. Activations have one for each tensor, from the mean over batches of
calibration images of the smallest and largest value: a single extreme image does not coarsen all.

In float32 stay the stem's convolution, which sees the image, and of a block the two softmax and what is multiplied
with them: ONNX Runtime gives the output of a softmax the range 0 to 1, but an attention map over L locations has values
around 1/L, of which 8 bits would leave next to nothing. docs/results/quantization.md has the measurements, including
those of the alternatives.
"""

import contextlib
import io
import os
import pathlib
import tempfile

from a2net_gluon.deploy.onnx_graph import batch_norm_as_convolution
from a2net_gluon.deploy.proof import BATCH

__all__ = ["write_int8"]

_OPERATORS = ("Conv", "Relu", "Clip", "Add", "MaxPool")  # ReLU and ReLU6 become the limits of what they follow


def write_int8(model, path, inputs):
    """Quantize the ONNX file `model` to `path`.

    Parameters
    ----------
    model, path : Path
    inputs : numpy.ndarray
        What the graph takes, of images that show how large activations get.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):  # it chats
        folded = pathlib.Path(folder) / "folded.onnx"
        # BN goes into the convolution before it, so that only what comes out of both is rounded.
        quant_pre_process(os.fspath(model), os.fspath(folded), skip_symbolic_shape=True)
        quantize_static(
            os.fspath(folded),
            os.fspath(path),
            _Calibration(inputs),
            quant_format=QuantFormat.QDQ,
            # The quantizer asks for the range of every softmax, so they are watched, and then left out.
            op_types_to_quantize=[*_OPERATORS, "Softmax"],
            nodes_to_exclude=_prepare(folded),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # The other methods keep every activation of every image in memory.
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},
        )


def _prepare(path):
    """Make BN of an ONNX file quantizable and name all nodes after their outputs; returns which stay in float32."""
    import onnx

    model = onnx.load(os.fspath(path))
    batch_norm_as_convolution(model.graph)
    for node in model.graph.node:
        node.name = node.output[0]
    onnx.save(model, os.fspath(path))
    named = {kind: [node.name for node in model.graph.node if node.op_type == kind] for kind in ("Conv", "Softmax")}
    return [*named["Softmax"], named["Conv"][0]]


class _Calibration:
    """The inputs, a few at a time, as ONNX Runtime asks for them."""

    def __init__(self, inputs):
        self._batches = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))

    def get_next(self):
        """The next batch, or None."""
        batch = next(self._batches, None)
        return None if batch is None else {"data": batch}
