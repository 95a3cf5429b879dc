"""Parameter files: loading them into networks, with an error that names the misfit, and saving."""

from __future__ import annotations

import os
import pathlib
import typing

import mxnet as mx

from a2net_gluon.devices import check_contexts
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.mxnet_fixes import load_parameter, named_parameters, read_arrays, save_arrays
from a2net_gluon.networks.description import TORCH_PARAMETERS
from a2net_gluon.networks.torch_weights import read_torch_weights
from a2net_gluon.networks.transfer import HEAD, BackboneReport, compare, taken_value

__all__ = [
    "NORMALIZATION",
    "ParameterFile",
    "load_backbone",
    "load_weights",
    "read_arrays",
    "save_arrays",
    "save_weights",
]

# Start of the names of two constants in exports that take raw pixels; they do not belong to the network.
NORMALIZATION = "normalization_"

# Ends of the names of the weight that is zero where an attention block is the identity, in both kinds of files.
_OUTPUT_CONVOLUTION = ("expand.conv.weight", "expand__conv_weight")

_Parameters = typing.Dict[str, mx.gluon.Parameter]
_Arrays = typing.Dict[str, mx.nd.NDArray]


class ParameterFile:
    """A parameter file of a network of this package, read whole.

    All kinds of files are read: those of ``save_parameters``, those of an export or of a Module checkpoint, whose names
    start with ``arg:`` and ``aux:``, and those for PyTorch, which end in ``.safetensors``.

    Attributes
    ----------
    path : Path
    classes : int or None
        Width of the output in the file; None if the file holds a network of another package.

    Raises
    ------
    UsageError
        If there is no such file.
    FailureError
        If the file is truncated or not a parameter file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        arrays = (read_torch_weights if self.path.suffix == TORCH_PARAMETERS else read_arrays)(path)
        self._exported = all(name.startswith(("arg:", "aux:")) for name in arrays)
        start = len("arg:") if self._exported else 0
        named = {name[start:]: array for name, array in arrays.items()}
        self._arrays = {name: array for name, array in named.items() if not name.startswith(NORMALIZATION)}
        head = self._arrays.get("fc_bias" if self._exported else "output.bias")
        self.classes: int | None = None if head is None else head.shape[0]

    def load(
        self, net: mx.gluon.HybridBlock, ctx: mx.Context | list[mx.Context] | None = None, head: bool = True
    ) -> None:
        """Load all parameters of `net` to `ctx`, default: the CPU; without `head` all except those of its output layer.

        Raises
        ------
        UsageError
            If the file holds another network or another number of classes.
        """
        parameters, arrays = self._parameters(net), self._arrays
        if not head:
            left_out = {name for name in parameters if name.startswith(HEAD)}
            parameters = {name: parameter for name, parameter in parameters.items() if name not in left_out}
            arrays = {name: array for name, array in arrays.items() if name not in left_out}
        _check_fit(self.path, parameters, arrays)
        _fill(parameters, arrays, check_contexts(ctx or mx.cpu()))

    def compare(self, net: mx.gluon.HybridBlock) -> BackboneReport:
        """Find the parameters that an initialized `net` can take from this file.

        Raises
        ------
        UsageError
            If the file has no backbone of `net`: only the output layer and context blocks may differ, and kernels of a
            network for images may lack the time that those of a network for clips have.
        """
        parameters = self._parameters(net)
        sources, targets = ({name: one.shape for name, one in each.items()} for each in (self._arrays, parameters))
        report = compare(sources, targets)
        if report.foreign or report.lacking:
            what = f"it has {report.foreign}" if report.foreign else f"it lacks {report.lacking}"
            if report.foreign in targets:
                what += f" of {tuple(sources[report.foreign])}, the network of {tuple(targets[report.foreign])}"
            raise UsageError(
                f"{self.path} holds no backbone of this network ({what}): give the parameters of the same network "
                "without its blocks"
            )
        return report

    def load_backbone(self, net: mx.gluon.HybridBlock) -> BackboneReport:
        """Load all fitting parameters into an initialized `net` that has more parts than the network of this file.

        New attention blocks start as the identity: the weight of their output convolution becomes zero, so that the
        features are those of the network in the file. Squeeze-and-excitation cannot start as the identity: its scale is
        a sigmoid, about one half at the start, and the features differ until it is trained. The kernels of a network
        for images are inflated for a network for clips, see `a2net_gluon.networks.inflate`.

        Returns
        -------
        BackboneReport

        Raises
        ------
        UsageError
            As from `compare`.
        """
        report, parameters = self.compare(net), self._parameters(net)
        contexts = next(iter(parameters.values())).list_ctx()
        for name in report.taken:
            load_parameter(parameters[name], taken_value(self._arrays[name], parameters[name].shape), contexts)
        for name in report.new:
            if name.endswith(_OUTPUT_CONVOLUTION):
                parameters[name].set_data(mx.nd.zeros(parameters[name].shape))
        return report

    def _parameters(self, net: mx.gluon.HybridBlock) -> _Parameters:
        """Parameters of `net` under their names in this kind of file."""
        return dict(net.collect_params().items()) if self._exported else named_parameters(net)


def load_weights(
    net: mx.gluon.HybridBlock, path: str | os.PathLike[str], ctx: mx.Context | list[mx.Context] | None = None
) -> None:
    """Load all parameters of `net` from file `path` to `ctx`, default: the CPU; see `ParameterFile`.

    Raises
    ------
    UsageError
        If the file is missing, or holds another network or another number of classes.
    FailureError
        If the file is truncated or not a parameter file.
    """
    ParameterFile(path).load(net, ctx)


def load_backbone(net: mx.gluon.HybridBlock, path: str | os.PathLike[str]) -> BackboneReport:
    """Load a trained backbone from file `path` into an initialized `net`; see `ParameterFile.load_backbone`."""
    return ParameterFile(path).load_backbone(net)


def save_weights(net: mx.gluon.HybridBlock, path: str | os.PathLike[str]) -> dict[str, mx.nd.NDArray]:
    """Save the parameters of `net` and return them as read back, see `a2net_gluon.mxnet_fixes.save_arrays`.

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


def _fits(parameters: _Parameters, name: str, array: mx.nd.NDArray) -> bool:
    return name in parameters and tuple(parameters[name].shape) == array.shape


def _fill(parameters: _Parameters, arrays: _Arrays, contexts: list[mx.Context]) -> None:
    for name, parameter in parameters.items():
        load_parameter(parameter, arrays[name], contexts)


def _check_fit(path: pathlib.Path, parameters: _Parameters, arrays: _Arrays) -> None:
    missing = [name for name in parameters if name not in arrays]
    unknown = [name for name in arrays if name not in parameters]
    if missing or unknown:
        parts = [f"lacks {len(missing)} of its parameters ({missing[0]})"] if missing else []
        parts += [f"has {len(unknown)} it does not know ({unknown[0]})"] if unknown else []
        raise UsageError(f"{path} does not hold this network: it {' and '.join(parts)}; name its model, and its blocks")
    for name, parameter in parameters.items():
        if _fits(parameters, name, arrays[name]):
            continue
        if name.startswith(HEAD):
            raise UsageError(
                f"{path} was trained for {arrays[name].shape[0]} classes, the network has {parameter.shape[0]}: "
                f"build it with classes={arrays[name].shape[0]}"
            )
        raise UsageError(
            f"{path} does not hold this network: {name} is {arrays[name].shape} in the file, "
            f"{tuple(parameter.shape)} in the network"
        )
