"""The parameters that ``pretrained=True`` stands for: those of this project, and those that a user registers."""

from __future__ import annotations

import os
import pathlib
import re
import sys
import typing

from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.formats.bounded_json import read_json
from a2net_gluon.networks.catalog import find_network

__all__ = ["PRETRAINED", "Pretrained", "all_published", "check_address", "published", "register_weights"]

_WEIGHTS_FILE = "A2NET_WEIGHTS"  # environment variable: a JSON file of registered parameters, for commands
_WHAT = "registered"
_GLUONCV_STORE = "gluoncv.model_zoo.model_store"
_SHA1 = re.compile(r"[0-9a-f]{40}")
# At most one "@", so that it is certain what is a password and not to be printed.
_ADDRESS = re.compile(r"https?://(?:[^\s/?#@]*@)?[^\s@]+", re.IGNORECASE)


class Pretrained(typing.NamedTuple):
    """Published parameters of a network.

    Attributes
    ----------
    sha1 : str
        Of the parameter file, 40 digits.
    what : str
        The data they are trained on.
    source : str or None
        A parameter file, or the address of a server; None: where files are looked for by their checksum.
    """

    sha1: str
    what: str
    source: str | None = None

    @property
    def has_address(self) -> bool:
        """Whether `source` is an address."""
        return bool(self.source) and "://" in str(self.source)


# Trained by this project; docs/pretrained.md says how. No ImageNet and Kinetics weights are published.
PRETRAINED = {
    "a2net_resnet20_small": Pretrained(
        "57c643a1753c76c800fad42ea56ba713390902e1", "CIFAR-10, 10 classes of 32×32 photographs"
    ),
    "a2net_resnet20_small_3d": Pretrained("523038923c103c6e7fc18b32dff5bc3da7fd4626", "moving digits, 8 directions"),
}
_registered: dict[str, Pretrained] = {}


def register_weights(name: str, sha1: str, source: str | os.PathLike[str] | None = None, what: str = _WHAT) -> None:
    """Make ``get_model(name, pretrained=True)``, and whatever asks for it, load parameters of your own.

    Commands read the same from the JSON file that the environment variable A2NET_WEIGHTS names.

    Parameters
    ----------
    name : str
        One of `a2net_gluon.list_models`.
    sha1 : str
        SHA-1 of the parameter file, 40 digits (``sha1sum FILE``).
    source : str or Path, optional
        The parameter file, or ``http(s)://…``, the address of a server with
        ``gluon/models/{name}-{8 digits}.zip``. Default: ``{root}/{name}-{8 digits}.params``, as for a tag.
    what : str
        What they are trained on, for messages.

    Raises
    ------
    UsageError
        If there is no such network, or the SHA-1 or the address is none.
    """
    _registered[name] = _checked(name, sha1, source, what)
    store = sys.modules.get(_GLUONCV_STORE)
    if store:
        store._model_sha1[name] = sha1


def _checked(name: str, sha1: str, source: str | os.PathLike[str] | None, what: str) -> Pretrained:
    find_network(name)
    if not _SHA1.fullmatch(str(sha1)):
        raise UsageError(f"the SHA-1 of the parameters of {name} is {sha1!r}; it must be 40 digits from 0 to f")
    entry = Pretrained(str(sha1), str(what), None if source is None else os.path.expanduser(os.fspath(source)))
    if entry.has_address:
        check_address(str(entry.source), f"the source of the parameters of {name}")
    return entry


def check_address(address: str, setting: str) -> None:
    """Raise a UsageError, which does not show a password, unless `address`, the value of `setting`, is one."""
    if not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"{setting} is not an address; it must be http(s)://server or http(s)://user:password@server, with "
            "/, ?, # and @ in a password written as %2F, %3F, %23 and %40"
        )


def all_published() -> dict[str, Pretrained]:
    """Return the parameters of this project, those in the file of A2NET_WEIGHTS and those registered, by network."""
    return {**PRETRAINED, **_in_file(), **_registered}


def published(name: str) -> Pretrained | None:
    """Return the parameters that stand for network `name`; None without any.

    A SHA-1 that a program has written into GluonCV's table, ``model_store._model_sha1``, counts too.
    """
    sha1 = getattr(sys.modules.get(_GLUONCV_STORE), "_model_sha1", {}).get(name)
    return all_published().get(name) or (Pretrained(sha1, "registered with GluonCV") if sha1 else None)


def _in_file() -> dict[str, Pretrained]:
    path = os.environ.get(_WEIGHTS_FILE)
    if not path:
        return {}
    try:
        entries = read_json(path)
        return {
            name: _checked(name, entry["sha1"], _beside(path, entry.get("source")), entry.get("what", _WHAT))
            for name, entry in entries.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise FailureError(
            f'{path} ({_WEIGHTS_FILE}): {reason}; it must hold {{"NETWORK": {{"sha1": "…", "source": "FILE"}}}}'
        ) from None


def _beside(path: str, source: typing.Any) -> str | None:
    """A relative file is relative to the file that names it."""
    if not isinstance(source, (str, type(None))):
        raise ValueError(f"source is {source!r}")
    return source if source is None or "://" in source else str(pathlib.Path(path).parent / source)
