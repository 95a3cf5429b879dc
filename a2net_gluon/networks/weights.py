"""Reading parameter files into networks, with an error that says what does not fit."""

import pathlib

import mxnet as mx

from a2net_gluon.errors import FailureError, UsageError

__all__ = ["check_contexts", "count_classes", "load_weights", "read_arrays", "save_arrays", "save_weights"]


def check_contexts(ctx):
    """Return `ctx`, one context or several, as a list of contexts that exist on this machine.

    Raises
    ------
    UsageError
        If a context is none, or names a GPU that is not there.
    """
    contexts = list(ctx) if isinstance(ctx, (list, tuple)) else [ctx]
    if not contexts or not all(isinstance(one, mx.Context) for one in contexts):
        raise UsageError(f"ctx is {ctx!r}; it must be a context such as mx.cpu() or mx.gpu(0), or a list of them")
    if len(set(contexts)) < len(contexts):
        raise UsageError(f"ctx is {contexts}: each device can be named once")
    gpus = [one.device_id for one in contexts if one.device_type == "gpu"]
    available = mx.context.num_gpus() if gpus else 0
    absent = [index for index in gpus if index >= available]
    if absent:
        raise UsageError(
            f"GPU {absent[0]} asked for, but MXNet sees {available}: leave the GPUs out to run on the CPU, or install "
            "mxnet-cu112 and a driver (a2net-gluon[cu112])"
        )
    return contexts


def read_arrays(path):
    """Read a .params file as ``{name: NDArray}``; this format holds numbers only, nothing is unpickled.

    Raises
    ------
    UsageError
        If there is no such file.
    FailureError
        If the file is truncated or not a parameter file.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such parameter file")
    try:
        arrays = mx.nd.load(str(path))
    except (mx.MXNetError, UnicodeDecodeError, ValueError):  # mxnet's message is a page of C++ frames
        arrays = None
    if not isinstance(arrays, dict) or not arrays:
        raise FailureError(f"{path}: truncated, or not an MXNet parameter file; copy or export it again")
    return arrays


def count_classes(path):
    """Number of classes of the network in parameter file `path`, or None if it is none of ours."""
    arrays = read_arrays(path)
    return next((arrays[name].shape[0] for name in ("output.bias", "arg:fc_bias") if name in arrays), None)


def load_weights(net, path, ctx=None):
    """Load all parameters of `net` from `path`.

    Both kinds of files are read: those of ``save_parameters`` and those of an export.

    Parameters
    ----------
    net : HybridBlock
    path : str or Path
    ctx : mxnet.Context or list of them, optional
        Where the parameters go; the CPU unless given.

    Raises
    ------
    UsageError
        If the file is missing, or holds another network or another number of classes.
    FailureError
        If the file is truncated or not a parameter file.
    """
    contexts = check_contexts(ctx or mx.cpu())
    arrays = read_arrays(path)
    exported = all(name.startswith(("arg:", "aux:")) for name in arrays)
    if exported:
        arrays = {name[len("arg:") :]: array for name, array in arrays.items()}
        parameters = dict(net.collect_params().items())
    else:
        parameters = net._collect_params_with_prefix()  # the names save_parameters writes
    _check_fit(path, parameters, arrays)
    for name, parameter in parameters.items():
        # The two steps of gluon's own loader: cast to the parameter's type, then initialise or overwrite.
        parameter._load_init(arrays[name], contexts, cast_dtype=True, dtype_source="current")


def save_weights(net, path):
    """Save the parameters of `net`; returns them as read back, ``{name: NDArray}``.

    MXNet does not notice when a full disk cuts off the end of a file.

    Raises
    ------
    FailureError
        If the file cannot be written.
    """
    try:
        net.save_parameters(str(path))
    except mx.MXNetError:
        raise FailureError(f"{path}: cannot be written; is the disk full?") from None
    return read_arrays(path)


def save_arrays(arrays, path):
    """Save ``{name: NDArray}`` and read it back, as `save_weights` does.

    Raises
    ------
    mxnet.MXNetError
        If the file cannot be written.
    FailureError
        If its end is missing.
    """
    mx.nd.save(str(path), arrays)
    read_arrays(path)


def _check_fit(path, parameters, arrays):
    missing = [name for name in parameters if name not in arrays]
    unknown = [name for name in arrays if name not in parameters]
    if missing or unknown:
        parts = [f"lacks {len(missing)} of its parameters ({missing[0]})"] if missing else []
        parts += [f"has {len(unknown)} it does not know ({unknown[0]})"] if unknown else []
        raise UsageError(f"{path} does not hold this network: it {' and '.join(parts)}; name the model it was made by")
    for name, parameter in parameters.items():
        if tuple(parameter.shape) == arrays[name].shape:
            continue
        if name.startswith(("output.", "fc_")):
            raise UsageError(
                f"{path} was trained for {arrays[name].shape[0]} classes, the network has {parameter.shape[0]}: "
                f"build it with classes={arrays[name].shape[0]}"
            )
        raise UsageError(
            f"{path} does not hold this network: {name} is {arrays[name].shape} in the file, "
            f"{tuple(parameter.shape)} in the network"
        )
