"""Factors of the learning rate and the weight decay that single parameters have."""

from __future__ import annotations

from mxnet import gluon

from a2net_gluon.errors import UsageError
from a2net_gluon.mxnet_fixes import named_parameters
from a2net_gluon.networks.transfer import HEAD
from a2net_gluon.settings import Optimization

__all__ = ["set_multipliers"]

# Ends of parameter names. With --no-bias-decay, as in GloRe, the code of the paper's first author, gamma decays.
_BIASES = ("bias", "beta")
_BIASES_AND_SCALES = (*_BIASES, "gamma")


def set_multipliers(net: gluon.HybridBlock, optimization: Optimization) -> None:
    """Set the factors of the learning rate and of the weight decay of each parameter of `net`.

    Parameters
    ----------
    net : HybridBlock
        Shapes of parameters are known. The factors of one parameter are multiplied: a kernel longer than one frame in
        the backbone has both.
    optimization : settings.Optimization

    Raises
    ------
    UsageError
        If there is a factor for kernels longer than one frame, and none in `net`.
    """
    undecayed = _BIASES_AND_SCALES if optimization.no_wd else _BIASES if optimization.no_bias_decay else ()
    parameters = named_parameters(net)
    temporal = {name for name, parameter in parameters.items() if len(parameter.shape) == 5 and parameter.shape[2] > 1}
    if optimization.temporal_lr_mult != 1 and not temporal:
        raise UsageError(
            f"--temporal-lr-mult is {optimization.temporal_lr_mult:g}, but no kernel of the network is longer than one "
            "frame: leave the option out for image networks"
        )
    for name, parameter in parameters.items():
        if name.endswith(undecayed):
            parameter.wd_mult = 0.0
        along_time = optimization.temporal_lr_mult if name in temporal else 1.0
        parameter.lr_mult = along_time * (1.0 if name.startswith(HEAD) else optimization.backbone_lr_mult)
