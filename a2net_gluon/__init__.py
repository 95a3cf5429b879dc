"""A²-Nets: Double Attention Networks (NeurIPS 2018) for MXNet/Gluon."""

from __future__ import annotations

import importlib
import typing

from a2net_gluon import environment
from a2net_gluon.errors import FailureError

__version__ = "0.1.0"

# The module of each public name. Names are imported on first use: mxnet takes seconds to load, and
# `a2net --help` should answer at once.
_PUBLIC = {
    "DoubleAttention": "a2net_gluon.blocks",
    "FailureError": "a2net_gluon.errors",
    "InterruptedRunError": "a2net_gluon.errors",
    "NonLocal": "a2net_gluon.blocks",
    "Predictor": "a2net_gluon.deploy",
    "SqueezeExcitation": "a2net_gluon.blocks",
    "UsageError": "a2net_gluon.errors",
    "ablate": "a2net_gluon.ablation",
    "attention": "a2net_gluon.insight.attention_report",
    "check": "a2net_gluon.training.preflight",
    "cost": "a2net_gluon.insight",
    "evaluate": "a2net_gluon.training",
    "export": "a2net_gluon.deploy.exporting",
    "get_model": "a2net_gluon.networks",
    "import_parameters": "a2net_gluon.deploy.importing",
    "inflate": "a2net_gluon.networks",
    "list_models": "a2net_gluon.networks",
    "pack_videos": "a2net_gluon.data.video_packing",
    "register_weights": "a2net_gluon.networks",
    "register_with_gluoncv": "a2net_gluon.networks",
    "report": "a2net_gluon.training.run_report",
    "train": "a2net_gluon.training",
}

_SUBPACKAGES = ("ablation", "blocks", "data", "deploy", "insight", "networks", "settings", "training")

__all__ = ["__version__", *sorted(_PUBLIC)]

environment.prepare()


def __getattr__(name: str) -> typing.Any:
    if name not in (*_SUBPACKAGES, *_PUBLIC):
        raise AttributeError(f"module 'a2net_gluon' has no attribute {name!r}; it offers {', '.join(__all__)}")
    try:
        module = importlib.import_module(_PUBLIC.get(name, f"a2net_gluon.{name}"))
    except OSError as error:  # MXNet's build for CUDA does not find a library: what commands say, without its frames
        raise FailureError(environment.library_error_in_words(error)) from None
    return getattr(module, name) if name in _PUBLIC else module


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC, *_SUBPACKAGES})
