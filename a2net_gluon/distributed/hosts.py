"""The machines of a job: the file that lists them, and what it takes to start a process on one of them."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
from typing import NamedTuple, Sequence

from dmlc_tracker.tracker import get_host_ip  # comes with mxnet

from a2net_gluon import environment
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import AnyPath

__all__ = ["Host", "address_for_hosts", "passed_on", "read_hosts"]

# What ssh takes for an option, or a shell for more than a word, is not in it. MPI's "slots=N" is read over.
_LINE = re.compile(
    r"(?P<user>\w[\w.-]*@)?(?:(?P<name>\w[\w.-]*)|\[(?P<ipv6>[0-9a-fA-F:.]+)\])(?::(?P<port>[0-9]{1,5}))?(?:\s+slots=\d+)?",
    re.ASCII,
)
_LAST_PORT = 65535
# Without the loader's path, some Pythons do not start. The other variables take the way of the assignment.
_LIBRARIES = "LD_LIBRARY_PATH"
_PASSED_ON = ("KMP_AFFINITY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "DMLC_INTERFACE")


class Host(NamedTuple):
    """A machine that ssh reaches: ``[user@]name``, and a port other than that of the user's configuration."""

    destination: str
    port: int | None = None

    def ssh(self, words: Sequence[str], folder: str) -> list[str]:
        """Return the words of an ssh command that runs a command there, in `folder`.

        Everything about keys is left to the user's configuration of ssh, which is not to ask anything.
        """
        port = ["-p", str(self.port)] if self.port else []
        libraries = os.environ.get(_LIBRARIES)
        words = ["env", f"{_LIBRARIES}={libraries}", *words] if libraries else words
        # ssh joins its last words for the shell over there: here they are one, quoted word.
        remote = f"cd {shlex.quote(folder)} && exec {shlex.join(words)}"
        return ["ssh", "-T", "-o", "BatchMode=yes", *port, "--", self.destination, remote]


def read_hosts(path: AnyPath) -> list[Host]:
    """Read a file with one host on each line.

    Raises
    ------
    UsageError
        If there is no such file, it lists no host, or a line is not a host.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file of hosts")
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    hosts = [_parse(line.strip(), f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not hosts:
        raise UsageError(f"{path}: lists no host; write one on each line")
    return hosts


def passed_on() -> dict[str, str]:
    """Return the variables of this environment that processes on hosts get too: threads only as the user has set."""
    names = _PASSED_ON if environment.threads_are_free() else (*_PASSED_ON, environment.THREADS)
    return {name: os.environ[name] for name in names if name in os.environ}


def address_for_hosts() -> str:
    """Return the address of this machine that the hosts connect to.

    Raises
    ------
    FailureError
        If it has none.
    """
    try:
        return get_host_ip()
    except OSError as error:
        raise FailureError(f"this machine has no address for the hosts ({error.strerror}); see /etc/hosts") from None


def _parse(text: str, where: str) -> Host:
    found = _LINE.fullmatch(text)
    if not found or not 1 <= int(found["port"] or 1) <= _LAST_PORT:
        raise UsageError(
            f"{where}: {text[:80]!r} is not a host; write [user@]name[:port] with letters, digits, dots and hyphens, "
            "and an IPv6 address in brackets"
        )
    return Host((found["user"] or "") + (found["name"] or found["ipv6"]), int(found["port"]) if found["port"] else None)
