"""8-bit networks, made of the ONNX form with ONNX Runtime's static quantization.

Convolutions compute with 8-bit integers: one scale for each output channel of the weights, one for each tensor of
activations, the smallest and the largest value met on calibration images. Everything else stays in float32, above all
the block's two softmax and what is multiplied with them: ONNX Runtime gives the output of a softmax the range 0 to 1,
but an attention map over L locations has values around 1/L, of which 8 bits would leave next to nothing.
docs/deployment.md has the measurements, also of what was not chosen.
"""

import contextlib
import io
import os
import pathlib
import tempfile

from a2net_gluon.deploy.proof import BATCH

__all__ = ["write_int8"]


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
            op_types_to_quantize=["Conv", "Softmax"],
            nodes_to_exclude=_name_nodes(folded, "Softmax"),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # The other methods keep every activation of every image in memory.
            calibrate_method=CalibrationMethod.MinMax,
        )


def _name_nodes(path, kind):
    """Name all nodes of an ONNX file after their outputs; returns the names of those of one kind."""
    import onnx

    model = onnx.load(os.fspath(path))
    for node in model.graph.node:
        node.name = node.output[0]
    onnx.save(model, os.fspath(path))
    return [node.name for node in model.graph.node if node.op_type == kind]


class _Calibration:
    """The inputs, a few at a time, as ONNX Runtime asks for them."""

    def __init__(self, inputs):
        self._batches = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))

    def get_next(self):
        """The next batch, or None."""
        batch = next(self._batches, None)
        return None if batch is None else {"data": batch}
