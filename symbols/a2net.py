"""A²-Net for MXNet's example/image-classification, which imports it from here."""

from a2net_gluon.symbols.a2net import get_symbol

__all__ = ["get_symbol"]
