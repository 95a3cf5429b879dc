"""Sources of pretrained parameters: the package itself, a folder of parameter files, a server that the user names.

The layout is GluonCV's: ``{root}/{name}-{first 8 digits of the SHA-1}.params``, beside it a lock file; on a server
``{MXNET_GLUON_REPO}/gluon/models/{name}-{digits}.zip`` with that one file inside. A file requested by tag, or as the
published parameters, is used only if its checksum is right; a file requested by its name is not checked.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import queue
import re
import shutil
import struct
import tempfile
import threading
import typing
import zipfile
import zlib

from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import checksum, folder_for_output, replacing
from a2net_gluon.networks.published import Pretrained, all_published, check_address, published

__all__ = ["MODEL_FOLDER", "find_weights"]

MODEL_FOLDER = "~/.mxnet/models"

_SHIPPED = pathlib.Path(__file__).parent.parent / "pretrained"
_LOCK_TIMEOUT = 300  # seconds another process may take to download; GLUON_MODEL_LOCK_TIMEOUT changes it, as in GluonCV
_CONNECTION_TIMEOUT = 30  # seconds without a byte
_DOWNLOAD_TIMEOUT = 1800  # seconds for a download as a whole
_LARGEST = 1 << 30  # bytes of a parameter file or its archive, four times those of the largest network
_PART = 1 << 20  # bytes in memory at once
# Exceptions of zipfile: for damage, numbers out of range, a missing name, encryption and unknown compression.
_BAD_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError),
    *(KeyError, RuntimeError, NotImplementedError),
)
_TAG = re.compile(r"[0-9a-f]{8,40}")


def find_weights(
    name: str, pretrained: bool | str | os.PathLike[str], root: str | os.PathLike[str] = MODEL_FOLDER
) -> pathlib.Path:
    """Find the parameter file that ``get_model(name, pretrained=…)`` asks for.

    Parameters
    ----------
    name : str
        A registered network.
    pretrained : bool or str or Path
        True for the published parameters of `name`; a tag, which is the SHA-1 of a file or at least its first 8 digits;
        the path of a parameter file; or the name of one in `root`.
    root : str or Path
        Folder of parameter files. GluonCV's default is replaced by ``$MXNET_HOME/models`` if MXNET_HOME is set.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        If there is no such file.
    FailureError
        If a file does not have the checksum in its name, or cannot be fetched.
    """
    root = _model_folder(root)
    if pretrained is True:
        entry = published(name)
        if not entry:
            there_are = "; ".join(f"{known} ({one.what})" for known, one in all_published().items())
            raise UsageError(
                f"there are no published weights for {name}, only for {there_are}; pass the path of a parameter file: "
                "pretrained='FILE', or register it: docs/pretrained.md"
            )
        return _registered_file(name, entry) or _by_checksum(name, entry.sha1, root)
    given = os.path.expanduser(str(pretrained))
    for path in (pathlib.Path(given), root / str(pretrained)):
        if path.is_file():
            return path
    if _TAG.fullmatch(str(pretrained)):
        return _by_checksum(name, str(pretrained), root)
    raise UsageError(f"{pretrained}: no such parameter file, also not in {root}, and not a tag (8 to 40 hex digits)")


def _model_folder(root: str | os.PathLike[str]) -> pathlib.Path:
    if str(root) == MODEL_FOLDER and os.environ.get("MXNET_HOME"):
        return pathlib.Path(os.environ["MXNET_HOME"]) / "models"
    return pathlib.Path(os.path.expanduser(root))


def _registered_file(name: str, entry: Pretrained) -> pathlib.Path | None:
    """The file that a user has registered, if it is one and no server."""
    if entry.source is None or entry.has_address:
        return None
    path = pathlib.Path(entry.source)
    if not path.is_file():
        raise UsageError(f"{path}: no such file; it is registered as the parameters of {name}")
    if not _has_checksum(path, entry.sha1):
        raise FailureError(f"{path}: its SHA-1 is not {entry.sha1}, as registered for {name}")
    return path


def _by_checksum(name: str, tag: str, root: pathlib.Path) -> pathlib.Path:
    """The file of `name` whose SHA-1 starts with `tag`: shipped, in `root`, or downloaded to `root`."""
    entry = published(name)
    known = entry if entry and entry.sha1.startswith(tag) else None
    sha1 = known.sha1 if known else tag
    file_name = f"{name}-{sha1[:8]}.params"
    shipped, path = _SHIPPED / file_name, root / file_name
    if shipped.is_file():
        if _has_checksum(shipped, sha1):
            return shipped
        raise FailureError(f"{shipped}: its content is not what its name promises; install a2net-gluon again")
    if path.is_file() and _has_checksum(path, sha1):
        return path
    return _fetch(path, sha1, known.source if known and known.has_address else None)


def _has_checksum(path: pathlib.Path, sha1: str) -> bool:
    return checksum(path, "sha1").startswith(sha1)  # GluonCV's choice; no protection from an attacker


def _fetch(path: pathlib.Path, sha1: str, address: str | None = None) -> pathlib.Path:
    """Download the file for `path` from a server, default: that of MXNET_GLUON_REPO, one process at a time."""
    state = "its content is not what its name promises" if path.is_file() else "no such file"
    repository = address or os.environ.get("MXNET_GLUON_REPO")
    if not repository:
        kind = FailureError if path.is_file() else UsageError
        raise kind(f"{path}: {state}; put the right one there, or name a server that has it in MXNET_GLUON_REPO")
    check_address(repository, "MXNET_GLUON_REPO")
    if len(sha1) < hashlib.sha1().digest_size * 2:
        raise UsageError(f"{path}: {state}, and {sha1!r} is too short a checksum for a download: give all 40 digits")
    import portalocker

    folder_for_output(path.parent)
    timeout = _lock_timeout()
    try:
        with portalocker.Lock(str(path.with_suffix(".lock")), timeout=timeout, opener=_open_lock):
            if not (path.is_file() and _has_checksum(path, sha1)):  # another process may have fetched it meanwhile
                _download(f"{repository.rstrip('/')}/gluon/models/{path.stem}.zip", path, sha1)
    except portalocker.exceptions.LockException:
        raise FailureError(f"{path}: another process has been fetching it for {timeout} s: try again") from None
    return path


def _open_lock(path: str, flags: int) -> int:
    """Open a lock file, but not what a link that somebody has put in its place points to."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise FailureError(f"{path}: cannot be opened ({error.strerror}); remove it") from None


def _lock_timeout() -> int:
    text = os.environ.get("GLUON_MODEL_LOCK_TIMEOUT", str(_LOCK_TIMEOUT))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise UsageError(f"GLUON_MODEL_LOCK_TIMEOUT is {text!r}; it must be a whole number of seconds")
    return int(text)


def _download(url: str, path: pathlib.Path, sha1: str) -> None:
    """Write the file in the archive at `url` to `path`, if it has the checksum."""
    import requests
    import urllib3

    shown = _without_password(url)
    with replacing(path) as temporary:
        try:
            with tempfile.TemporaryFile(dir=path.parent) as archive:
                _in_time(lambda: _receive(url, archive))
                _unpack(archive, path.name, temporary)
        except (_AnswerError, requests.RequestException, urllib3.exceptions.HTTPError, *_BAD_ARCHIVE) as error:
            raise FailureError(f"{shown}: cannot be fetched ({_without_password(str(error))[:150]})") from None
        if not _has_checksum(temporary, sha1):
            raise FailureError(f"{shown}: its content does not have the SHA-1 {sha1}; nothing was kept")


class _AnswerError(Exception):
    """A server's answer that is no archive of a parameter file, or takes more space or time than one can."""


def _without_password(text: str) -> str:
    """`text` in one line, without users and passwords of addresses."""
    return re.sub(r"[^\s/]+@", "***@", " ".join(text.split()))


def _in_time(function: typing.Callable[[], None]) -> None:
    """Call `function` in a thread of its own, which is left to itself if it takes longer than a download may.

    The timeouts of a connection do not suffice: a server that sends a byte now and then passes them for ever.
    """
    ends: queue.Queue[Exception | None] = queue.Queue()

    def call() -> None:
        try:
            function()
        except Exception as error:
            ends.put(error)
        else:
            ends.put(None)

    threading.Thread(target=call, daemon=True).start()
    try:
        error = ends.get(timeout=_DOWNLOAD_TIMEOUT)
    except queue.Empty:
        raise _AnswerError(f"not complete after {_DOWNLOAD_TIMEOUT} s") from None
    if error:
        raise error


def _receive(url: str, archive: typing.IO[bytes]) -> None:
    """Write the answer to `archive` as it was sent: what a server compresses once more could become of any size."""
    import requests

    plain = {"Accept-Encoding": "identity"}
    with requests.get(url, stream=True, timeout=_CONNECTION_TIMEOUT, headers=plain) as answer:
        answer.raise_for_status()
        received = 0
        for part in answer.raw.stream(_PART, decode_content=False):
            received += len(part)
            _check_size(received)
            archive.write(part)


def _unpack(archive: typing.IO[bytes], name: str, path: pathlib.Path) -> None:
    """Write file `name` of an archive to `path`; no other name in the archive, or path in a name, is ever used."""
    with zipfile.ZipFile(archive) as files:
        entry = files.getinfo(name)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _AnswerError("an unusual compression")
        _check_size(entry.file_size)  # no more than this is unpacked
        with files.open(entry) as content, open(path, "wb") as output:
            shutil.copyfileobj(content, output, _PART)


def _check_size(size: int) -> None:
    if size > _LARGEST:
        raise _AnswerError(f"larger than {_LARGEST >> 20} MiB, which no parameter file is")
