"""The teacher of knowledge distillation: a trained network of this project or of GluonCV's zoo."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import typing

import mxnet as mx

from a2net_gluon.data import NORMALIZATIONS
from a2net_gluon.errors import UsageError, reason_of
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.trained import TrainedNetwork, load_trained
from a2net_gluon.networks.zoo import list_models
from a2net_gluon.settings import Network, Trained

__all__ = ["load_teacher"]


def load_teacher(
    name: str | os.PathLike[str], contexts: typing.Sequence[mx.Context], description: Description
) -> TrainedNetwork:
    """The network that ``--teacher`` names: a parameter file of a run, or a network with published parameters.

    Such a network is one of this package, or of GluonCV's zoo.
    """
    find = _trained_teacher if pathlib.Path(name).is_file() else _published_teacher
    if find is _published_teacher and name not in list_models():
        find = _gluoncv_teacher
    teacher = find(str(name), contexts, description)
    _check_width(str(name), teacher, contexts[0], description)
    teacher.net.hybridize(static_alloc=True, static_shape=True)
    return teacher


def _trained_teacher(name: str, contexts: typing.Sequence[mx.Context], description: Description) -> TrainedNetwork:
    kept = Description.beside(name)
    if kept is None:
        raise UsageError(f"--teacher {name}: there is no model.json beside it; give best.params of a run folder")
    _check_classes(name, kept, description)
    return load_trained(Trained(network=Network(kept.model), params=name), contexts)


def _published_teacher(name: str, contexts: typing.Sequence[mx.Context], description: Description) -> TrainedNetwork:
    teacher = load_trained(Trained(network=Network(name), pretrained=True), contexts)
    if teacher.classes_known:
        _check_classes(name, teacher.description, description)
    return teacher


def _gluoncv_teacher(name: str, contexts: typing.Sequence[mx.Context], description: Description) -> TrainedNetwork:
    from gluoncv.model_zoo import get_model as get_gluoncv_model

    try:
        net = get_gluoncv_model(name, pretrained=True, ctx=list(contexts))
    except ValueError:
        raise UsageError(f"--teacher {name}: neither a file nor a name of GluonCV's model zoo") from None
    except RuntimeError as error:  # it has no weights of that name, or cannot fetch them
        raise UsageError(f"--teacher {name}: {reason_of(error)}") from None
    mean, scale = NORMALIZATIONS["gluoncv"]
    preprocessing = dataclasses.replace(description.preprocessing, mean=mean, scale=scale)
    return TrainedNetwork(net, Description(name, description.classes, preprocessing))


def _check_classes(name: str, kept: Description, description: Description) -> None:
    if kept.classes != description.classes:
        raise UsageError(
            f"--teacher {name} knows {len(kept.classes)} classes ({kept.classes[0]} first), the data have "
            f"{len(description.classes)} ({description.classes[0]} first): they must be the same"
        )


def _check_width(name: str, teacher: TrainedNetwork, ctx: mx.Context, description: Description) -> None:
    """Raise a UsageError unless the teacher has an output for each class; networks of other packages are asked."""
    answer = teacher.net(mx.nd.zeros((1, *description.preprocessing.input_shape), ctx=ctx))
    if answer.shape != (1, len(description.classes)):
        raise UsageError(
            f"--teacher {name} has {answer.shape[-1]} outputs, the data have {len(description.classes)} classes: name "
            "a teacher that was trained on these classes"
        )
