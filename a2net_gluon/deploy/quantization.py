"""8-bit networks, made with MXNet's quantization for oneDNN.

Convolutions with what was folded into them, standalone BN, sums and the classifier compute with 8-bit integers: one
scale for each output channel of a convolution's weights, one for each tensor of activations, found on calibration
images. The two softmax of the block and the matrix products with them stay in float32: an attention map over L
locations has values around 1/L, of which 8 bits on a scale from 0 to 1 would leave next to nothing. docs/deployment.md
has the measurements.
"""

import logging

import mxnet as mx

from a2net_gluon.deploy.proof import BATCH

__all__ = ["write_int8"]

_QUIET = logging.getLogger(f"{__name__}.quiet")
_QUIET.setLevel(logging.CRITICAL)


def write_int8(symbol, params, symbol8, params8, inputs):
    """Quantize an exported network.

    Parameters
    ----------
    symbol, params : Path
        Its files.
    symbol8, params8 : Path
        The files to write.
    inputs : numpy.ndarray
        What the graph takes, of images that show how large activations get.
    """
    from mxnet.contrib.quantization import quantize_model_mkldnn

    arrays = mx.nd.load(str(params))
    quantized, arguments, auxiliary = quantize_model_mkldnn(
        mx.sym.load(str(symbol)),
        {name[len("arg:") :]: array for name, array in arrays.items() if name.startswith("arg:")},
        {name[len("aux:") :]: array for name, array in arrays.items() if name.startswith("aux:")},
        label_names=None,
        calib_mode="naive",
        calib_data=mx.io.NDArrayIter(inputs, batch_size=min(BATCH, len(inputs))),
        quantized_dtype="int8",
        quantize_mode="full",
        quantize_granularity="channel-wise",
        logger=_QUIET,
    )
    quantized.save(str(symbol8))
    named = {**{f"arg:{name}": array for name, array in arguments.items()}}
    mx.nd.save(str(params8), {**named, **{f"aux:{name}": array for name, array in auxiliary.items()}})
