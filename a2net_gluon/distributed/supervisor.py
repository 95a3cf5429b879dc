"""Supervisor of a job: starts its processes, watches them, ends them together, and restarts them after a failure."""

from __future__ import annotations

import contextlib
import pathlib
import queue
import secrets
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any, Callable, Optional, Sequence, Tuple

from a2net_gluon import environment
from a2net_gluon.distributed.hosts import Host, address_for_hosts, passed_on, read_hosts
from a2net_gluon.distributed.messages import keep_alive, receive, send
from a2net_gluon.distributed.processes import Agents, Process, hold_port, is_taken, processes
from a2net_gluon.errors import UsageError
from a2net_gluon.files import AnyPath

__all__ = ["launch"]

# Servers and the scheduler of MXNet's KVStore do all their work during the import of mxnet.
_SERVE = [sys.executable, "-c", "import a2net_gluon, mxnet"]
_START_TIMEOUT = 120  # seconds for all processes to report
_END_TIMEOUT = 30  # seconds for servers and the scheduler to end after the workers
_STOP_TIMEOUT = 600  # seconds for the workers to save their state after SIGTERM or SIGINT

_Event = Tuple[str, Optional[dict]]  # name of a process, and its message; None if its connection is closed


def launch(
    command: Sequence[str],
    *,
    workers: int,
    servers: int | None = None,
    hostfile: AnyPath | None = None,
    max_restarts: int = 0,
    log_dir: AnyPath = "launch-logs",
) -> int:
    """Run a training command in several processes, on this machine or on several.

    Parameters
    ----------
    command : sequence of str
        Command of each training process, e.g. ``["python", "train_imagenet.py", "--save-dir", "runs/first"]``.
    workers : int
        Number of training processes.
    servers : int, optional
        Number of processes that add up gradients; default: `workers`.
    hostfile : str or Path, optional
        File with one host on each line, reached by ssh; default: this machine.
    max_restarts : int
        Number of restarts after a failure. A restarted job resumes from its newest checkpoint (``--auto-resume``).
    log_dir : str or Path
        Folder for a log of each process.

    Returns
    -------
    int
        0, or the exit code of the process that failed first.

    Raises
    ------
    UsageError
        If there is no command, the file of hosts is missing or has a line that is no host, or a job to restart has no
        ``--save-dir``.
    FailureError
        If the folder of logs cannot be written, there is no ssh, or this machine has no address for the hosts.
    """
    command = list(command)
    if not command:
        raise UsageError("nothing to launch: put the command after --, e.g. -- python train_imagenet.py …")
    hosts = read_hosts(hostfile) if hostfile else []
    if max_restarts and not any(word.split("=")[0] == "--save-dir" for word in command):
        raise UsageError("--max-restarts needs a command with --save-dir FOLDER, where it finds its checkpoints")
    restarts = 0
    while True:
        try:
            code, stopped = _Job(command, workers, servers, hosts, log_dir).run()
        except _PortTakenError as error:
            print(f"a2net launch: {error}, starting again on another", flush=True)
            continue
        if code in (0, UsageError.exit_code) or stopped or restarts >= max_restarts:
            return code
        restarts += 1
        print(f"a2net launch: starting again ({restarts} of {max_restarts})", flush=True)
        if "--auto-resume" not in command:
            command.append("--auto-resume")


class _PortTakenError(Exception):
    """Another program listens at the port that was meant for the scheduler."""


class _Job:
    """One attempt to run a job; parameters as for `launch`."""

    def __init__(
        self,
        command: Sequence[str],
        workers: int,
        servers: int | None = None,
        hosts: Sequence[Host] = (),
        log_dir: AnyPath = "launch-logs",
    ) -> None:
        self._command, self._workers, self._servers = list(command), workers, servers or workers
        self._log_dir = pathlib.Path(log_dir)
        self._address = address_for_hosts() if hosts else "127.0.0.1"
        self._processes = {process.name: process for process in processes(workers, self._servers, hosts)}
        self._token = secrets.token_hex(16)
        self._events: queue.Queue[_Event] = queue.Queue()
        self._streams: dict[str, tuple[socket.socket, Any]] = {}  # by name of the process
        self._codes: dict[str, int] = {}  # exit codes by name of the process
        self._lock = threading.Lock()
        self._over = False  # no connection is accepted any more
        self._signal: int | None = None
        self._stop_deadline = 0.0

    def run(self) -> tuple[int, bool]:
        """Run the job to its end; return the exit code and whether a signal stopped it."""
        with hold_port(self._address) as self._port, socket.create_server((self._address, 0)) as server:
            agents = Agents(self._launcher_log)
            before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
            threading.Thread(target=self._accept, args=(server,), daemon=True).start()
            try:
                self._start(agents, server.getsockname())
                return self._watch(agents), self._signal is not None
            finally:
                self._end(server)
                agents.end()
                for number, handler in before.items():
                    signal.signal(number, handler)

    @property
    def _launcher_log(self) -> pathlib.Path:
        return self._log_dir / "launcher.log"

    def _start(self, agents: Agents, address: tuple[str, int]) -> None:
        """Start the agents of all processes, which connect to `address`."""
        for name, process in self._processes.items():
            agents.start(
                process,
                address=address,
                token=self._token,
                command=self._command if process.role == "worker" else _SERVE,
                environment={**self._variables(process), "A2NET_PROCESS": name},
                log=str(self._log_path(name)),
            )

    def _variables(self, process: Process) -> dict[str, str]:
        """Environment of a process, above that of its agent."""
        variables = {
            "DMLC_ROLE": process.role,
            "DMLC_PS_ROOT_URI": self._address,
            "DMLC_PS_ROOT_PORT": str(self._port.getsockname()[1]),
            "DMLC_NUM_WORKER": str(self._workers),
            "DMLC_NUM_SERVER": str(self._servers),
        }
        if process.host:
            variables.update(passed_on())
        elif environment.threads_are_free():
            variables[environment.THREADS] = str(max(1, environment.physical_cores() // self._workers))
        return variables

    def _log_path(self, name: str) -> pathlib.Path:
        return self._log_dir.absolute() / f"{name}.log"

    def _accept(self, server: socket.socket) -> None:
        """Serve every agent that connects, until the server is closed."""
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # the server is closed
                return
            keep_alive(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Tell one agent to start, and put its messages on the queue of events."""
        stream = connection.makefile("rwb")
        hello = receive(stream) or {}
        token, name = (str(hello.get(key)) for key in ("token", "name"))
        with self._lock:
            known = secrets.compare_digest(token.encode(errors="replace"), self._token.encode())
            if self._over or not known:
                connection.close()
                return
            self._streams[name] = (connection, stream)
        self._events.put((name, {"started": hello["host"]}))
        with contextlib.suppress(OSError):  # it has ended, as the next message shows
            send(stream, start=True)
        if self._signal:
            self._tell_to_stop(name)
        while True:
            message = receive(stream)
            self._events.put((name, message))
            if message is None or "code" in message:
                return

    def _watch(self, agents: Agents) -> int:
        """Follow the job until all workers have ended or one process has failed; return the exit code."""
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            if self._signal and time.monotonic() > self._stop_deadline:
                return 128 + self._signal
            if len(self._streams) < len(self._processes) and self._start_failed(agents, deadline):
                return 1
            with contextlib.suppress(queue.Empty):
                name, message = self._events.get(timeout=1)
                if message is None or "code" in message:
                    code = self._note_end(name, message)
                    if code or self._ended("worker") == self._workers:
                        return code
                else:
                    self._report(name, message)

    def _start_failed(self, agents: Agents, deadline: float) -> bool:
        """Whether agents have ended before they connected, as when ssh fails, or `deadline` has passed; say which."""
        ended = agents.ended()  # before the look at the connections, since an agent ends after it has made one
        missing = [str(process) for name, process in self._processes.items() if name not in self._streams]
        lost = [str(process) for process in ended if process.name not in self._streams]
        if lost:
            fault = f"{', '.join(lost)} did not start ({agents.complaint()})"
        elif time.monotonic() > deadline:
            fault = f"{', '.join(missing)} did not start in {_START_TIMEOUT} s"
        else:
            return False
        print(f"a2net launch: {fault}, see {self._launcher_log}", file=sys.stderr, flush=True)
        return True

    def _report(self, name: str, message: dict) -> None:
        """Print what a process and its agent have to say."""
        if "started" in message:
            print(f"a2net launch: {name} on {message['started']}, log {self._log_path(name)}", flush=True)
        elif "notice" in message:
            print(f"a2net launch: {name}: {message['notice']}", file=sys.stderr, flush=True)
        elif name.startswith("worker"):
            print(message["line"], flush=True)

    def _note_end(self, name: str, message: dict | None) -> int:
        """Record the exit code of a process, and return it."""
        code = self._codes[name] = message["code"] if message else 1
        if code and name.startswith("scheduler") and is_taken(self._port):
            raise _PortTakenError(f"another program has taken port {self._port.getsockname()[1]}")
        if code:
            print(f"a2net launch: {name} ended with exit code {code}", file=sys.stderr, flush=True)
            if self._signal:  # the other workers save their state too; a second signal shortens the wait
                self._wait_for_ends("worker", self._workers, lambda: self._stop_deadline)
        return code

    def _ended(self, role: str = "") -> int:
        """Return the number of processes of `role` that have ended."""
        return sum(name.startswith(role) for name in self._codes)

    def _wait_for_ends(self, role: str, count: int, deadline: Callable[[], float]) -> None:
        """Follow the job until `count` processes of `role` have ended or the time that `deadline` returns has come."""
        while self._ended(role) < count and time.monotonic() < deadline():
            with contextlib.suppress(queue.Empty):
                name, message = self._events.get(timeout=1)
                if message is None or "code" in message:
                    self._codes[name] = message["code"] if message else 1

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Pass a signal on to the workers, which save their state and end; a second signal ends the job at once."""
        self._stop_deadline = time.monotonic() + (0 if self._signal else _STOP_TIMEOUT)
        self._signal = number
        for name in list(self._streams):
            self._tell_to_stop(name)

    def _tell_to_stop(self, name: str) -> None:
        if name.startswith("worker"):
            with contextlib.suppress(OSError):  # the process has already ended
                send(self._streams[name][1], stop=True)

    def _end(self, server: socket.socket) -> None:
        """Close all connections: an agent then kills its process, so that none is left running."""
        if self._codes and not any(self._codes.values()):
            deadline = time.monotonic() + _END_TIMEOUT
            self._wait_for_ends("", len(self._processes), lambda: deadline)
        server.shutdown(socket.SHUT_RDWR)  # ends the wait in `_accept`, which closing would not
        with self._lock:
            self._over = True
        for connection, _ in self._streams.values():
            with contextlib.suppress(OSError):  # the other end is closed
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
