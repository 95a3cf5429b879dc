"""Agent of one process of a job, started as ``python -m a2net_gluon.distributed.agent``.

Its assignment comes by standard input, where no other user of the machine can read it.
"""

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

from a2net_gluon.distributed import descendants
from a2net_gluon.distributed.messages import keep_alive, receive, send
from a2net_gluon.environment import end_with_parent

_CONNECTION_TIMEOUT = 60  # seconds
_LONGEST_LINE = 1 << 16  # bytes that are passed on at once, if no line ends before
_OUTPUT_TIMEOUT = 10  # seconds to pass on the rest of the output after the process and its descendants have ended


def main() -> int:
    """Run the command that the supervisor assigns; return its exit code."""
    assignment = receive(sys.stdin.buffer)
    if assignment is None:
        print("there is no assignment on standard input: a2net launch starts this module", file=sys.stderr)
        return 1
    host, port = assignment["address"]
    try:
        connection = socket.create_connection((host, port), timeout=_CONNECTION_TIMEOUT)
    except OSError as error:
        print(f"{socket.gethostname()} cannot reach the launcher at {host}:{port} ({error})", file=sys.stderr)
        return 1
    connection.settimeout(None)
    keep_alive(connection)
    stream = connection.makefile("rwb")
    send(stream, token=assignment["token"], name=assignment["name"], host=socket.gethostname())
    if receive(stream) is None:  # the job is over
        return 1
    command = assignment["command"]
    descendants.adopt_orphans()
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Address for the other processes: a number, since MXNet's servers cannot bind to a name.
            env={**os.environ, "DMLC_NODE_HOST": connection.getsockname()[0], **assignment["environment"]},
            start_new_session=True,  # a signal that the command sends to its whole group does not reach this process
            preexec_fn=end_with_parent,
        )
    except OSError as error:
        _tell(stream, line=f"{command[0]} cannot be run: {error.strerror}")
        _tell(stream, code=127)
        return 127
    threading.Thread(target=_obey, args=(stream, child), daemon=True).start()
    output = threading.Thread(
        target=_pass_on, args=(child.stdout, stream, pathlib.Path(assignment["log"])), daemon=True
    )
    output.start()
    code = descendants.wait_for(child)
    descendants.end_all()  # none outlives the process, nor keeps its output open
    output.join(_OUTPUT_TIMEOUT)
    _tell(stream, code=code)
    return code


def _tell(stream: Any, **message: Any) -> None:
    """Send a message, unless the connection is closed: then `_obey` ends the process."""
    with contextlib.suppress(OSError):
        send(stream, **message)


def _obey(stream: Any, child: subprocess.Popen) -> None:
    """Pass "stop" on to the child; kill it when the connection is closed."""
    while receive(stream) is not None:  # the only message to a running agent is "stop"
        descendants.send_signal(child, signal.SIGTERM)
    descendants.send_signal(child, signal.SIGKILL)


def _pass_on(output: IO[bytes], stream: Any, log: pathlib.Path) -> None:
    """Send the child's lines to the supervisor, and write them to its log for as long as that is possible."""
    lines = iter(lambda: output.readline(_LONGEST_LINE), b"")
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab", buffering=0) as file:
            for line in lines:
                _tell(stream, line=line.decode(errors="replace").rstrip("\n"))
                file.write(line)
    except OSError as error:
        _tell(stream, notice=f"{log}: cannot be written ({error.strerror}); the process goes on without a log")
    for line in lines:
        _tell(stream, line=line.decode(errors="replace").rstrip("\n"))


if __name__ == "__main__":
    sys.exit(main())
