"""Parameters under PyTorch's names, in files of safetensors.

============================  =========================  ============================
parameter of                  name in Gluon              name in PyTorch
============================  =========================  ============================
convolution, output layer     ``….weight``, ``….bias``   the same
BN, trained                   ``….gamma``, ``….beta``    ``….weight``, ``….bias``
BN, running statistics        ``….running_mean``,        the same
                              ``….running_var``
BN, batches that it has seen  none                       ``….num_batches_tracked``
============================  =========================  ============================

What stands before is the same. PyTorch counts the batches for BN without a momentum, which no network here has.
"""

from __future__ import annotations

import typing

import mxnet as mx

from a2net_gluon.errors import FailureError, UsageError, reason_of
from a2net_gluon.files import AnyPath
from a2net_gluon.formats.safetensors_file import read_tensors, write_tensors
from a2net_gluon.mxnet_fixes import mean_over_devices, named_parameters
from a2net_gluon.networks.description import Description

__all__ = ["gluon_names", "read_torch_weights", "torch_name", "write_torch_weights"]

_COUNTER = ".num_batches_tracked"
_OF_NORM = {"gamma": "weight", "beta": "bias"}
_STATISTIC = ".running_mean"  # only BN has it


def torch_name(name: str) -> str:
    """Return PyTorch's name of the parameter that Gluon calls `name`."""
    stem, _, last = name.rpartition(".")
    return f"{stem}.{_OF_NORM.get(last, last)}"


def gluon_names(names: typing.Collection[str]) -> dict[str, str]:
    """Return Gluon's name of each parameter of a network, given all of PyTorch's names."""
    norms = {name[: -len(_STATISTIC)] for name in names if name.endswith(_STATISTIC)}
    ours = {theirs: ours for ours, theirs in _OF_NORM.items()}
    split = {name: name.rpartition(".") for name in names}
    return {
        name: f"{stem}.{ours.get(last, last)}" if stem in norms else name for name, (stem, _, last) in split.items()
    }


def read_torch_weights(path: AnyPath) -> dict[str, mx.nd.NDArray]:
    """Read the parameters in a file of safetensors, as float32, by Gluon's names.

    Raises
    ------
    UsageError
        If there is no such file.
    FailureError
        If it is damaged, or holds anything but finite numbers.
    """
    try:
        tensors = read_tensors(path, _COUNTER)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such parameter file") from None
    except (OSError, ValueError) as error:
        raise FailureError(f"{path}: cannot be read ({reason_of(error)}); write it again") from None
    return {ours: mx.nd.array(tensors[theirs]) for theirs, ours in gluon_names(tensors).items()}


def write_torch_weights(net: mx.gluon.HybridBlock, description: Description, path: AnyPath) -> None:
    """Write the parameters of `net` by PyTorch's names, and with them its description; see `Description.beside`.

    Raises
    ------
    FailureError
        If the file cannot be written.
    """
    parameters = named_parameters(net)
    tensors = {torch_name(name): mean_over_devices(parameter).asnumpy() for name, parameter in parameters.items()}
    try:
        write_tensors(tensors, {"description": description.as_json()}, path)
    except (OSError, ValueError) as error:
        raise FailureError(f"{path}: cannot be written ({reason_of(error)})") from None
