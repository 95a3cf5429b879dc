"""A network with its parameters and its description: the one way in which trained networks are loaded."""

from __future__ import annotations

import dataclasses
import typing

import mxnet as mx
from mxnet import gluon

from a2net_gluon.data.preprocessing import NORMALIZATIONS, Preprocessing
from a2net_gluon.errors import UsageError
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.store import find_weights
from a2net_gluon.networks.weights import ParameterFile
from a2net_gluon.networks.zoo import get_model, input_shape, list_models
from a2net_gluon.settings import Input, Kind, Trained

__all__ = ["TrainedNetwork", "fast_options", "load_trained", "preprocessing_of"]

_ANY = Kind("samples", clips=True, stride=8)


class TrainedNetwork(typing.NamedTuple):
    """A network and its description.

    Attributes
    ----------
    net : HybridBlock
    description : Description
    classes_known : bool
        The names of the classes were kept beside the parameters; otherwise they are numbers.
    """

    net: gluon.HybridBlock
    description: Description
    classes_known: bool = True


def fast_options(preprocessing: Preprocessing) -> dict[str, typing.Any]:
    """Options of `get_model` that change neither parameters nor answers, and make it fast on inputs of this size."""
    return {"association": "auto", "input_size": preprocessing.size, "input_frames": preprocessing.frames}


def preprocessing_of(options: Input, model: str, kept: Preprocessing | None = None, kind: Kind = _ANY) -> Preprocessing:
    """Work out the preprocessing of a network.

    Parameters
    ----------
    options : settings.Input
    model : str
        Name of the network, which has a size of its own.
    kept : Preprocessing, optional
        The one kept beside the parameters; it holds where `options` are open.
    kind : Kind
        Of the samples to read: its crop ratio and stride hold where neither says one.

    Raises
    ------
    UsageError
        If there is no such network, or it takes clips and the samples, or `options`, are for images.
    """
    frames, size = _frames_and_size(model, kind)
    for flag, value in {"--clip-length": options.frames, "--frame-order": options.order}.items():
        if value and not frames:
            raise UsageError(f"{flag} is {value}, {model} takes images: omit it")
    stride = kind.stride if frames else 1
    base = kept or Preprocessing(size=size, crop_ratio=kind.crop_ratio, stride=stride)
    if base.frames is None:  # an image network may have been inflated
        base = dataclasses.replace(base, frames=frames, stride=stride)
    given: dict[str, typing.Any] = {
        "size": options.size,
        "crop_ratio": options.crop_ratio,
        "frames": options.frames,
        "stride": options.stride,
        "order": options.order,
    }
    if options.normalization:
        given["mean"], given["scale"] = NORMALIZATIONS[options.normalization]
    return dataclasses.replace(base, **{name: value for name, value in given.items() if value is not None})


def _frames_and_size(model: str, kind: Kind) -> tuple[int | None, int]:
    _, *frames, _, size = input_shape(model)
    if frames and not kind.clips:
        raise UsageError(f"{model} takes clips, the data are images: give {', '.join(list_models(ndim=2))}")
    return (frames[0] if frames else None), size


def load_trained(
    options: Trained,
    contexts: typing.Sequence[mx.Context] | None = None,
    classes: int | None = None,
    kind: Kind = _ANY,
) -> TrainedNetwork:
    """Build a network and load its parameters; classes, blocks and preprocessing kept beside them are used.

    Parameters
    ----------
    options : settings.Trained
        Without parameters the network starts at random.
    contexts : list of mxnet.Context, optional
        Default: the CPU.
    classes : int, optional
        Width of the output of a network without parameters; otherwise it must be theirs.
    kind : Kind
        Of the samples to read, as for `preprocessing_of`; default: any.

    Raises
    ------
    UsageError
        If the network, its parameters, its description or `classes` do not fit together.
    FailureError
        If a file is damaged.
    """
    model, contexts = str(options.network.name), list(contexts or [mx.cpu()])
    _frames_and_size(model, kind)  # an unknown network is reported before a missing file
    named = options.params or options.pretrained
    file = ParameterFile(find_weights(model, options.params or True)) if named else None
    kept = Description.beside(file.path) if file else None
    preprocessing = preprocessing_of(options.input, model, kept.preprocessing if kept else None, kind)
    blocks = {**(kept.options if kept else {}), **options.network.blocks}
    count = file.classes if file and file.classes else classes
    net = get_model(model, classes=count, **blocks, **fast_options(preprocessing))
    if file:
        file.load(net, contexts)
    else:
        net.initialize(mx.init.MSRAPrelu(), ctx=contexts)
    width: int = net.output.weight.shape[0]
    if classes not in (None, width):
        raise UsageError(f"--classes is {classes}, {file and file.path} was trained for {width}: omit it")
    if file and kept and len(kept.classes) != width:
        raise UsageError(f"{file.path} was trained for {width} classes, its description names {len(kept.classes)}")
    names = kept.classes if kept else tuple(str(number) for number in range(width))
    description = Description(model, names, preprocessing, options=blocks, trained_on=kept.trained_on if kept else None)
    return TrainedNetwork(net, description, kept is not None)
