"""Symbols traced from the Gluon networks, which are the only definition."""

from __future__ import annotations

import difflib
import typing

import mxnet as mx

from a2net_gluon.mxnet_fixes import mean_over_devices, wait_for_running_statistics
from a2net_gluon.networks import get_model
from a2net_gluon.settings.network import BLOCKS

__all__ = ["get_symbol", "module_parameters"]

# The options of `a2net_gluon.get_model` that change the graph.
OPTIONS = ("association", "identity_start", "last_gamma", "norm_kwargs", "norm_layer", *BLOCKS)
# The least similarity of a misspelt option to the right one. No argument of MXNet's scripts is as close to any option.
_SIMILARITY = 0.75


def get_symbol(
    names: dict[int, str],
    num_classes: int,
    num_layers: int | None,
    image_shape: str | tuple[int, ...],
    dtype: str,
    **kwargs: typing.Any,
) -> mx.sym.Symbol:
    """Trace a network and add the softmax output that Module trains.

    Parameters
    ----------
    names : dict of int to str
        The network for each number of layers; the first is the default.
    num_classes : int
    num_layers : int
        MXNet's scripts pass None or 0 for the default.
    image_shape : str or tuple
        Checked only, e.g. ``"3,224,224"``: the symbol takes any size.
    dtype : {"float32", "float16"}
        Of the computation; input and softmax are float32.
    kwargs
        Options of `a2net_gluon.get_model`; None is its default. Other arguments, which MXNet's scripts pass to every
        network, are ignored.

    Returns
    -------
    Symbol
        Inputs ``data`` and ``softmax_label``, output ``softmax_output``.

    Raises
    ------
    ValueError
        For another number of layers or of channels, or another type.
    TypeError
        For a misspelt option, and for parameters, which a symbol does not hold.
    """
    num_layers = int(num_layers or next(iter(names)))
    if num_layers not in names:
        raise ValueError(f"num_layers is {num_layers}; there are: {', '.join(map(str, names))}")
    _check_image_shape(image_shape)
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype is {dtype!r}; it must be 'float32' or 'float16'")
    net = get_model(names[num_layers], classes=int(num_classes), **_network_options(kwargs))
    data = mx.sym.var("data")
    if dtype == "float16":
        net.cast("float16")
        logits = _cast(net(_cast(data, "float16", "half")), "float32", "single")
    else:
        logits = net(data)
    return mx.sym.SoftmaxOutput(logits, name="softmax")


def module_parameters(net: mx.gluon.HybridBlock) -> tuple[dict[str, mx.nd.NDArray], dict[str, mx.nd.NDArray]]:
    """Return the parameters of a Gluon network in the form that Module takes.

    Parameters
    ----------
    net : HybridBlock
        One input; initialised, on any devices.

    Returns
    -------
    arg_params, aux_params : dict of str to NDArray
        Copies on the CPU, under the names in the graph. Running statistics of several devices are averaged.

    Examples
    --------
    >>> arg_params, aux_params = module_parameters(net)
    >>> module.fit(batches, arg_params=arg_params, aux_params=aux_params, num_epoch=1)
    """
    wait_for_running_statistics()
    # Not by grad_req, which is "null" for frozen weights too.
    auxiliary = set(net(mx.sym.var("data")).list_auxiliary_states())
    values = {name: mean_over_devices(parameter) for name, parameter in net.collect_params().items()}
    arguments = {name: value for name, value in values.items() if name not in auxiliary}
    return arguments, {name: value for name, value in values.items() if name in auxiliary}


def _check_image_shape(image_shape: str | tuple[int, ...]) -> None:
    sizes = image_shape.split(",") if isinstance(image_shape, str) else image_shape
    try:
        shape = [int(size) for size in sizes]
    except (TypeError, ValueError):
        shape = []
    if len(shape) != 3 or shape[0] != 3 or min(shape) < 1:
        raise ValueError(f"image_shape is {image_shape!r}; it must be 3,height,width")


def _network_options(kwargs: dict[str, typing.Any]) -> dict[str, typing.Any]:
    """The options for `get_model` among all arguments that MXNet's scripts pass to every network."""
    if kwargs.get("pretrained"):
        raise TypeError(
            "a symbol holds no parameters, so pretrained has no effect: hand them to Module, docs/module.md"
        )
    for key in kwargs:
        close = difflib.get_close_matches(key, OPTIONS, n=1, cutoff=_SIMILARITY)
        if key not in OPTIONS and close:
            raise TypeError(f"get_symbol has no option {key!r}; did you mean {close[0]!r}?")
    return {key: kwargs[key] for key in OPTIONS if kwargs.get(key) is not None}


def _cast(symbol: mx.sym.Symbol, dtype: str, name: str) -> mx.sym.Symbol:
    """A cast with a name of its own: MXNet's script compares the text of a symbol with that of a saved one."""
    return mx.sym.cast(symbol, dtype=dtype, name=name)
