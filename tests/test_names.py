"""Names of modules: none is hidden by a function or class of its package."""

import importlib
import pkgutil
import types

import pytest

import a2net_gluon

PACKAGES = [
    "a2net_gluon",
    *(f"a2net_gluon.{found.name}" for found in pkgutil.iter_modules(a2net_gluon.__path__) if found.ispkg),
]


@pytest.mark.parametrize("name", PACKAGES)
def test_no_submodule_is_hidden(name):
    package = importlib.import_module(name)
    for found in pkgutil.iter_modules(package.__path__):
        if found.name != "__main__":
            importlib.import_module(f"{name}.{found.name}")
            assert isinstance(getattr(package, found.name), types.ModuleType), f"{name}.{found.name}"
