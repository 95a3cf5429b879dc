"""`get_model` in the manner of GluonCV's model zoo."""

from __future__ import annotations

import os
import typing
import warnings

import mxnet as mx

from a2net_gluon.devices import check_contexts
from a2net_gluon.errors import check_counts
from a2net_gluon.networks.base import Network, Placement
from a2net_gluon.networks.catalog import find_network, input_shape, list_models
from a2net_gluon.networks.contexts import choose_context, context_factory
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.spelling import suggest_keywords
from a2net_gluon.networks.store import MODEL_FOLDER, find_weights
from a2net_gluon.networks.weights import ParameterFile

__all__ = ["get_model", "input_shape", "list_models"]


@suggest_keywords
def get_model(
    name: str,
    pretrained: bool | str | os.PathLike[str] = False,
    *,
    classes: int | None = None,
    ctx: mx.Context | list[mx.Context] | None = None,
    root: str | os.PathLike[str] = MODEL_FOLDER,
    context: str | None = None,
    placement: Placement | None = None,
    last_gamma: bool = False,
    norm_layer: type | None = None,
    norm_kwargs: dict[str, typing.Any] | None = None,
    prefix: str = "",
    association: str | None = None,
    gathering: str | None = None,
    distribution: str | None = None,
    identity_start: bool | None = None,
    reduction: int | None = None,
    input_size: int | None = None,
    input_frames: int | None = None,
) -> Network:
    """Build a network by name.

    Parameters
    ----------
    name : str
        One of `list_models`.
    pretrained : bool or str
        True for the published parameters, which `a2net_resnet20_small` and `a2net_resnet20_small_3d` have; a tag, the
        first 8 to 40 digits of the SHA-1 of a parameter file (a download needs all 40); the path of a parameter file;
        or the name of one in `root`.
    classes : int, optional
        Width of the output. Default: that of the pretrained parameters, or that of the data set the network is made
        for (1000 for ImageNet, 400 for Kinetics clips). If the pretrained parameters have another number of classes,
        all except the output layer are loaded, the output layer starts at random, and a warning says so.
    ctx : mxnet.Context or list of them, optional
        Devices that pretrained parameters are loaded to; default: the CPU. As in GluonCV, a network without
        pretrained parameters is not initialized.
    root : str
        Folder of parameter files; default: ``$MXNET_HOME/models`` if that is set, else ``~/.mxnet/models``. A file
        requested by tag that is not there is fetched from the server in MXNET_GLUON_REPO.
    context : {"a2", "nl", "se"}, optional
        Kind of context block: double attention, non-local, squeeze-and-excitation; default: the network's own.
    placement : dict, optional
        Units (from 1) after which context blocks stand, e.g. ``{"conv3": (2, 4)}``; default: the network's own.
        Squeeze-and-excitation stands in these units, at the end of the residual branch; MobileNetV2 does not take it.
    last_gamma, norm_layer, norm_kwargs, prefix
        See `a2net_gluon.networks.base.Network`.
    association : {"left", "right", "auto"}, optional
        Of double attention blocks; default: "left". The results are equal. "auto" needs fewer multiply-adds in each
        stage for an input of these sizes, see `a2net_gluon.blocks.double_attention.cheaper_association`; networks
        without such blocks take it too.
    gathering, distribution : str, optional
        Of double attention blocks: "bilinear" and "uniform" take the attention out of a step, see
        `a2net_gluon.DoubleAttention`. Default: "attention".
    identity_start : bool, optional
        Start attention blocks as the identity, see `a2net_gluon.DoubleAttention`; "se" cannot. Default: False.
    reduction : int, optional
        Attention blocks have m = n = channels // reduction, squeeze-and-excitation an inner width of that.
        Default: 2; 4 in ResNet-26 and 29, as in the paper's ablations; 1 in MobileNetV2; 16 for "se".
    input_size : int, optional
        Height and width that ``association="auto"`` is chosen for; default: the network's own. It takes any size.
    input_frames : int, optional
        The same for the frames of a clip; networks for images ignore it.

    Returns
    -------
    Network
        A HybridBlock with one input and logits as output; `features` and `output` as in GluonCV. If pretrained
        parameters name the classes, `classes` has these names.

    Raises
    ------
    UsageError
        A ValueError: unknown name, context, stage or unit; bad `classes`; parameters that do not fit.
    FailureError
        Damaged or wrong parameter files, see `a2net_gluon.networks.store`.
    TypeError
        Unknown keyword.
    """
    network = find_network(name)
    file = ParameterFile(find_weights(name, pretrained, root)) if pretrained else None
    if classes is None:
        classes = (file and file.classes) or network.classes
    check_counts(classes=classes)
    contexts = check_contexts(ctx or mx.cpu())
    own = {
        "association": association,
        "gathering": gathering,
        "distribution": distribution,
        "identity_start": identity_start,
    }
    norm: dict[str, typing.Any] = {"norm_layer": norm_layer, "norm_kwargs": norm_kwargs}
    kind, placement = choose_context(name, network, context, placement, **own, reduction=reduction)
    net = network.family(
        network.architecture,
        classes,
        context=context_factory(kind, network, reduction, input_size, input_frames, **own, **norm) if kind else None,
        placement=placement,
        on_branch=bool(kind and kind.on_branch),
        last_gamma=last_gamma,
        prefix=prefix,
        **norm,
    )
    if file:
        _load(net, file, classes, contexts)
    return net


def _load(net: Network, file: ParameterFile, classes: int, contexts: list[mx.Context]) -> None:
    """Load pretrained parameters, and the names of their classes."""
    same_head = file.classes in (None, classes)
    file.load(net, contexts, head=same_head)
    if same_head:
        description = Description.beside(file.path)
        if description and len(description.classes) == classes:
            net.classes = description.classes
    else:
        net.output.initialize(mx.init.MSRAPrelu(), ctx=contexts)
        warnings.warn(
            f"{file.path} was trained for {file.classes} classes, the network has {classes}: loaded all but the output "
            "layer, which starts at random",
            stacklevel=4,  # the line that calls get_model, past its decorator
        )
