"""Supervisor of a job: starts its processes, watches them, ends them together, and restarts them after a failure."""

from __future__ import annotations

import contextlib
import os
import pathlib
import queue
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType
from typing import Any, Callable, Optional, Sequence, Tuple

from dmlc_tracker.tracker import get_host_ip  # comes with mxnet

from a2net_gluon import environment
from a2net_gluon.distributed.messages import keep_alive, receive, send
from a2net_gluon.errors import UsageError
from a2net_gluon.files import AnyPath, folder_for_output

__all__ = ["launch"]

_START_TIMEOUT = 120  # seconds for all processes to report after the launcher has started
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
        If there is no command, the file of hosts is missing, or a job to restart has no ``--save-dir``.
    """
    command = list(command)
    if not command:
        raise UsageError("nothing to launch: put the command after --, e.g. -- python train_imagenet.py …")
    if hostfile and not pathlib.Path(hostfile).is_file():
        raise UsageError(f"{hostfile}: no such file of hosts")
    if max_restarts and not any(word.split("=")[0] == "--save-dir" for word in command):
        raise UsageError("--max-restarts needs a command with --save-dir FOLDER, where it finds its checkpoints")
    restarts = 0
    while True:
        code, stopped = _Job(command, workers, servers, hostfile, log_dir).run()
        if code in (0, UsageError.exit_code) or stopped or restarts >= max_restarts:
            return code
        restarts += 1
        print(f"a2net launch: starting again ({restarts} of {max_restarts})", flush=True)
        if "--auto-resume" not in command:
            command.append("--auto-resume")


class _Job:
    """One attempt to run a job; parameters as for `launch`."""

    def __init__(
        self,
        command: Sequence[str],
        workers: int,
        servers: int | None = None,
        hostfile: AnyPath | None = None,
        log_dir: AnyPath = "launch-logs",
    ) -> None:
        self._command, self._workers, self._servers = list(command), workers, servers or workers
        self._hostfile, self._log_dir = hostfile, pathlib.Path(log_dir)
        self._expected = workers + self._servers + 1  # and the scheduler
        self._token = secrets.token_hex(16)
        self._events: queue.Queue[_Event] = queue.Queue()
        self._streams: dict[str, tuple[socket.socket, Any]] = {}  # by name of the process
        self._started: dict[str, int] = {}  # number of processes by role
        self._codes: dict[str, int] = {}  # exit codes by name of the process
        self._lock = threading.Lock()
        self._signal: int | None = None
        self._stop_deadline = 0.0
        self._address = get_host_ip() if hostfile else "127.0.0.1"

    def run(self) -> tuple[int, bool]:
        """Run the job to its end; return the exit code and whether a signal stopped it."""
        before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        with socket.create_server((self._address, 0)) as server:
            threading.Thread(target=self._accept, args=(server,), daemon=True).start()
            launcher = self._start_launcher(server.getsockname()[1])
            try:
                return self._watch(launcher), self._signal is not None
            finally:
                self._end(launcher)
                for number, handler in before.items():
                    signal.signal(number, handler)

    @property
    def _launcher_log(self) -> pathlib.Path:
        return self._log_dir / "launcher.log"

    def _start_launcher(self, port: int) -> subprocess.Popen:
        agent = [sys.executable, "-m", "a2net_gluon.distributed.agent", self._address, str(port), self._token]
        where = ["--launcher", "ssh", "-H", os.fspath(self._hostfile)] if self._hostfile else ["--launcher", "local"]
        counts = ["-n", str(self._workers), "-s", str(self._servers)]
        # The launcher joins the words of the command and passes them to a shell: here they are one word.
        words = [sys.executable, "-m", "a2net_gluon.distributed.tracker", *counts, *where, shlex.join(agent)]
        variables = dict(os.environ)
        if not self._hostfile and environment.threads_are_free():
            variables[environment.THREADS] = str(max(1, environment.physical_cores() // self._workers))
        folder_for_output(self._log_dir)
        with open(self._launcher_log, "ab") as log:
            return subprocess.Popen(words, env=variables, stdout=log, stderr=log, start_new_session=True)

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
        """Send one agent its command, and put its messages on the queue of events."""
        stream = connection.makefile("rwb")
        hello = receive(stream)
        if hello is None or not secrets.compare_digest(str(hello.get("token")), self._token):
            connection.close()
            return
        with self._lock:
            number = self._started.get(hello["role"], 0)
            self._started[hello["role"]] = number + 1
            name = f"{hello['role']}-{number}"
            self._streams[name] = (connection, stream)
        log = self._log_dir.absolute() / f"{name}.log"
        send(stream, command=self._command, environment={"A2NET_PROCESS": name}, log=str(log))
        self._events.put((name, {"started": hello["host"], "log": str(log)}))
        if self._signal:
            self._tell_to_stop(name)
        while True:
            message = receive(stream)
            self._events.put((name, message))
            if message is None or "code" in message:
                return

    def _watch(self, launcher: subprocess.Popen) -> int:
        """Follow the job until all workers have ended or one process has failed; return the exit code."""
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            if self._signal and time.monotonic() > self._stop_deadline:
                return 128 + self._signal
            try:
                name, message = self._events.get(timeout=1)
            except queue.Empty:
                if len(self._streams) < self._expected and (time.monotonic() > deadline or launcher.poll()):
                    started = f"{len(self._streams)} of {self._expected} processes started"
                    print(f"a2net launch: {started}, see {self._launcher_log}", file=sys.stderr)
                    return 1
                continue
            if message is not None and "line" in message:
                if name.startswith("worker"):
                    print(message["line"], flush=True)
            elif message is not None and "started" in message:
                print(f"a2net launch: {name} on {message['started']}, log {message['log']}", flush=True)
            else:
                code = self._note_end(name, message)
                if code or self._ended("worker") == self._workers:
                    return code

    def _note_end(self, name: str, message: dict | None) -> int:
        """Record the exit code of a process, and return it."""
        code = self._codes[name] = message["code"] if message else 1
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

    def _end(self, launcher: subprocess.Popen) -> None:
        """Leave no process running: an agent kills its process when the connection is closed."""
        if self._codes and not any(self._codes.values()):
            deadline = time.monotonic() + _END_TIMEOUT
            self._wait_for_ends("", self._expected, lambda: deadline)
        for connection, _ in self._streams.values():
            with contextlib.suppress(OSError):  # the other end is closed
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        time.sleep(0.5)  # gives the agents time for that, before their own process group is killed
        with contextlib.suppress(ProcessLookupError):
            os.killpg(launcher.pid, signal.SIGKILL)
        launcher.wait()
