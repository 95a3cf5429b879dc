"""Symbols traced from the Gluon networks, which are the only definition."""

import mxnet as mx

from a2net_gluon import get_model


def get_symbol(names, num_classes, num_layers, image_shape, dtype, **kwargs):
    """Trace a network and put the softmax output on it that Module trains.

    Parameters
    ----------
    names : dict of int to str
        The network for each number of layers.
    num_classes, num_layers : int
    image_shape : str or tuple
        ``"3,224,224"``; checked, the symbol itself takes any size.
    dtype : {"float32", "float16"}
        Of the computation; input and softmax are float32.
    kwargs
        Options of `a2net_gluon.get_model`. Those that MXNet's scripts pass to every network are ignored.

    Raises
    ------
    ValueError
        For another number of layers or of channels.
    """
    num_layers = int(num_layers)
    if num_layers not in names:
        raise ValueError(f"num_layers is {num_layers}; there are: {', '.join(map(str, names))}")
    shape = tuple(int(size) for size in image_shape.split(",")) if isinstance(image_shape, str) else tuple(image_shape)
    if len(shape) != 3 or shape[0] != 3:
        raise ValueError(f"image_shape is {image_shape!r}; it must be 3,height,width")
    # MXNet's example scripts hand all of their command-line arguments to every network.
    known = ("context", "placement", "association", "identity_start", "reduction", "last_gamma", "norm_layer")
    net = get_model(names[num_layers], classes=int(num_classes), **{key: kwargs[key] for key in known if key in kwargs})
    data = mx.sym.var("data")
    if dtype == "float16":
        net.cast("float16")
        logits = mx.sym.cast(net(mx.sym.cast(data, dtype="float16")), dtype="float32")
    else:
        logits = net(data)
    return mx.sym.SoftmaxOutput(logits, name="softmax")
