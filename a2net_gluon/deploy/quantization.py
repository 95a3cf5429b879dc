"""8-bit networks: ONNX Runtime's static quantization of the ONNX form."""

import os
import pathlib
import tempfile

from a2net_gluon.deploy.proof import BATCH

__all__ = ["write_int8"]


def write_int8(model, path, inputs):
    """Quantize ONNX file `model` to `path`.

    Parameters
    ----------
    model, path : Path
    inputs : numpy.ndarray
        What the graph takes, of images that show how large activations get.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        folded = pathlib.Path(folder) / "folded.onnx"
        # BN goes into the convolution before it, so that only what comes out of both is rounded.
        quant_pre_process(os.fspath(model), os.fspath(folded), skip_symbolic_shape=True)
        quantize_static(
            os.fspath(folded),
            os.fspath(path),
            _Calibration(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )


class _Calibration:
    """The inputs, a few at a time, as ONNX Runtime asks for them."""

    def __init__(self, inputs):
        self._batches = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))

    def get_next(self):
        """The next batch, or None."""
        batch = next(self._batches, None)
        return None if batch is None else {"data": batch}
