"""A²-Nets: Double Attention Networks (NeurIPS 2018) for MXNet/Gluon."""

import importlib

from a2net_gluon import environment

__version__ = "0.1.0"

# Where each public name lives. They are imported on first use: mxnet takes seconds to load, and
# `a2net --help` should not.
_PUBLIC = {
    "DoubleAttention": "a2net_gluon.blocks",
    "NonLocal": "a2net_gluon.blocks",
    "SqueezeExcitation": "a2net_gluon.blocks",
    "cost": "a2net_gluon.insight",
    "get_model": "a2net_gluon.networks",
    "inflate": "a2net_gluon.networks",
    "list_models": "a2net_gluon.networks",
    "register_with_gluoncv": "a2net_gluon.networks",
}

_SUBPACKAGES = ("blocks", "data", "deploy", "insight", "networks", "training")

__all__ = ["__version__", *sorted(_PUBLIC)]

environment.prepare()


def __getattr__(name):
    if name in _SUBPACKAGES:
        return importlib.import_module(f"a2net_gluon.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'a2net_gluon' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__():
    return sorted({*globals(), *_PUBLIC, *_SUBPACKAGES})
