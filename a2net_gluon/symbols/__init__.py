"""The networks as symbols, for code written for MXNet's Module API; see docs/module.md."""

from a2net_gluon.symbols.trace import module_parameters

__all__ = ["module_parameters"]
