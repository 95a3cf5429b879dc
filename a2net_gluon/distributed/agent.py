"""Agent of one process of a job, started as ``python -m a2net_gluon.distributed.agent HOST PORT TOKEN``."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
from typing import IO, Any

from a2net_gluon.distributed.messages import keep_alive, receive, send
from a2net_gluon.environment import end_with_parent

# Servers and the scheduler of MXNet's KVStore do all their work during the import of mxnet.
_SERVE = [sys.executable, "-c", "import a2net_gluon, mxnet"]


def main(host: str, port: str, token: str) -> int:
    """Run the command that the supervisor at `host` sends; return its exit code."""
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.settimeout(None)
    keep_alive(connection)
    stream = connection.makefile("rwb")
    role = os.environ["DMLC_ROLE"]
    send(stream, token=token, role=role, host=socket.gethostname())
    order = receive(stream)
    if order is None:
        return 1
    command = order["command"] if role == "worker" else _SERVE
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Address for the other processes: a number, since MXNet's servers cannot bind to a name.
            env={**os.environ, "DMLC_NODE_HOST": connection.getsockname()[0], **order["environment"]},
            start_new_session=True,  # a process group of its own, which can be killed as a whole
            preexec_fn=end_with_parent,
        )
    except OSError as error:
        send(stream, line=f"{command[0]} cannot be run: {error.strerror}")
        send(stream, code=127)
        return 127
    threading.Thread(target=_obey, args=(stream, child), daemon=True).start()
    assert child.stdout is not None  # a pipe
    _pass_on(child.stdout, stream, pathlib.Path(order["log"]))
    code = child.wait()
    _kill(child)  # ends readers that outlive their training process
    send(stream, code=code if code >= 0 else 128 - code)
    return code


def _obey(stream: Any, child: subprocess.Popen) -> None:
    """Pass "stop" on to the child; kill it when the connection is closed."""
    while receive(stream) is not None:  # the only message to a running agent is "stop"
        child.terminate()
    _kill(child)


def _kill(child: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _pass_on(output: IO[bytes], stream: Any, log: pathlib.Path) -> None:
    """Write the child's lines to its log and send them to the supervisor."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as file:
        for line in output:
            file.write(line)
            file.flush()
            send(stream, line=line.decode(errors="replace").rstrip("\n"))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
