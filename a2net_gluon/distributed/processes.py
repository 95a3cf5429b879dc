"""The processes of a job: which there are, where they run, and the start and end of their agents."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Iterator, NamedTuple, Sequence

from a2net_gluon.distributed.hosts import Host
from a2net_gluon.distributed.messages import send
from a2net_gluon.errors import FailureError
from a2net_gluon.files import folder_for_output

__all__ = ["Agents", "Process", "hold_port", "is_taken", "processes"]

_AGENT = [sys.executable, "-m", "a2net_gluon.distributed.agent"]
_END_TIMEOUT = 10  # seconds for an agent to end its process and itself


class Process(NamedTuple):
    """A process of a job: "scheduler", "server" or "worker", its number among those, and where it runs."""

    role: str
    number: int
    host: Host | None = None  # this machine

    @property
    def name(self) -> str:
        """Name in messages and of the log."""
        return f"{self.role}-{self.number}"

    def __str__(self) -> str:
        return self.name + (f" on {self.host.destination}" if self.host else "")


def processes(workers: int, servers: int, hosts: Sequence[Host]) -> Iterator[Process]:
    """Yield the processes of a job: the scheduler on this machine, the others on the hosts in turn."""
    yield Process("scheduler", 0)
    roles = [("server", number) for number in range(servers)] + [("worker", number) for number in range(workers)]
    for place, (role, number) in enumerate(roles):
        yield Process(role, number, hosts[place % len(hosts)] if hosts else None)


def hold_port(address: str) -> socket.socket:
    """Bind a socket to a free port of `address`: while it is open, the system gives this port to nobody else.

    Only who names the port and sets SO_REUSEADDR, as the scheduler of MXNet does, can bind to it too. Linux permits
    this as long as no socket listens.

    Raises
    ------
    FailureError
        If this machine does not have the address.
    """
    held = socket.socket()
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((address, 0))
    except OSError as error:
        held.close()
        raise FailureError(f"{address}: not an address of this machine ({error.strerror}); see /etc/hosts") from None
    return held


def is_taken(held: socket.socket) -> bool:
    """Whether another socket listens at a held port; call it after the scheduler has ended."""
    try:
        held.listen()
    except OSError:
        return True
    return False


class Agents:
    """The agents of a job, one for each process; `log` gets what they, and ssh, have to complain about."""

    def __init__(self, log: pathlib.Path) -> None:
        folder_for_output(log.parent)
        try:
            with open(log, "ab") as file:
                self._old_complaints = file.tell()
        except OSError as error:
            raise FailureError(f"{log}: cannot be written ({error.strerror}); choose another --log-dir") from None
        self._log = log
        self._started: dict[Process, subprocess.Popen] = {}

    def start(self, process: Process, **assignment: Any) -> None:
        """Start the agent of a process, and hand it its assignment where nobody else can read it.

        Raises
        ------
        FailureError
            If there is no ssh.
        """
        words = process.host.ssh(_AGENT, os.getcwd()) if process.host else _AGENT
        try:
            with open(self._log, "ab") as log:
                agent = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        except OSError as error:
            raise FailureError(f"{words[0]}: cannot be run ({error.strerror})") from None
        self._started[process] = agent
        assert agent.stdin is not None  # a pipe
        with contextlib.suppress(OSError), agent.stdin:  # it may have ended already, see `ended`
            send(agent.stdin, name=process.name, **assignment)

    def ended(self) -> list[Process]:
        """Return the processes whose agents have ended."""
        return [process for process, agent in self._started.items() if agent.poll() is not None]

    def complaint(self) -> str:
        """Return the last line that an agent of this job, or ssh, has written to the log."""
        lines = self._log.read_bytes()[self._old_complaints :].decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")

    def end(self) -> None:
        """Wait for the agents, which end their processes when their connections are closed; kill those that do not."""
        deadline = time.monotonic() + _END_TIMEOUT
        for agent in self._started.values():
            try:
                agent.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(agent.pid, signal.SIGKILL)
                agent.wait()
