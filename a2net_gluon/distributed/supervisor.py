"""Starts the processes of a job, watches them, ends them together, and starts again if asked."""

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

from dmlc_tracker.tracker import get_host_ip  # comes with mxnet

from a2net_gluon import environment
from a2net_gluon.distributed.messages import keep_alive, receive, send
from a2net_gluon.errors import UsageError
from a2net_gluon.files import folder_for_output

__all__ = ["launch"]

_START_TIMEOUT = 120  # seconds for all processes to report after the launcher is started
_END_TIMEOUT = 30  # seconds for servers and the scheduler to end after the workers
_STOP_TIMEOUT = 600  # seconds for the workers to save their state after SIGTERM or SIGINT


def launch(args):
    """Run ``args.command`` in ``args.num_workers`` processes; see `launch_parser` for the options.

    Returns
    -------
    int
        0, or the exit code of the process that failed first.

    Raises
    ------
    UsageError
        If options contradict each other.
    """
    if not args.command:
        raise UsageError("nothing to launch: put the command after --, e.g. -- python train_imagenet.py …")
    if args.hostfile and not pathlib.Path(args.hostfile).is_file():
        raise UsageError(f"{args.hostfile}: no such file of hosts")
    if args.max_restarts and not any(word.split("=")[0] == "--save-dir" for word in args.command):
        raise UsageError("--max-restarts needs a command with --save-dir FOLDER, where it finds its checkpoints")
    command = list(args.command)
    for attempt in range(args.max_restarts + 1):
        code, stopped = _Job(args, command, attempt).run()
        if code in (0, UsageError.exit_code) or stopped or attempt == args.max_restarts:
            return code
        print(f"a2net launch: starting again ({attempt + 1} of {args.max_restarts})", flush=True)
        command = command if "--auto-resume" in command else [*command, "--auto-resume"]
    return code


class _Job:
    """One attempt to run a job."""

    def __init__(self, args, command, attempt):
        self._args, self._command, self._attempt = args, command, attempt
        self._servers = args.num_servers or args.num_workers
        self._expected = args.num_workers + self._servers + 1  # and the scheduler
        self._token = secrets.token_hex(16)
        self._events = queue.Queue()  # (name of the process, message or None)
        self._streams, self._numbers, self._codes = {}, {}, {}
        self._lock = threading.Lock()
        self._signal = None
        self._address = get_host_ip() if args.hostfile else "127.0.0.1"

    def run(self):
        """Run it to its end; returns the exit code and whether it was stopped from outside."""
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
    def _launcher_log(self):
        return pathlib.Path(self._args.log_dir) / "launcher.log"

    def _start_launcher(self, port):
        agent = [sys.executable, "-m", "a2net_gluon.distributed.agent", self._address, str(port), self._token]
        where = ["--launcher", "ssh", "-H", self._args.hostfile] if self._args.hostfile else ["--launcher", "local"]
        counts = ["-n", str(self._args.num_workers), "-s", str(self._servers)]
        # The launcher joins the words of the command and gives them to a shell: here they are one word.
        words = [sys.executable, "-m", "a2net_gluon.distributed.tracker", *counts, *where, shlex.join(agent)]
        variables = dict(os.environ)
        if not self._args.hostfile:
            share = max(1, environment.physical_cores() // self._args.num_workers)
            if environment.threads_are_free():
                variables[environment.THREADS] = str(share)
        folder_for_output(self._args.log_dir)
        with open(self._launcher_log, "ab") as log:
            return subprocess.Popen(words, env=variables, stdout=log, stderr=log, start_new_session=True)

    def _accept(self, server):
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # closed at the end
                return
            keep_alive(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        """Tell one agent what to do, and put what it says on the queue of events."""
        stream = connection.makefile("rwb")
        hello = receive(stream)
        if hello is None or not secrets.compare_digest(str(hello.get("token")), self._token):
            connection.close()
            return
        with self._lock:
            number = self._numbers.get(hello["role"], 0)
            self._numbers[hello["role"]] = number + 1
            name = f"{hello['role']}-{number}"
            self._streams[name] = (connection, stream)
        log = pathlib.Path(self._args.log_dir).absolute() / f"{name}.log"
        send(stream, command=self._command, environment={"A2NET_PROCESS": name}, log=str(log))
        self._events.put((name, {"started": hello["host"], "log": str(log)}))
        if self._signal:
            self._tell_to_stop(name)
        while True:
            message = receive(stream)
            self._events.put((name, message))
            if message is None or "code" in message:
                return

    def _watch(self, launcher):
        """Follow the job until all workers have ended or one process has failed; returns the exit code."""
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
                if code or self._ended("worker") == self._args.num_workers:
                    return code

    def _note_end(self, name, message):
        """Take note of how a process ended; returns its exit code."""
        code = self._codes[name] = message["code"] if message else 1
        if code:
            print(f"a2net launch: {name} ended with exit code {code}", file=sys.stderr, flush=True)
            if self._signal:  # the other workers save their state too; a second signal brings the end nearer
                self._wait_for_ends("worker", self._args.num_workers, lambda: self._stop_deadline)
        return code

    def _ended(self, role=""):
        return sum(name.startswith(role) for name in self._codes)

    def _wait_for_ends(self, role, count, deadline):
        """Follow the job until `count` processes of `role` have ended, or the time that `deadline` tells is over."""
        while self._ended(role) < count and time.monotonic() < deadline():
            with contextlib.suppress(queue.Empty):
                name, message = self._events.get(timeout=1)
                if message is None or "code" in message:
                    self._codes[name] = message["code"] if message else 1

    def _note(self, number, frame):
        """Hand a signal on to the workers, which save their state and end; the second one ends the job at once."""
        self._stop_deadline = time.monotonic() + (0 if self._signal else _STOP_TIMEOUT)
        self._signal = number
        for name in list(self._streams):
            self._tell_to_stop(name)

    def _tell_to_stop(self, name):
        if name.startswith("worker"):
            with contextlib.suppress(OSError):  # it has ended by itself
                send(self._streams[name][1], stop=True)

    def _end(self, launcher):
        """Leave no process behind: agents kill theirs when the connection is cut."""
        if self._codes and not any(self._codes.values()):
            deadline = time.monotonic() + _END_TIMEOUT
            self._wait_for_ends("", self._expected, lambda: deadline)
        for connection, _ in self._streams.values():
            with contextlib.suppress(OSError):  # its other end has gone
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        time.sleep(0.5)  # for the agents to do so, before their own group goes
        with contextlib.suppress(ProcessLookupError):
            os.killpg(launcher.pid, signal.SIGKILL)
        launcher.wait()
