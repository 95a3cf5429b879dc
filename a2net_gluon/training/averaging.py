"""A running average of the weights."""

from __future__ import annotations

import typing

import mxnet as mx
from mxnet import gluon

from a2net_gluon import mxnet_fixes

__all__ = ["WeightAverage"]


class WeightAverage:
    r"""Exponential moving average (EMA) of a network's parameters and running statistics.

    After step t: average ← d·average + (1 - d)·weights, with d = min(decay, (1 + t) / (10 + t)): early averages
    forget their random start quickly.

    Parameters
    ----------
    net : HybridBlock
        Initialized.
    decay : float
        Below 1; 0.9999 looks back over about 10,000 steps.

    Attributes
    ----------
    arrays : dict of str to NDArray
        The averages, by the names that parameter files have.
    steps : int
    """

    def __init__(self, net: gluon.HybridBlock, decay: float) -> None:
        self._parameters, self._decay = mxnet_fixes.named_parameters(net), decay
        self._on_cpu = next(iter(self._parameters.values())).list_ctx()[0].device_type == "cpu"
        self.steps = 0
        self.arrays = {name: _value(parameter).copy() for name, parameter in self._parameters.items()}

    def update(self) -> None:
        """Add the current weights to the average."""
        if self._on_cpu:
            mxnet_fixes.wait_for_running_statistics()
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        for name, average in self.arrays.items():
            average *= decay
            average += (1 - decay) * _value(self._parameters[name])

    def restore(self, arrays: typing.Mapping[str, mx.nd.NDArray], steps: int) -> None:
        """Resume from saved arrays, ``{name: NDArray}``, after `steps` steps."""
        self.steps = steps
        for name, average in self.arrays.items():
            arrays[name].copyto(average)


def _value(parameter: gluon.Parameter) -> mx.nd.NDArray:
    return parameter.list_data()[0].astype("float32", copy=False)
