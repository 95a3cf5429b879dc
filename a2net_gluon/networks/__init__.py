"""Networks by name: `get_model`, `list_models`."""

from a2net_gluon.networks.description import Description
from a2net_gluon.networks.gluoncv_zoo import register_with_gluoncv
from a2net_gluon.networks.inflation import inflate
from a2net_gluon.networks.mobilenet import MobileNetV2
from a2net_gluon.networks.published import register_weights
from a2net_gluon.networks.resnet import ResNet
from a2net_gluon.networks.store import find_weights
from a2net_gluon.networks.weights import load_backbone, load_weights, save_weights
from a2net_gluon.networks.zoo import get_model, input_shape, list_models

__all__ = [
    "Description",
    "MobileNetV2",
    "ResNet",
    "find_weights",
    "get_model",
    "inflate",
    "input_shape",
    "list_models",
    "load_backbone",
    "load_weights",
    "register_weights",
    "register_with_gluoncv",
    "save_weights",
]
