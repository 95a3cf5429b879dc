"""Networks to export, and exports that are wrong."""

import mxnet as mx

from a2net_gluon import get_model
from a2net_gluon.data import Preprocessing
from a2net_gluon.deploy import FORMS, exporting, load_module
from a2net_gluon.networks import input_shape
from a2net_gluon.networks.description import Description
from tests.helpers.weights import QUICK


def describe(name, classes=7, size=None):
    _, *frames, _, width = input_shape(name)
    names = tuple(f"class {number}" for number in range(classes))
    preprocessing = Preprocessing(size or min(112, width), frames=frames[0] if frames else None)
    return Description(name, names, preprocessing)


def make(name, classes=7):
    mx.random.seed(0)
    net = get_model(name, classes=classes)
    net.initialize(QUICK)
    return net


def make_wrong(monkeypatch, form="symbol", factor=1.001):
    """Make a form of all exports answer slightly other logits."""

    def wrong(load):
        return lambda *args, **kwargs: lambda inputs: load(*args, **kwargs)(inputs) * factor

    if form == "Module":
        monkeypatch.setattr(exporting, "load_module", wrong(load_module))
    else:
        monkeypatch.setitem(FORMS, form, FORMS[form]._replace(load=wrong(FORMS[form].load)))
