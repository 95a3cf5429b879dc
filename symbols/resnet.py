"""The paper's image ResNet for MXNet's example/image-classification, which imports it from here."""

from a2net_gluon.symbols.resnet import get_symbol

__all__ = ["get_symbol"]
