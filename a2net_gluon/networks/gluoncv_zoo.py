"""The networks of this package in GluonCV's model zoo."""

from __future__ import annotations

import functools
import typing

import mxnet as mx
from mxnet.gluon.block import HybridBlock

from a2net_gluon.errors import UsageError, check_counts
from a2net_gluon.networks.base import Network
from a2net_gluon.networks.published import all_published
from a2net_gluon.networks.zoo import get_model, list_models

__all__ = ["register_with_gluoncv"]

# Arguments of GluonCV's action-recognition scripts that have no meaning here, and what to do.
_REFUSED = {
    "use_tsn": "it averages frames of networks for images: omit --use-tsn",
    "partial_bn": "it is made for GluonCV's Inception networks: omit --partial-bn, or freeze all with --freeze-bn",
    "feat_ext": "omit it, and take the features from net.features",
}


def register_with_gluoncv() -> None:
    """Register the names of this package in ``gluoncv.model_zoo.get_model``, and the SHA-1 of published parameters.

    Networks for clips also take the arguments with which GluonCV's action-recognition scripts make networks: `nclass`,
    `num_segments` and `num_crop` (the pooled features are averaged over so many views of a video in a row, as in
    GluonCV's own networks), and `bn_frozen` (BN uses its running statistics in training too).

    Raises
    ------
    UsageError
        If gluoncv cannot be imported, with the reason.
    """
    try:
        from gluoncv.model_zoo import model_store, model_zoo
    except (ImportError, RuntimeError) as error:
        # GluonCV 0.10.5 refuses to load beside torch >= 2, with a RuntimeError about "legacy torch".
        fix = "use an environment without torch" if "torch" in str(error) else "pip install gluoncv"
        raise UsageError(f"gluoncv cannot be imported here ({' '.join(str(error).split())}): {fix}") from None
    clips = list_models(ndim=3)
    for name in list_models():
        model_zoo._models[name] = functools.partial(_get_action_model if name in clips else get_model, name)
    model_store._model_sha1.update({name: entry.sha1 for name, entry in all_published().items()})


def _get_action_model(
    name: str,
    pretrained: typing.Any = False,
    *,
    nclass: int | None = None,
    num_segments: int = 1,
    num_crop: int = 1,
    bn_frozen: bool = False,
    **options: typing.Any,
) -> Network:
    """Build a network for clips as GluonCV's scripts for images, or those for action recognition, ask for it."""
    for argument, advice in _REFUSED.items():
        if options.pop(argument, False):
            raise UsageError(f"{argument} is not for {name}: {advice}")
    check_counts(num_segments=num_segments, num_crop=num_crop)
    if bn_frozen:
        options["norm_kwargs"] = {**(options.get("norm_kwargs") or {}), "use_global_stats": True}
    if nclass is None:
        net = get_model(name, pretrained, **options)
    else:
        net = get_model(name, pretrained, **{"classes": nclass, **options})
        if not pretrained:  # as GluonCV's networks for actions are; its scripts move parameters to devices at once
            net.initialize(mx.init.MSRAPrelu(), ctx=options.get("ctx") or mx.cpu())
    if num_segments * num_crop > 1:
        net.features.register_child(_MeanOfViews(num_segments * num_crop), "mean_of_views")
    return net


class _MeanOfViews(HybridBlock):
    """The mean over the views of a video.

    Parameters
    ----------
    views : int

    Inputs
    ------
    x : (N · views, channels), the views of a video in a row

    Outputs
    -------
    (N, channels)
    """

    def __init__(self, views: int) -> None:
        super().__init__(prefix="mean_of_views_")
        self._views = views

    def hybrid_forward(self, F: typing.Any, x: typing.Any) -> typing.Any:  # noqa: N803 (Gluon's)
        return F.mean(F.reshape(x, shape=(-4, -1, self._views, 0)), axis=1)
