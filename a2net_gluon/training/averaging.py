"""A running average of the weights."""

import mxnet as mx

__all__ = ["WeightAverage"]


class WeightAverage:
    r"""Exponential moving average (EMA) of a network's parameters and running statistics.

    After step t: average ← d·average + (1 - d)·weights, with d = min(decay, (1 + t) / (10 + t)): young averages
    forget their random start quickly.

    Parameters
    ----------
    net : HybridBlock
        Initialised.
    decay : float
        Below 1; 0.9999 looks back over about 10,000 steps.

    Attributes
    ----------
    arrays : dict of str to NDArray
        The averages, by the names that parameter files have.
    steps : int
    """

    def __init__(self, net, decay):
        self._parameters, self._decay = net._collect_params_with_prefix(), decay  # named as in parameter files
        self._on_cpu = next(iter(self._parameters.values())).list_ctx()[0].device_type == "cpu"
        self.steps = 0
        self.arrays = {name: _value(parameter).copy() for name, parameter in self._parameters.items()}

    def update(self):
        """Take in the current weights."""
        if self._on_cpu:  # oneDNN's BN writes the running statistics behind the engine's back: see Learner.train_epoch
            mx.nd.waitall()
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        for name, average in self.arrays.items():
            average *= decay
            average += (1 - decay) * _value(self._parameters[name])

    def restore(self, arrays, steps):
        """Go on from saved arrays, ``{name: NDArray}``, after `steps` steps."""
        self.steps = steps
        for name, average in self.arrays.items():
            arrays[name].copyto(average)


def _value(parameter):
    return parameter.list_data()[0].astype("float32", copy=False)
