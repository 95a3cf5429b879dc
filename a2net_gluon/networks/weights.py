"""Parameter files: loading them into networks, with an error that names the misfit, and saving."""

from __future__ import annotations

import os
import pathlib
import re
import typing

import mxnet as mx

from a2net_gluon.devices import check_contexts
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.mxnet_fixes import load_parameter, named_parameters, read_arrays, save_arrays

__all__ = [
    "HEAD",
    "NORMALIZATION",
    "BackboneReport",
    "ParameterFile",
    "is_context",
    "load_backbone",
    "load_weights",
    "read_arrays",
    "remainder",
    "save_arrays",
    "save_weights",
]

# Start of the names of two constants in exports that take raw pixels; they do not belong to the network.
NORMALIZATION = "normalization_"

# Starts and ends of parameter names, in files of save_parameters and in exports.
HEAD = ("output.", "fc_")  # the output layer, the only part that depends on the number of classes
_CONTEXT = "context"  # somewhere in the name of every parameter of a context block
_OUTPUT_CONVOLUTION = ("expand.conv.weight", "expand__conv_weight")

_Parameters = typing.Dict[str, mx.gluon.Parameter]
_Arrays = typing.Dict[str, mx.nd.NDArray]


def is_context(name: str) -> bool:
    """Whether a parameter of this name, in either kind of file, belongs to a context block."""
    return _CONTEXT in name


class ParameterFile:
    """A parameter file of a network of this package, read whole.

    Both kinds of files are read: those of ``save_parameters``, and those of an export or of a Module
    checkpoint, whose names start with ``arg:`` and ``aux:``.

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
        arrays = read_arrays(path)
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
            If the file has no backbone of `net`: only the output layer and context blocks may differ.
        """
        parameters = self._parameters(net)
        fits = [name for name, array in self._arrays.items() if _fits(parameters, name, array)]
        left = [name for name in self._arrays if name not in fits]
        new = [name for name in parameters if name not in fits]
        foreign = [name for name in left if not name.startswith(HEAD)]
        lacking = [name for name in new if not (name.startswith(HEAD) or is_context(name))]
        if foreign or lacking:
            what = f"it has {foreign[0]}" if foreign else f"it lacks {lacking[0]}"
            raise UsageError(
                f"{self.path} holds no backbone of this network ({what}): give the parameters of the same network "
                "without its blocks"
            )
        return BackboneReport(tuple(fits), tuple(left), tuple(new))

    def load_backbone(self, net: mx.gluon.HybridBlock) -> BackboneReport:
        """Load all fitting parameters into an initialized `net` that has more parts than the network of this file.

        New attention blocks start as the identity: the weight of their output convolution becomes zero, so that the
        features are those of the network in the file. Squeeze-and-excitation cannot start as the identity: its scale is
        a sigmoid, about one half at the start, and the features differ until it is trained.

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
        _fill({name: parameters[name] for name in report.taken}, self._arrays, contexts)
        for name in report.new:
            if name.endswith(_OUTPUT_CONVOLUTION):
                parameters[name].set_data(mx.nd.zeros(parameters[name].shape))
        return report

    def _parameters(self, net: mx.gluon.HybridBlock) -> _Parameters:
        """Parameters of `net` under their names in this kind of file."""
        return dict(net.collect_params().items()) if self._exported else named_parameters(net)


class BackboneReport(typing.NamedTuple):
    """Names of the parameters that a network takes from a file, that it leaves there, and that only it has."""

    taken: tuple[str, ...]
    left: tuple[str, ...]
    new: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join([f"{len(self.taken)} taken", *remainder(self.left, self.new)])


def remainder(left: typing.Sequence[str], new: typing.Sequence[str]) -> list[str]:
    """Describe parameters without a counterpart: the names of those left, and the blocks of those that are new."""
    parts = [f"{len(left)} left ({', '.join(left)})"] if left else []
    return parts + ([f"{len(new)} new ({', '.join(dict.fromkeys(map(_part, new)))})"] if new else [])


def _part(name: str) -> str:
    """The block, or the layer, that a parameter belongs to."""
    return re.sub(r"(context\d*)(\.|__).*|(\.|_)[a-z]+$", r"\1", name)


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
