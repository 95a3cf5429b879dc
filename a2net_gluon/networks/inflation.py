"""Inflation: the parameters of a network for images in its twin for clips."""

from __future__ import annotations

import typing

import mxnet as mx

from a2net_gluon.errors import UsageError
from a2net_gluon.mxnet_fixes import (
    has_values,
    mean_over_devices,
    named_parameters,
    replace_values,
    wait_for_running_statistics,
)
from a2net_gluon.networks.transfer import BackboneReport, compare, is_context, taken_value

__all__ = ["inflate"]

_Parameters = typing.Dict[str, mx.gluon.Parameter]


def inflate(net2d: mx.gluon.HybridBlock, net3d: mx.gluon.HybridBlock) -> BackboneReport:
    """Start a network for clips with the parameters of a trained network for images.

    A convolution's weight (out, in, h, w) goes into all t temporal slices of (out, in, t, h, w), divided by t. Gamma,
    beta and running statistics of normalization layers are copied, and so is the output layer if the number of classes
    is the same. For a clip of identical frames the features are then those of the image, except for frames so near to
    the ends of the clip that a temporal kernel reaches into the padding.

    Parameters
    ----------
    net2d : HybridBlock
        The trained network for images, e.g. ``get_model("resnet50", pretrained=…)``.
    net3d : HybridBlock
        The network for clips, initialized, on any devices, with the same stages, units and widths. Strides are not
        compared: no parameter depends on them. Context blocks that only `net3d` has are not changed (with
        ``identity_start=True`` they do not change the features); those that both networks have are inflated too.

    Returns
    -------
    BackboneReport

    Raises
    ------
    UsageError
        A ValueError: a network has no values, or the networks do not correspond. `net3d` is then unchanged.

    Examples
    --------
    >>> net3d.initialize(mx.init.MSRAPrelu())
    >>> print(inflate(net2d, net3d))
    """
    sources, targets = named_parameters(net2d), named_parameters(net3d)
    _check_values(net2d=sources, net3d=targets)
    _check_dimensions(sources, targets)
    report = _compare(sources, targets)
    wait_for_running_statistics()
    for name in report.taken:
        array = mean_over_devices(sources[name]).astype("float32")
        replace_values(targets[name], taken_value(array, targets[name].shape))
    return report


def _check_values(**networks: _Parameters) -> None:
    for argument, parameters in networks.items():
        empty = [name for name, parameter in parameters.items() if not has_values(parameter)]
        if empty:
            raise UsageError(
                f"{argument} has no values yet ({empty[0]}): load its parameters, or call "
                f"{argument}.initialize(mx.init.MSRAPrelu()); a layer made without in_units also needs one batch"
            )


def _compare(sources: _Parameters, targets: _Parameters) -> BackboneReport:
    """Find the counterpart of each parameter; every parameter of the backbones must have one."""
    report = compare(*({name: one.shape for name, one in each.items()} for each in (sources, targets)))
    if report.foreign:
        raise UsageError(f"net2d does not correspond to net3d: {_misfit(report.foreign, sources, targets)}")
    if report.lacking:
        raise UsageError(
            f"net3d does not correspond to net2d: only it has {report.lacking}; build both with the same stages and "
            "units (only context blocks and the output layer can be new)"
        )
    return report


def _check_dimensions(sources: _Parameters, targets: _Parameters) -> None:
    """Refuse exchanged networks with a message of their own, not with one about the shape of a parameter."""
    if any(len(parameter.shape) == 5 for parameter in sources.values()):
        raise UsageError("net2d is a network for clips; the network for images comes first: inflate(net2d, net3d)")
    if not any(len(parameter.shape) == 5 for parameter in targets.values()):
        raise UsageError(
            "net3d is a network for images, with no temporal kernels; give one for clips, e.g. resnet50_3d"
        )


def _misfit(name: str, sources: _Parameters, targets: _Parameters) -> str:
    shape = sources[name].shape
    if name in targets:
        return (
            f"{name} is {shape} in net2d and {targets[name].shape} in net3d, where a convolution (out, in, h, w) "
            "must be (out, in, t, h, w) and all else the same; build both with the same widths and spatial kernels"
        )
    if is_context(name):
        return f"{name} is only in net2d; place the same context blocks in net3d, or take a net2d without them"
    return f"{name} {shape} is only in net2d; build both with the same stages and units"
